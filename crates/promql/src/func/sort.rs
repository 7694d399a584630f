//! The order of instant vectors: `sort` and its kin.

use crate::exec::table::{Cell, StepSeries};
use std::cmp::Ordering;

/// By the value at the only step; NaN last. Histograms are left out.
pub(crate) fn by_value(series: &mut Vec<StepSeries>, descending: bool) {
    series.retain(|s| matches!(s.cell(0), Cell::Float(_)));
    series.sort_by(|a, b| {
        let (a, b) = (a.floats[0], b.floats[0]);
        match (a.is_nan(), b.is_nan()) {
            (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
            (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        }
    });
}

/// By the values of labels, in which numbers count as numbers; what is equal then, by all labels.
pub(crate) fn by_labels(series: &mut [StepSeries], labels: &[String], descending: bool) {
    series.sort_by(|a, b| {
        let by_name = labels.iter().map(|name| natural(a.labels.get(name), b.labels.get(name)));
        let order = by_name.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
}

/// `node9` before `node10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = match (next_part(&mut a), next_part(&mut b)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        let order = match (is_number(x), is_number(y)) {
            (true, true) => {
                let (m, n) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                m.len().cmp(&n.len()).then_with(|| m.cmp(n)).then_with(|| x.len().cmp(&y.len()))
            }
            _ => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

/// Takes the digits, or what is before the next digit.
fn next_part<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let digits = is_number(rest);
    let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
    let (part, left) = rest.split_at(end);
    *rest = left;
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn numbers_within_text() {
        let mut names = vec!["node10", "node9", "node", "node09", "a", "node9b"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "node", "node9", "node9b", "node09", "node10"]);
    }
}

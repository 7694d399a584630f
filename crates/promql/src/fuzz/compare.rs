//! Whether two servers answer the same.

use super::answer::{Answer, Outcome, Point};
use nilometer_model::Labels;
use std::collections::BTreeMap;
use std::fmt;

/// How an answer differs from another.
#[derive(Clone, Debug)]
pub enum Difference {
    /// The same series at the same times, but a number is not the same.
    Value { labels: Labels, t_ms: i64, ours: Point, theirs: Point },
    /// Anything else.
    Shape { what: String, t_ms: Option<i64> },
}

/// What of an answer counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The order of an instant vector: of its values, since equal ones may stand in any order.
    pub order: bool,
    pub annotations: bool,
}

/// The HTTP API says so many in words, and of the others how many there are.
const MAX_NOTES: usize = 10;

pub fn compare(ours: &Outcome, theirs: &Outcome, scope: Scope) -> Option<Difference> {
    let shape = |what: String| Some(Difference::Shape { what, t_ms: None });
    let (ours, theirs) = match (ours, theirs) {
        (Err(_), Err(_)) => return None,
        (Err(e), Ok(_)) => return shape(format!("ours fails: {e}")),
        (Ok(_), Err(e)) => return shape(format!("theirs fails: {e}")),
        (Ok(ours), Ok(theirs)) => (ours, theirs),
    };
    if ours.kind != theirs.kind {
        return shape(format!("ours is a {}, theirs a {}", ours.kind, theirs.kind));
    }
    if let Some(difference) = series(ours, theirs) {
        return Some(difference);
    }
    if scope.order
        && let Some(what) = order(ours, theirs)
    {
        return shape(what);
    }
    if !scope.annotations {
        return None;
    }
    let notes = [("warnings", &ours.warnings, &theirs.warnings), ("infos", &ours.infos, &theirs.infos)];
    notes.into_iter().find_map(|(kind, ours, theirs)| shape(annotations(kind, ours, theirs)?))
}

/// Whether whole answers are the same, but for the last digits of numbers; else what is not.
pub fn agree(ours: &Outcome, theirs: &Outcome) -> Result<(), String> {
    match compare(ours, theirs, Scope { order: false, annotations: true }) {
        None => Ok(()),
        Some(Difference::Value { ours, theirs, .. })
            if distance(&ours, &theirs).is_some_and(|parts| parts <= super::judge::TOLERANCE) =>
        {
            Ok(())
        }
        Some(difference) => Err(difference.to_string()),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Value { labels, t_ms, ours, theirs } => {
                write!(f, "ours is {ours}, theirs {theirs} at {t_ms} of {labels}")
            }
            Difference::Shape { what, .. } => f.write_str(what),
        }
    }
}

/// The worst difference: a shape before a value, a larger one before a smaller.
fn series(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let by_labels = |answer: &Answer| -> BTreeMap<Labels, BTreeMap<i64, Point>> {
        let points = |points: &[(i64, Point)]| points.iter().cloned().collect();
        answer.series.iter().map(|(labels, of)| (labels.clone(), points(of))).collect()
    };
    let (a, b) = (by_labels(ours), by_labels(theirs));
    let shape = |what, t_ms| Some(Difference::Shape { what, t_ms });
    let mut worst: Option<(f64, Difference)> = None;
    for labels in a.keys().chain(b.keys()) {
        let (a, b) = match (a.get(labels), b.get(labels)) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => {
                let whose = if a.is_some() { "ours" } else { "theirs" };
                let (t_ms, point) = a.or(b).and_then(BTreeMap::first_key_value).unzip();
                let point = point.map(ToString::to_string).unwrap_or_default();
                return shape(format!("only {whose} has {labels} with {point}"), t_ms.copied());
            }
        };
        for t_ms in a.keys().chain(b.keys()) {
            let (a, b) = match (a.get(t_ms), b.get(t_ms)) {
                (Some(a), Some(b)) => (a, b),
                (Some(a), None) => {
                    return shape(format!("only ours has {a} at {t_ms} of {labels}"), Some(*t_ms));
                }
                (None, b) => {
                    let b = b.map(ToString::to_string).unwrap_or_default();
                    return shape(format!("only theirs has {b} at {t_ms} of {labels}"), Some(*t_ms));
                }
            };
            let Some(distance) = distance(a, b) else {
                return shape(format!("ours is {a}, theirs {b} at {t_ms} of {labels}"), Some(*t_ms));
            };
            if distance > 0.0 && worst.as_ref().is_none_or(|(least, _)| distance > *least) {
                let (labels, ours, theirs) = (labels.clone(), a.clone(), b.clone());
                worst = Some((distance, Difference::Value { labels, t_ms: *t_ms, ours, theirs }));
            }
        }
    }
    worst.map(|(_, difference)| difference)
}

/// How far numbers are apart, in parts of the larger; `None` where they are no numbers of one sort.
fn distance(a: &Point, b: &Point) -> Option<f64> {
    if let (Point::Histogram(a), Point::Histogram(b)) = (a, b) {
        let same = |(a, b): (&super::answer::Bucket, &super::answer::Bucket)| {
            (a.rule, a.lower, a.upper) == (b.rule, b.lower, b.upper)
        };
        if a.buckets.len() != b.buckets.len() || !a.buckets.iter().zip(&b.buckets).all(same) {
            return None;
        }
    } else if !matches!((a, b), (Point::Float(_), Point::Float(_))) {
        return None;
    }
    let pairs = a.numbers().into_iter().zip(b.numbers());
    Some(pairs.map(|(a, b)| apart(a, b)).fold(0.0, f64::max))
}

fn apart(a: f64, b: f64) -> f64 {
    if a == b && a == 0.0 && a.is_sign_negative() != b.is_sign_negative() {
        // A division by it tells.
        f64::MIN_POSITIVE
    } else if a == b || a.is_nan() && b.is_nan() {
        0.0
    } else if a.is_finite() && b.is_finite() {
        // Halves, so that what is subtracted stays finite.
        (a / 2.0 - b / 2.0).abs() / a.abs().max(b.abs()) * 2.0
    } else {
        f64::INFINITY
    }
}

fn order(ours: &Answer, theirs: &Answer) -> Option<String> {
    let values = |answer: &Answer| -> Vec<Option<f64>> {
        let first = |points: &[(i64, Point)]| match points.first() {
            Some((_, Point::Float(v))) if !v.is_nan() => Some(*v),
            _ => None,
        };
        answer.series.iter().map(|(_, points)| first(points)).collect()
    };
    let (a, b) = (values(ours), values(theirs));
    (a != b).then(|| format!("the order is {a:?}, theirs {b:?}"))
}

fn annotations(kind: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    let sorted = |notes: &[String]| {
        let mut notes: Vec<String> = notes.iter().map(|note| without_count(note)).collect();
        notes.sort();
        notes
    };
    // Of many, which ones are said is left to chance there.
    let said =
        if theirs.len() > MAX_NOTES { count(ours) == count(theirs) } else { sorted(ours) == sorted(theirs) };
    (!said).then(|| format!("{kind} are {ours:?}, theirs {theirs:?}"))
}

/// Those that are left out included.
fn count(notes: &[String]) -> usize {
    let omitted = notes.get(MAX_NOTES).and_then(|last| last.strip_suffix(" annotations omitted"));
    let more = omitted.and_then(|last| last.split(' ').next()?.parse::<usize>().ok());
    more.map_or(notes.len(), |more| more + MAX_NOTES)
}

/// How many samples needed to be fixed is counted again at each later step there.
fn without_count(note: &str) -> String {
    match note
        .split_once(" over ")
        .and_then(|(before, rest)| Some((before, rest.split_once(" samples from ")?.1)))
    {
        Some((before, after)) => format!("{before} over samples from {after}"),
        None => note.to_owned(),
    }
}

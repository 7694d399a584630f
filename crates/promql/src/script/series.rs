//! `metric{label="value"} 1+2x3 _ stale {{schema:1 …}}`: a series and its points.

use super::histogram::literal;
use crate::histogram::{add, subtract};
use crate::parse::parse_selector;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, FloatHistogram, Labels, MatchKind, Result, STALE_NAN_BITS, Value};
use std::sync::Arc;

/// A series and its points, one for each step.
#[derive(Clone, Debug)]
pub struct Described {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// A series and its samples in order of time.
#[derive(Clone, Debug)]
pub struct Stored {
    pub labels: Labels,
    pub samples: Vec<(Stamp, Value)>,
}

#[derive(Clone, Debug)]
pub enum Point {
    Omitted,
    Float(f64),
    Histogram {
        h: Arc<FloatHistogram>,
        /// The text said what the hint about counter resets is, so it is to be compared.
        hint_given: bool,
    },
}

/// Reads a line.
pub fn describe_series(line: &str) -> Result<Described> {
    let end = end_of_labels(line);
    Ok(Described { labels: labels(&line[..end])?, points: points(&line[end..])? })
}

/// Where the points begin: at the first space outside of braces.
fn end_of_labels(line: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, c) if c.is_whitespace() && depth == 0 && !labels_follow(&line[at..]) => return at,
            _ => {}
        }
    }
    line.len()
}

/// A space may stand between the name and its labels.
fn labels_follow(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('{') && !text.starts_with("{{")
}

fn labels(text: &str) -> Result<Labels> {
    if text.trim() == "{}" {
        return Ok(Labels::empty());
    }
    let matchers = parse_selector(text)?;
    if matchers.iter().any(|m| m.kind != MatchKind::Equal) {
        return Err(Error::invalid(format!("{text} is no series: labels have values, not matchers")));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (&*m.name, &*m.value))))
}

fn points(text: &str) -> Result<Vec<Point>> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = if rest.starts_with("{{") {
            histogram_item(rest, &mut all)?
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            float_item(&rest[..end], &mut all)?;
            &rest[end..]
        }
        .trim_start();
    }
    Ok(all)
}

fn wrong(item: &str) -> Error {
    Error::invalid(format!(
        "{item:?} is no point: give a number, _, stale or a histogram, perhaps with x and a count"
    ))
}

/// `1`, `1x3`, `1+2x3`, `_`, `_x3`, `stale`
fn float_item(item: &str, out: &mut Vec<Point>) -> Result<()> {
    let fail = || wrong(item);
    if let Some(times) = item.strip_prefix("_x") {
        out.extend(std::iter::repeat_n(Point::Omitted, count(times)?));
        return Ok(());
    }
    if item == "_" {
        out.push(Point::Omitted);
        return Ok(());
    }
    // Hence no hexadecimal numbers here.
    let (value, times) = match item.split_once('x') {
        Some((value, times)) => (value, Some(count(times)?)),
        None => (item, None),
    };
    if value == "stale" {
        let stale = Point::Float(f64::from_bits(STALE_NAN_BITS));
        out.extend(std::iter::repeat_n(stale, times.map_or(1, |n| n + 1)));
        return Ok(());
    }
    let Some(times) = times else {
        out.push(Point::Float(number(value).ok_or_else(fail)?));
        return Ok(());
    };
    let (mut v, step) = match number(value) {
        Some(v) => (v, 0.0),
        None => two_numbers(value).ok_or_else(fail)?,
    };
    for _ in 0..=times {
        out.push(Point::Float(v));
        v += step;
    }
    Ok(())
}

/// `1+2` or `1-2`, where each may have an exponent.
fn two_numbers(text: &str) -> Option<(f64, f64)> {
    let signs = text.char_indices().skip(1).filter(|(_, c)| matches!(c, '+' | '-'));
    signs.filter_map(|(at, _)| Some((number(&text[..at])?, number(&text[at..])?))).next()
}

/// As Go reads a number: also `0x10`, `Inf`, `NaN`.
pub(super) fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|v| sign * v as f64);
    }
    digits.parse::<f64>().ok().map(|v| sign * v)
}

fn count(text: &str) -> Result<usize> {
    let count: usize =
        text.parse().map_err(|_| Error::invalid(format!("{text:?} is not how often to repeat")))?;
    if count > 1_000_000 {
        return Err(Error::limit("script.max-points", 1_000_000, "a point is repeated too often"));
    }
    Ok(count)
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`, `{{…}}-{{…}}x3`
fn histogram_item<'a>(text: &'a str, out: &mut Vec<Point>) -> Result<&'a str> {
    let (base, hint_given, rest) = literal(text)?;
    let until_space = |text: &'a str| {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        text.split_at(end)
    };
    let point = |h: &FloatHistogram, hint_given| Point::Histogram { h: Arc::new(h.clone()), hint_given };
    if let Some(times) = rest.strip_prefix('x') {
        let (times, rest) = until_space(times);
        out.extend(std::iter::repeat_n(point(&base, hint_given), count(times)? + 1));
        return Ok(rest);
    }
    let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) else {
        out.push(point(&base, hint_given));
        return Ok(rest);
    };
    let (step, hint_given, rest) = literal(&rest[1..])?;
    let (times, rest) = until_space(rest.strip_prefix('x').ok_or_else(|| wrong(text))?);
    let mut h = base;
    out.push(point(&h, hint_given));
    for _ in 0..count(times)? {
        if h.schema > step.schema {
            return Err(Error::invalid(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, h.schema
            )));
        }
        let done = if sign == '+' { add(&mut h, &step) } else { subtract(&mut h, &step) };
        done.map_err(|_| {
            Error::invalid("histograms with exponential and with custom buckets do not add up")
        })?;
        out.push(point(&h, hint_given));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(line: &str) -> Vec<f64> {
        let points = describe_series(line).unwrap().points;
        points.iter().map(|p| if let Point::Float(v) = p { *v } else { f64::INFINITY }).collect()
    }

    #[test]
    fn expanding() {
        assert_eq!(
            floats("a 1 2+3x2 _ 1-1x1 0x2 -3x1"),
            [1.0, 2.0, 5.0, 8.0, f64::INFINITY, 1.0, 0.0, 0.0, 0.0, 0.0, -3.0, -3.0]
        );
        assert_eq!(floats("a 1e3-5e-1x1 _x2"), [1000.0, 999.5, f64::INFINITY, f64::INFINITY]);
        assert_eq!(describe_series(r#"{__name__="x y", l="} {"} 1"#).unwrap().labels.get("l"), "} {");
        assert!(describe_series("a 1x").is_err());
        assert!(describe_series("a b").is_err());
    }

    #[test]
    fn histograms() {
        let series = describe_series(
            "{} {{schema:1 sum:4 count:3 buckets:[1 2]}}+{{count:1 schema:1 buckets:[0 1]}}x2",
        )
        .unwrap();
        let Point::Histogram { h, .. } = &series.points[2] else { panic!("no histogram") };
        assert_eq!((h.count, &h.positive[..]), (5.0, &[1.0, 4.0][..]));
    }
}

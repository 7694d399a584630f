//! Whether an answer is the expected one: numbers up to a millionth, histograms bucket by bucket.

use super::parse::Eval;
use super::series::Point;
use crate::histogram::{compact, describe};
use crate::number::almost_equal;
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};
use nilometer_model::number::plain;
use nilometer_model::{FloatHistogram, Labels};
use std::collections::HashMap;

const EPSILON: f64 = 0.000_001;

/// What is wrong, if anything is.
pub(super) fn compare(eval: &Eval, value: &Value, times: (i64, i64, i64)) -> Result<(), String> {
    match value {
        Value::Matrix(series) => matrix(eval, series, times),
        Value::Vector(samples) => vector(eval, samples),
        Value::Scalar { v, .. } => match eval.scalar {
            Some(expected) if almost_equal(expected, *v, EPSILON) => Ok(()),
            Some(expected) => Err(format!("expected scalar {expected} but got {v}")),
            None => Err(format!("expected vector or matrix result, but got scalar {v}")),
        },
        Value::String { v, .. } if eval.string.as_deref().unwrap_or("") == v => Ok(()),
        Value::String { v, .. } => Err(format!("expected string {:?} but got {v:?}", eval.string)),
    }
}

type Expected<'a> = HashMap<&'a Labels, (usize, &'a [Point])>;

fn expected(eval: &Eval) -> Expected<'_> {
    eval.series.iter().enumerate().map(|(pos, s)| (&s.labels, (pos, &s.points[..]))).collect()
}

fn vector(eval: &Eval, samples: &[VectorSample]) -> Result<(), String> {
    if eval.scalar.is_some() {
        return Err("expected scalar result, but got a vector".to_owned());
    }
    let mut missing = expected(eval);
    for (pos, sample) in samples.iter().enumerate() {
        let shown = show(&sample.value);
        let (expected_pos, points) = missing
            .remove(&sample.labels)
            .ok_or_else(|| format!("unexpected metric {} in result, has value {shown}", sample.labels))?;
        if eval.ordered && expected_pos != pos {
            return Err(format!(
                "expected metric {} at position {expected_pos} but was at {pos}",
                sample.labels
            ));
        }
        let wrong = |what: &str| Err(format!("expected {what} for {} but got {shown}", sample.labels));
        match (points.first(), &sample.value) {
            (Some(Point::Float(expected)), SampleValue::Float(v)) => {
                if !almost_equal(*expected, *v, EPSILON) {
                    return wrong(&plain(*expected));
                }
            }
            (Some(Point::Histogram { h, hint_given }), SampleValue::Histogram(got)) => {
                if !same_histogram(h, got, *hint_given) {
                    return wrong(&describe(h));
                }
            }
            (expected, _) => return wrong(&format!("{expected:?}")),
        }
    }
    none_missing(&missing)
}

fn none_missing(missing: &Expected<'_>) -> Result<(), String> {
    match missing.iter().next() {
        None => Ok(()),
        Some((labels, _)) => Err(format!("expected metric {labels} not found")),
    }
}

fn matrix(
    eval: &Eval,
    series: &[MatrixSeries],
    (start_ms, end_ms, step_ms): (i64, i64, i64),
) -> Result<(), String> {
    if eval.ordered || eval.scalar.is_some() {
        return Err("expected another type of result, but got a matrix".to_owned());
    }
    if !series.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("series of a matrix are not sorted by labels".to_owned());
    }
    let mut missing = expected(eval);
    for one in series {
        let (_, points) = missing
            .remove(&one.labels)
            .ok_or_else(|| format!("unexpected metric {} in result, has {}", one.labels, show_series(one)))?;
        let wrong = |what: String| Err(format!("{what} for {}, got {}", one.labels, show_series(one)));
        let (mut floats, mut histograms) = (one.floats.iter(), one.histograms.iter());
        for (step, point) in points.iter().enumerate() {
            let t_ms = start_ms.saturating_add((step as i64).saturating_mul(step_ms));
            if t_ms > end_ms {
                return wrong(format!("expected {} points, more than there are steps", points.len()));
            }
            match point {
                Point::Omitted => {}
                Point::Float(expected) => match floats.next() {
                    Some(s) if s.t_ms == t_ms && almost_equal(s.v, *expected, EPSILON) => {}
                    _ => return wrong(format!("expected {expected} at {t_ms}")),
                },
                Point::Histogram { h, hint_given } => match histograms.next() {
                    Some(s) if s.t_ms == t_ms && same_histogram(h, &s.h, *hint_given) => {}
                    _ => return wrong(format!("expected {} at {t_ms}", describe(h))),
                },
            }
        }
        if floats.next().is_some() || histograms.next().is_some() {
            return wrong("expected fewer points".to_owned());
        }
    }
    none_missing(&missing)
}

fn same_histogram(expected: &FloatHistogram, got: &FloatHistogram, with_hint: bool) -> bool {
    let (mut a, mut b) = (expected.clone(), got.clone());
    compact(&mut a);
    compact(&mut b);
    let near = |a: f64, b: f64| almost_equal(a, b, EPSILON);
    let all_near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b));
    a.schema == b.schema
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && a.custom_values == b.custom_values
        && a.zero_threshold == b.zero_threshold
        && near(a.zero_count, b.zero_count)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all_near(&a.positive, &b.positive)
        && all_near(&a.negative, &b.negative)
        && (!with_hint || a.reset == b.reset)
}

fn show(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) => plain(*v),
        SampleValue::Histogram(h) => format!("{} ({:?}, schema {})", describe(h), h.reset, h.schema),
    }
}

fn show_series(series: &MatrixSeries) -> String {
    let floats = series.floats.iter().map(|s| format!("{}@{}", plain(s.v), s.t_ms));
    let histograms =
        series.histograms.iter().map(|s| format!("{} ({:?})@{}", describe(&s.h), s.h.reset, s.t_ms));
    floats.chain(histograms).collect::<Vec<_>>().join(" ")
}

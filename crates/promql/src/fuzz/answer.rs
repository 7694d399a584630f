//! What a server shows of an answer, from whichever server it is: the HTTP API's view, in which a histogram is
//! its count, its sum and its buckets with something in them.

use crate::value::{QueryResult, SampleValue, Value};
use nilometer_model::{FloatHistogram, Labels};
use std::fmt;

#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// `scalar`, `vector` or `matrix`.
    pub kind: String,
    /// In the order of the answer.
    pub series: Vec<Series>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// Labels, and points with their times.
pub type Series = (Labels, Vec<(i64, Point)>);

/// The answer, or the message of a refusal.
pub type Outcome = Result<Answer, String>;

#[derive(Clone, Debug)]
pub enum Point {
    Float(f64),
    Histogram(Shown),
}

#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub count: f64,
    pub sum: f64,
    pub buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Which bounds are part of it: 0 the upper, 1 the lower, 2 none, 3 both.
    pub rule: u8,
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

impl Point {
    /// All numbers that arithmetic made.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Point::Float(v) => vec![*v],
            Point::Histogram(h) => {
                [h.count, h.sum].into_iter().chain(h.buckets.iter().map(|b| b.count)).collect()
            }
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point::Histogram(h) = self else {
            let Point::Float(v) = self else { unreachable!("a point is one or the other") };
            return write!(f, "{v:e}");
        };
        write!(f, "{{count {:e}, sum {:e}", h.count, h.sum)?;
        h.buckets
            .iter()
            .try_for_each(|b| write!(f, ", {}:{:e}..{:e}={:e}", b.rule, b.lower, b.upper, b.count))?;
        f.write_str("}")
    }
}

impl Shown {
    pub fn of(h: &FloatHistogram) -> Shown {
        let bucket = |b: nilometer_model::histogram::Bucket<f64>| Bucket {
            rule: match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            },
            lower: b.lower,
            upper: b.upper,
            count: b.count,
        };
        let buckets = h.all_buckets().filter(|b| b.count != 0.0).map(bucket).collect();
        Shown { count: h.count, sum: h.sum, buckets }
    }
}

impl From<QueryResult> for Answer {
    fn from(result: QueryResult) -> Answer {
        let (kind, series) = match result.value {
            Value::Scalar { t_ms, v } => ("scalar", vec![(Labels::empty(), vec![(t_ms, Point::Float(v))])]),
            Value::String { .. } => ("string", Vec::new()),
            Value::Vector(samples) => {
                let point = |value: &SampleValue| match value {
                    SampleValue::Float(v) => Point::Float(*v),
                    SampleValue::Histogram(h) => Point::Histogram(Shown::of(h)),
                };
                (
                    "vector",
                    samples.iter().map(|s| (s.labels.clone(), vec![(s.t_ms, point(&s.value))])).collect(),
                )
            }
            Value::Matrix(series) => {
                let points = |s: &crate::value::MatrixSeries| {
                    let floats = s.floats.iter().map(|p| (p.t_ms, Point::Float(p.v)));
                    let histograms = s.histograms.iter().map(|p| (p.t_ms, Point::Histogram(Shown::of(&p.h))));
                    floats.chain(histograms).collect()
                };
                ("matrix", series.iter().map(|s| (s.labels.clone(), points(s))).collect())
            }
        };
        Answer { kind: kind.to_owned(), series, warnings: result.warnings, infos: result.infos }
    }
}

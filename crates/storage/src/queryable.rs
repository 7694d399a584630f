//! What holds data.

use crate::SeriesBatch;
use futures::Stream;
use futures::future::{self, Future};
use nilometer_chunk::Aggregate;
use nilometer_model::{Exemplar, Labels, Matcher, Result, TimeRange};
use std::pin::Pin;
use std::sync::Arc;

pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Batches of series; an error ends it. Dropping the stream cancels what is behind it.
pub type SeriesStream = Pin<Box<dyn Stream<Item = Result<SeriesBatch>> + Send>>;

/// Anything that holds series: a head, a block, a bucket, a peer, or several merged.
///
/// Implementations await only between batches: what a `poll` does is synchronous work on the caller's thread.
pub trait Queryable: Send + Sync + 'static {
    /// The series that match, sorted by their final labels unless [`Hints::unsorted`] says that any fixed
    /// order will do. No two series of one stream have the same labels, unless [`Hints::projection`] allows it.
    fn select(&self, select: Select) -> SeriesStream;

    /// All label names of the series that match, sorted.
    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>>;

    /// All values of one label among the series that match, sorted.
    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>>;

    /// The exemplars of the series that any of the matcher sets selects.
    fn exemplars(&self, _matchers: Vec<Vec<Matcher>>, _range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        Box::pin(future::ready(Ok(Vec::new())))
    }
}

/// Names or values, and what went wrong without failing.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub names: Vec<String>,
    pub warnings: Vec<String>,
}

pub type Exemplars = Vec<ExemplarSeries>;

/// The exemplars of one series, by time.
#[derive(Clone, Debug)]
pub struct ExemplarSeries {
    pub labels: Labels,
    pub exemplars: Vec<Exemplar>,
}

/// Which series, of which time. All matchers must match.
#[derive(Clone, Debug)]
pub struct Select {
    pub matchers: Arc<[Matcher]>,
    pub range: TimeRange,
    pub hints: Hints,
}

impl Select {
    pub fn new(matchers: impl Into<Arc<[Matcher]>>, range: TimeRange) -> Self {
        Select { matchers: matchers.into(), range, hints: Hints::default() }
    }
}

/// What the computation behind will do with the answer. A holder may use hints to do less, never to answer
/// something else.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Any fixed order that repeats will do.
    pub unsorted: bool,
    /// Only labels are wanted: chunks may be left out.
    pub labels_only: bool,
    /// Only the newest sample in the range is wanted: older ones may be left out.
    pub newest: bool,
    /// Only some labels are wanted, in any fixed order: others may be left out, and several series may then have the
    /// same.
    pub projection: Option<Projection>,
    pub func: Option<Func>,
    /// Width of a range selector, 0 for an instant one.
    pub range_ms: i64,
    /// Distance of evaluation steps, 0 for an instant query.
    pub step_ms: i64,
    pub grouping: Option<Grouping>,
    /// Which part of all series, by hash of labels: `(index, of)`.
    pub shard: Option<(u64, u64)>,
    /// The caller stops after so many series, so more need not be prepared; 0 is all.
    pub limit: usize,
    /// The coarsest resolution that will do; 0 is raw samples only.
    pub max_resolution_ms: i64,
    /// Where nothing as fine as that is left, coarser samples will do too.
    pub coarser_in_gaps: bool,
    /// Of downsampled samples only these are looked at: others may be left out. `None` is all.
    pub aggregates: Option<&'static [Aggregate]>,
}

/// The function or aggregation around a selector, by its PromQL name.
pub type Func = &'static str;

/// The grouping of the aggregation around a selector.
#[derive(Clone, Debug)]
pub struct Grouping {
    pub by: bool,
    pub labels: Vec<String>,
}

/// Some names of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    Only(Arc<[String]>),
    AllBut(Arc<[String]>),
}

impl Projection {
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            Projection::Only(names) => names.iter().any(|n| n == name),
            Projection::AllBut(names) => !names.iter().any(|n| n == name),
        }
    }
}

/// Which series' labels, of which time. Matcher sets are joined by "or"; none selects all.
#[derive(Clone, Debug)]
pub struct LabelQuery {
    pub matcher_sets: Vec<Vec<Matcher>>,
    pub range: TimeRange,
    /// At most so many answers; 0 is all.
    pub limit: usize,
}

impl LabelQuery {
    pub fn all(range: TimeRange) -> Self {
        LabelQuery { matcher_sets: Vec::new(), range, limit: 0 }
    }
}

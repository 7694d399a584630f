//! The values that every room speaks of, and nothing that does I/O.
//!
//! Names are Prometheus' own: a *series* is a set of labels, a *sample* is a time and a value,
//! a *matcher* selects series. Times are milliseconds since 1970 (`_ms`), ranges are closed on both sides.

pub mod block_meta;
pub mod error;
pub mod histogram;
pub mod kahan;
pub mod labels;
pub mod matcher;
pub mod number;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod tenant;
pub mod time;
pub mod ulid;

pub use block_meta::{
    BlockCompaction, BlockDesc, BlockFile, BlockMeta, BlockStats, Downsample, FileHash, IndexStats,
    ThanosMeta,
};
pub use error::{Error, Kind, Result};
pub use histogram::{Count, CounterReset, FloatHistogram, Histogram, IntHistogram, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchKind, Matcher, RegexBytes};
pub use relabel::{Relabel, RelabelAction};
pub use sample::{Exemplar, Metadata, MetricType, STALE_NAN_BITS, Sample, Value, is_stale_nan};
pub use tenant::Tenant;
pub use time::TimeRange;
pub use ulid::Ulid;

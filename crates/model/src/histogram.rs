//! Native histograms, one type for integer and float counts.
//!
//! Buckets are **absolute** counts here, in both kinds; the deltas of the wire and of chunks exist only in
//! the codecs.

/// A run of buckets: `offset` from the end of the run before (from bucket 0 for the first), `length` buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// Whether a histogram counts on from the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterReset {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// The type of a bucket's count.
pub trait Count: Copy + PartialEq + PartialOrd + Default + std::fmt::Debug + Send + Sync + 'static {
    fn to_f64(self) -> f64;
}

impl Count for u64 {
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Count for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}

/// A histogram with exponential buckets, or with custom ones where `schema` is [`CUSTOM_BUCKETS_SCHEMA`].
#[derive(Clone, Debug, Default)]
pub struct Histogram<C> {
    pub reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: C,
    pub count: C,
    /// The stale NaN here marks the whole sample as stale.
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    /// Absolute counts, as many as the spans' lengths add up to.
    pub positive: Vec<C>,
    pub negative: Vec<C>,
    /// Upper bounds of custom buckets, ascending, without +Inf.
    pub custom_values: Vec<f64>,
}

pub type IntHistogram = Histogram<u64>;
pub type FloatHistogram = Histogram<f64>;

pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

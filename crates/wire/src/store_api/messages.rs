//! Requests, and the answers that are small.

use nilometer_model::{Error, Labels, MatchKind, Matcher, RegexBytes, Result};

/// Matchers of one request.
pub const MAX_MATCHERS: usize = 2_048;

/// What of a downsampled chunk is wanted. A raw chunk is always sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Aggr {
    Raw = 0,
    Count = 1,
    Sum = 2,
    Min = 3,
    Max = 4,
    Counter = 5,
}

/// What becomes of an answer that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum PartialResponseStrategy {
    /// It is sent, with a warning.
    Warn = 0,
    /// It is an error.
    Abort = 1,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelMatcher {
    /// 0 to 3: `=`, `!=`, `=~`, `!~`.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SeriesRequest {
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
    /// The coarsest resolution that will do; 0 is raw samples only.
    #[prost(int64, tag = "4")]
    pub max_resolution_ms: i64,
    #[prost(enumeration = "Aggr", repeated, tag = "5")]
    pub aggregates: Vec<i32>,
    /// Older than the strategy; either can say it.
    #[prost(bool, tag = "6")]
    pub partial_response_disabled: bool,
    #[prost(enumeration = "PartialResponseStrategy", tag = "7")]
    pub partial_response_strategy: i32,
    /// Only labels are wanted.
    #[prost(bool, tag = "8")]
    pub skip_chunks: bool,
    #[prost(message, optional, tag = "12")]
    pub query_hints: Option<QueryHints>,
    #[prost(message, optional, tag = "13")]
    pub shard_info: Option<ShardInfo>,
    /// Labels that are taken off before series are sorted.
    #[prost(string, repeated, tag = "14")]
    pub without_replica_labels: Vec<String>,
    /// Of series; 0 is all.
    #[prost(int64, tag = "15")]
    pub limit: i64,
    /// Series in one message; 0 and 1 are each in its own.
    #[prost(int64, tag = "16")]
    pub response_batch_size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryHints {
    #[prost(int64, tag = "1")]
    pub step_ms: i64,
    #[prost(message, optional, tag = "2")]
    pub func: Option<Func>,
    #[prost(message, optional, tag = "4")]
    pub grouping: Option<Grouping>,
    #[prost(message, optional, tag = "5")]
    pub range: Option<RangeHint>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Func {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Grouping {
    #[prost(bool, tag = "1")]
    pub by: bool,
    #[prost(string, repeated, tag = "3")]
    pub labels: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RangeHint {
    #[prost(int64, tag = "1")]
    pub range_ms: i64,
}

/// Which part of all series is wanted, by a hash of some of their labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardInfo {
    #[prost(int64, tag = "1")]
    pub index: i64,
    /// Less than 1: all series.
    #[prost(int64, tag = "2")]
    pub total: i64,
    /// Of the labels named, or of all others.
    #[prost(bool, tag = "3")]
    pub by: bool,
    #[prost(string, repeated, tag = "4")]
    pub labels: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelNamesRequest {
    #[prost(bool, tag = "1")]
    pub partial_response_disabled: bool,
    #[prost(enumeration = "PartialResponseStrategy", tag = "2")]
    pub partial_response_strategy: i32,
    #[prost(int64, tag = "3")]
    pub start_ms: i64,
    #[prost(int64, tag = "4")]
    pub end_ms: i64,
    #[prost(message, repeated, tag = "6")]
    pub matchers: Vec<LabelMatcher>,
    #[prost(string, repeated, tag = "7")]
    pub without_replica_labels: Vec<String>,
    #[prost(int64, tag = "8")]
    pub limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelNamesResponse {
    #[prost(string, repeated, tag = "1")]
    pub names: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelValuesRequest {
    #[prost(string, tag = "1")]
    pub label: String,
    #[prost(bool, tag = "2")]
    pub partial_response_disabled: bool,
    #[prost(enumeration = "PartialResponseStrategy", tag = "3")]
    pub partial_response_strategy: i32,
    #[prost(int64, tag = "4")]
    pub start_ms: i64,
    #[prost(int64, tag = "5")]
    pub end_ms: i64,
    #[prost(message, repeated, tag = "7")]
    pub matchers: Vec<LabelMatcher>,
    #[prost(string, repeated, tag = "8")]
    pub without_replica_labels: Vec<String>,
    #[prost(int64, tag = "9")]
    pub limit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelValuesResponse {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelSet {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

/// `InfoRequest`, and what says by being there that an API is served.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct InfoResponse {
    /// The external labels of all that is held.
    #[prost(message, repeated, tag = "1")]
    pub label_sets: Vec<LabelSet>,
    /// `sidecar`, `store`, `receive`, `rule` or `query`.
    #[prost(string, tag = "2")]
    pub component: String,
    /// Absent: there is no StoreAPI.
    #[prost(message, optional, tag = "3")]
    pub store: Option<StoreInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StoreInfo {
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    #[prost(bool, tag = "3")]
    pub supports_sharding: bool,
    #[prost(bool, tag = "5")]
    pub supports_without_replica_labels: bool,
    #[prost(message, repeated, tag = "6")]
    pub tsdb_infos: Vec<TsdbInfo>,
}

/// What is held with one set of external labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TsdbInfo {
    #[prost(message, optional, tag = "1")]
    pub labels: Option<LabelSet>,
    #[prost(int64, tag = "2")]
    pub min_time_ms: i64,
    #[prost(int64, tag = "3")]
    pub max_time_ms: i64,
}

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthResponse {
    /// 1: serving, 2: not serving.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        let one = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
        LabelSet { labels: labels.iter().map(one).collect() }
    }
}

impl From<&LabelSet> for Labels {
    fn from(set: &LabelSet) -> Self {
        Labels::from_pairs(set.labels.iter().map(|label| (&label.name, &label.value)))
    }
}

impl From<&Matcher> for LabelMatcher {
    fn from(matcher: &Matcher) -> Self {
        let kind = match matcher.kind {
            MatchKind::Equal => 0,
            MatchKind::NotEqual => 1,
            MatchKind::Regex => 2,
            MatchKind::NotRegex => 3,
        };
        LabelMatcher { kind, name: matcher.name.to_string(), value: matcher.value.to_string() }
    }
}

impl LabelMatcher {
    fn checked(&self) -> Result<Matcher> {
        let kind = match self.kind {
            0 => MatchKind::Equal,
            1 => MatchKind::NotEqual,
            2 => MatchKind::Regex,
            3 => MatchKind::NotRegex,
            other => return Err(Error::invalid(format!("there is no matcher of type {other}, only 0 to 3"))),
        };
        Matcher::new(kind, &self.name, &self.value)
    }
}

/// The matchers of a request.
///
/// # Errors
/// `Limit` where they are too many, or their regular expressions too large together; `Invalid` where one is wrong.
pub fn matchers(raw: &[LabelMatcher]) -> Result<Vec<Matcher>> {
    if raw.len() > MAX_MATCHERS {
        return Err(Error::limit("max_matchers", MAX_MATCHERS as u64, "a request has too many matchers"));
    }
    let mut regexes = RegexBytes::default();
    let one = |raw: &LabelMatcher| {
        let matcher = raw.checked()?;
        regexes.add(&matcher).map(|()| matcher)
    };
    raw.iter().map(one).collect()
}

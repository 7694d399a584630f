//! Thanos' StoreAPI: what a querier asks of a store, and what that answers.
//!
//! The small messages are prost's, declared by hand from Thanos' `.proto` files. The one that all bytes of an answer
//! are in, `SeriesResponse`, is written and read here: from and into packed labels, with chunks left where they
//! lie.
//!
//! Source: Thanos' `pkg/store/storepb/{rpc,types}.proto` and `pkg/info/infopb/rpc.proto`.

mod messages;
mod response;

pub use messages::{
    Aggr, Empty, Func, Grouping, HealthRequest, HealthResponse, InfoResponse, Label, LabelMatcher,
    LabelNamesRequest, LabelNamesResponse, LabelSet, LabelValuesRequest, LabelValuesResponse, MAX_MATCHERS,
    PartialResponseStrategy, QueryHints, RangeHint, SeriesRequest, ShardInfo, StoreInfo, TsdbInfo, matchers,
};
pub use response::{ChunkParts, Frame, Response, SeriesFrames, SeriesIter, SeriesView};

#[cfg(test)]
mod tests;

//! Remote write 1.0 and 2.0: a request as columns of small records that point into the decompressed body.
//!
//! One [`WriteRequest`] is filled again and again: its arenas keep their memory, so that in the steady state
//! nothing is allocated, least of all per series or label. Both versions come out the same:
//!
//! ```text
//! body    │ 0a 1c 0a 08 __name__ 12 02 up 0a … │ 12 10 09 <value> 10 <time> │ …     stays where it is
//!           └──────────── key ───────────────┘
//! series  │ key, samples a..b, histograms c..d, exemplars e..f, metadata │ …
//! samples │ time, value, start │ …      histograms │ time, start, bytes │ …
//! ```
//!
//! The **key** of a series is its labels in the one form that equal sets of labels have equal bytes in (the
//! head of `labels.rs` draws it). Version 1.0 usually sends just that, so the key is a slice of the body; for
//! 2.0 it is put together from the symbols. A hub looks the key up in a table and needs nothing else of the
//! labels.
//!
//! What is wrong with the message as protobuf refuses the whole request. What is wrong with one series or
//! one exemplar (a reference to no symbol, say) is a [`Defect`] of that one, and with one histogram the error
//! of decoding it: the others are good.

mod defect;
pub mod encode;
mod histogram;
mod labels;
mod limits;
mod metadata;
mod request;
mod sample;
mod text;
mod v1;
mod v2;
mod view;

#[cfg(test)]
mod tests;

pub use defect::Defect;
pub use histogram::HistogramRef;
pub use labels::LabelIter;
pub use limits::Limits;
pub use request::{RETAINED_BYTES, WriteRequest};
pub use sample::FloatSample;
pub use view::{ExemplarRef, Identity, MetadataRef, Series};

/// The message that a body holds, as its Content-Type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

impl Message {
    pub fn proto_name(self) -> &'static str {
        match self {
            Message::V1 => "prometheus.WriteRequest",
            Message::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The header that senders announce it with.
    pub fn content_type(self) -> &'static str {
        match self {
            Message::V1 => "application/x-protobuf",
            Message::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }
}

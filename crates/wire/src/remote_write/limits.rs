//! How much one request may hold.

use super::Message;
use crate::protobuf::Malformed;
use nilometer_model::Error;

/// Bounds of one request: what exceeds one is refused with `Kind::Limit` and the limit's name. Together they
/// bound the memory that decoding takes, whatever the bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_decompressed_bytes: usize,
    pub max_series: u32,
    /// Float samples.
    pub max_samples: u32,
    pub max_histograms: u32,
    pub max_exemplars: u32,
    /// Entries of metadata, in 1.0 those of the request, in 2.0 those of all series.
    pub max_metadata: u32,
    /// Symbols of a 2.0 request.
    pub max_symbols: u32,
    /// Bytes of all labels that had to be written out, also those of series refused in the end: references of
    /// 2.0 and labels in another form than the usual one. A reference of one byte can stand for a symbol of
    /// megabytes, so this bounds time as well as memory.
    pub max_label_bytes: u32,
    /// A series over it is refused, its request is not.
    pub max_labels_per_series: u32,
    /// Bytes of the names and values of one series, their framing included; a series over it is refused, its
    /// request is not.
    pub max_label_bytes_per_series: u32,
    /// Buckets of one histogram, positive and negative together, or its custom values; a histogram over it
    /// is refused, its request is not.
    pub max_buckets_per_histogram: u32,
}

impl Default for Limits {
    /// As much as Prometheus itself takes in one request, and more than its senders ever put into one.
    fn default() -> Self {
        Limits {
            max_decompressed_bytes: 32 << 20,
            max_series: 200_000,
            max_samples: 1_000_000,
            max_histograms: 200_000,
            max_exemplars: 200_000,
            max_metadata: 200_000,
            max_symbols: 1_000_000,
            max_label_bytes: 64 << 20,
            max_labels_per_series: 512,
            max_label_bytes_per_series: 256 << 10,
            max_buckets_per_histogram: 20_000,
        }
    }
}

/// Why reading a request stopped, small enough to be passed up a hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Malformed(Malformed),
    Limit {
        name: &'static str,
        max: u32,
    },
    /// All that was sent are fields of the other version's message.
    OtherMessage {
        looks_like: Message,
    },
    /// Symbols begin with the empty string, so that a reference of 0 means "none".
    FirstSymbol,
}

impl From<Malformed> for Stop {
    fn from(m: Malformed) -> Stop {
        Stop::Malformed(m)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Error {
        match stop {
            Stop::Malformed(m) => m.into(),
            Stop::Limit { name, max } => {
                let what = name.trim_start_matches("max_").replace('_', " ");
                Error::limit(
                    name,
                    max.into(),
                    format!("too many {what} in one request; send fewer at a time"),
                )
            }
            Stop::OtherMessage { looks_like } => Error::invalid(format!(
                "the body is not the message that the Content-Type names, it looks like {}; send it with \
                 Content-Type: {}",
                looks_like.proto_name(),
                looks_like.content_type()
            )),
            Stop::FirstSymbol => {
                Error::invalid("the first symbol of a remote write 2.0 request must be the empty string")
            }
        }
    }
}

/// Refuses what would make a column longer than its limit.
#[inline]
pub(super) fn check(name: &'static str, len: usize, max: u32) -> Result<(), Stop> {
    if len >= max as usize { Err(Stop::Limit { name, max }) } else { Ok(()) }
}

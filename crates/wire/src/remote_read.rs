//! Remote read: what a Prometheus asks for whole series, and both forms of the answer.
//!
//! ```text
//! ReadRequest ─▶ [`ReadRequest`]          snappy, read whole
//! ReadResponse ◀─ [`put_series`], [`put_result`]     samples; one message, snappy
//! ChunkedReadResponse ◀─ [`Frames`]       chunks as they are; a message after the other:
//! ┌─────────────┬───────────────────────┬─────────┐
//! │ len <varint>│ CRC-32C <4 bytes, BE> │ message │ …
//! └─────────────┴───────────────────────┴─────────┘
//! ```
//!
//! Source: Prometheus' `prompb/remote.proto` and `storage/remote/chunked.go`.

mod answer;
mod request;

#[cfg(test)]
mod tests;

pub use answer::{Frames, put_result, put_series};
pub use request::{MAX_MATCHERS, MAX_QUERIES, ReadQuery, ReadRequest, ResponseType};

/// The header of an answer with samples, whose body is compressed by snappy.
pub const SAMPLES_TYPE: &str = "application/x-protobuf";
/// The header of an answer with chunks.
pub const CHUNKS_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

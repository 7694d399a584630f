//! Answers as gzip or zstd, for who accepts that.
//!
//! They are compressed as they are sent, piece by piece, at the quickest level: JSON of samples shrinks tenfold
//! at any, and who computes queries has better use for its cores. Answers that are compressed already (remote
//! read) and short ones stay as they are.

use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

/// A frame of the network holds more.
const WORTH_IT_BYTES: u64 = 1024;

type IsText = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

pub(crate) fn layer() -> CompressionLayer<And<SizeAbove, IsText>> {
    let when = SizeAbove::new(WORTH_IT_BYTES).and(is_text as IsText);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(when)
}

fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let texts: [&[u8]; 4] = [
        b"application/json",
        b"text/",
        b"application/openmetrics-text",
        // Names and labels of /federate, mostly.
        b"application/vnd.google.protobuf",
    ];
    texts.iter().any(|text| kind.starts_with(text))
}

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
    let texts: [&[u8]; 5] = [
        b"application/json",
        b"application/yaml",
        b"text/",
        b"application/openmetrics-text",
        // Names and labels of /federate, mostly.
        b"application/vnd.google.protobuf",
    ];
    texts.iter().any(|text| kind.starts_with(text))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, Response, header};
    use axum::routing::get;
    use futures::stream;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use std::convert::Infallible;

    /// What an answer of this type, that is sent in 100 pieces of 100 bytes, looks like to who accepts `encodings`.
    async fn answered(kind: &'static str, encodings: &str) -> (Response<()>, Vec<u8>) {
        let handler = move || async move {
            let pieces = stream::iter(vec![Ok::<_, Infallible>("0123456789".repeat(10)); 100]);
            ([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces))
        };
        let routes = Router::new().route("/", get(handler)).layer(super::layer());
        let request = Request::get("/").header(header::ACCEPT_ENCODING, encodings);
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = TowerToHyperService::new(routes).call(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, ()), body.to_vec())
    }

    #[tokio::test]
    async fn as_it_is_accepted() {
        const GZIP: &[u8] = &[0x1f, 0x8b];
        const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
        for (encodings, name, begins) in [
            ("gzip", Some("gzip"), GZIP),
            ("zstd", Some("zstd"), ZSTD),
            ("gzip, deflate, br, zstd", Some("zstd"), ZSTD),
            ("gzip;q=1.0, zstd;q=0.5", Some("gzip"), GZIP),
            ("br, deflate", None, b"0123"),
            ("gzip;q=0", None, b"0123"),
            ("", None, b"0123"),
        ] {
            let (head, body) = answered("application/json", encodings).await;
            let said = head.headers().get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap());
            assert_eq!((said, &body[..begins.len()]), (name, begins), "{encodings}");
            assert_eq!(name.is_some(), body.len() < 1000, "{encodings}: {} bytes", body.len());
            assert!(head.headers().get_all(header::VARY).iter().any(|v| v == "accept-encoding"));
        }
    }

    #[tokio::test]
    async fn what_is_no_text_stays() {
        let (head, body) = answered("application/x-protobuf", "gzip, zstd").await;
        assert!(!head.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(body.len(), 10_000);
    }
}

//! The one place where kinds of errors and refusals become answers over HTTP and gRPC.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use nilometer_access::Refusal;
use nilometer_model::{Error, Kind};
use tonic::{Code, Status};

/// What a sender is to wait where nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The status of an error outside the query API, whose own statuses are Prometheus'. 503 only for what a
/// retry can mend.
pub(crate) fn status_of(kind: &Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unavailable | Kind::Canceled => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        // As many tenants as there may be: no smaller request would be taken either.
        Kind::Limit { name: "max_tenants", .. } => StatusCode::BAD_REQUEST,
        Kind::Limit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
    }
}

/// A line of text; with `Retry-After` where the status asks to come again.
pub(crate) fn text(status: StatusCode, message: impl std::fmt::Display) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{message}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}

pub(crate) fn error(error: &Error) -> Response<Body> {
    text(status_of(error.kind()), error)
}

pub(crate) fn refusal(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = text(status, refusal);
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = refusal.challenge() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// What a call ends with.
pub(crate) fn grpc_status(error: &Error) -> Status {
    let code = match error.kind() {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unavailable => Code::Unavailable,
        Kind::Canceled => Code::DeadlineExceeded,
        Kind::Corrupt { .. } => Code::DataLoss,
        Kind::Limit { .. } => Code::ResourceExhausted,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::AlreadyExists,
    };
    Status::new(code, error.to_string())
}

pub(crate) fn grpc_refusal(refusal: &Refusal) -> Status {
    let code = match refusal.status() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::InvalidArgument,
    };
    Status::new(code, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_retry_mends_asks_for_one() {
        let kinds = [
            (Kind::Invalid, 400),
            (Kind::Unavailable, 503),
            (Kind::Canceled, 503),
            (Kind::Corrupt { path: String::new(), offset: 0 }, 500),
            (Kind::Limit { name: "max_decompressed_bytes", max: 1 }, 413),
            (Kind::Limit { name: "max_tenants", max: 1 }, 400),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
        ];
        for (kind, status) in kinds {
            let answer = error(&Error::new(kind, "why"));
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), status == 503);
        }
    }
}

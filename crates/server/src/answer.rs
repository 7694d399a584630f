//! The one place where kinds of errors become HTTP statuses.

use axum::http::StatusCode;
use nilometer_model::Kind;

/// The status of an error outside the query API, whose own statuses are Prometheus'.
pub(crate) fn status_of(kind: &Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unavailable | Kind::Canceled => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Limit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
    }
}

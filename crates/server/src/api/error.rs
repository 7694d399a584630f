//! Errors of the API: Prometheus' types, statuses and JSON.

use super::json::{Escape, push_text};
use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use nilometer_model::{Error, Kind};

/// What `errorType` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorType {
    BadData,
    /// The request is more than is read.
    TooLarge,
    Execution,
    Timeout,
    Canceled,
    Internal,
    Unavailable,
    NotFound,
}

impl ErrorType {
    fn as_str(self) -> &'static str {
        match self {
            ErrorType::BadData | ErrorType::TooLarge => "bad_data",
            ErrorType::Execution => "execution",
            ErrorType::Timeout => "timeout",
            ErrorType::Canceled => "canceled",
            ErrorType::Internal => "internal",
            ErrorType::Unavailable => "unavailable",
            ErrorType::NotFound => "not_found",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            ErrorType::BadData => StatusCode::BAD_REQUEST,
            ErrorType::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // Prometheus 3 answers a canceled query with 499. Its client is gone, so who reads this is one
            // whose query ended with the process: it may retry.
            ErrorType::Timeout | ErrorType::Canceled | ErrorType::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorType::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorType::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// What is answered instead of data.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorType,
    pub(crate) message: String,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        ApiError::new(ErrorType::BadData, message)
    }

    /// Prometheus' text, and what sets the time.
    pub(crate) fn timed_out(what: impl std::fmt::Display) -> Self {
        let limit = "limit query.timeout, or the request's own timeout";
        ApiError::new(ErrorType::Timeout, format!("{what} ({limit})"))
    }

    pub(crate) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        ApiError::bad_data(format!("invalid parameter {}: {what}", super::text::quoted(name)))
    }
}

/// Of what went wrong while answering: the request itself was understood, so that a mistake in it now is one
/// of execution.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::Invalid | Kind::Conflict | Kind::Limit { .. } => ErrorType::Execution,
            Kind::Unavailable => ErrorType::Unavailable,
            Kind::Corrupt { .. } => ErrorType::Internal,
            Kind::NotFound => ErrorType::NotFound,
            Kind::Canceled if error.message().starts_with("query timed out") => ErrorType::Timeout,
            Kind::Canceled => ErrorType::Canceled,
        };
        match kind {
            ErrorType::Timeout => ApiError::timed_out(error),
            _ => ApiError { kind, message: error.to_string() },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut json = b"{\"status\":\"error\",\"errorType\":".to_vec();
        push_text(&mut json, self.kind.as_str(), Escape::Html);
        json.extend_from_slice(b",\"error\":");
        push_text(&mut json, &self.message, Escape::Html);
        json.push(b'}');
        (self.kind.status(), [(header::CONTENT_TYPE, "application/json")], json).into_response()
    }
}

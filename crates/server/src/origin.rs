//! Which pages of other origins may read answers, as Prometheus' `--web.cors.origin` says.
//!
//! It stands outside of authentication: a browser asks without a credential what it may (`OPTIONS`), and a page
//! that may read answers may also read that its credential was refused.

use crate::Hub;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use nilometer_model::Result;
use nilometer_model::regex::Regex;
use std::sync::Arc;

/// The origins that may.
#[derive(Clone, Debug)]
pub struct Origins(Option<Arc<Regex>>);

impl Origins {
    /// Those that `pattern` matches whole.
    ///
    /// # Errors
    /// `Invalid` where it is no regular expression.
    pub fn matching(pattern: &str) -> Result<Self> {
        Ok(Origins(Some(Arc::new(Regex::new(pattern)?))))
    }

    /// None at all.
    pub fn none() -> Self {
        Origins(None)
    }

    /// Says so in the headers of an answer to a request from `origin`.
    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Origins(Some(pattern)) = self else { return };
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if pattern.pattern() == ".*" {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if origin.to_str().is_ok_and(|origin| pattern.is_match(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

impl Default for Origins {
    /// Prometheus' and Thanos': all.
    fn default() -> Self {
        Origins(Regex::new(".*").ok().map(Arc::new))
    }
}

/// For routes that pages of other origins may ask.
pub(crate) async fn cross_origin(
    State(hub): State<Arc<Hub>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    hub.web.origins.allow(origin.as_ref(), response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &Origins, origin: Option<&'static str>) -> (usize, String) {
        let mut headers = HeaderMap::new();
        origins.allow(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        let said = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        (headers.len(), said.map_or(String::new(), |v| v.to_str().unwrap().to_owned()))
    }

    #[test]
    fn as_prometheus_answers() {
        let said = |len: usize, origin: &str| (len, origin.to_owned());
        let all = Origins::default();
        assert_eq!(allowed(&all, None), said(1, ""));
        assert_eq!(allowed(&all, Some("https://a.example")), said(5, "*"));
        let some = Origins::matching(r"https?://(a|b)\.example").unwrap();
        assert_eq!(allowed(&some, Some("https://a.example")), said(5, "https://a.example"));
        assert_eq!(allowed(&some, Some("https://a.example.evil")), said(4, ""));
        assert_eq!(allowed(&some, Some("https://xa.example")), said(4, ""));
        assert_eq!(allowed(&Origins::none(), Some("https://a.example")), said(0, ""));
        assert!(Origins::matching("(").is_err());
    }
}

//! OpenStack Swift. The crate that does the other protocols has none for it.
//!
//! ```text
//! <account>/<container>/<key>                                          an object, or the list of its parts
//!          /<segments container>/segments/<key>/<random>/<part>        a part of a large one
//! ```
//!
//! `segments/` is in no listing, as in Thanos. Swift makes an object only if it is not there, but cannot
//! replace a certain version of one: the probe says so.

mod login;
mod object;

use super::client_options;
use crate::backend::Failure;
use crate::bucket::Parts;
use crate::config::Swift as Config;
use bytes::Bytes;
use futures::StreamExt;
use login::{Session, login};
use nilometer_env::Clock;
use nilometer_model::{Error, Kind, Result};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::{HeaderMap, HeaderValue};
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A token is renewed so long before it ends.
const RENEW_BEFORE_MS: i64 = 60_000;
/// Answers that are no objects: a page of a listing has 10,000 names at most.
const MAX_ANSWER_BYTES: u64 = 32 << 20;

pub(crate) struct Swift {
    http: Http,
    config: Config,
    clock: Arc<dyn Clock>,
    random: Arc<dyn nilometer_env::Random>,
    /// One login at a time.
    session: Mutex<Option<Session>>,
}

pub(crate) fn open(config: &Config, parts: &Parts) -> Result<Swift> {
    // Where objects are is only known after the login, so http is possible where the login is by http.
    let options = client_options(&config.http, &config.auth_url, &*parts.fs)?;
    let connected = ReqwestConnector::default().connect(&options);
    let client = connected.map_err(|e| Error::invalid(format!("cannot make a client for Swift: {e}")))?;
    Ok(Swift {
        http: Http(client),
        config: config.clone(),
        clock: parts.clock.clone(),
        random: parts.random.clone(),
        session: Mutex::new(None),
    })
}

impl Swift {
    async fn session(&self, refused: Option<&str>) -> Result<Session, Failure> {
        let mut session = self.session.lock().await;
        let is_good = |s: &Session| {
            let is_young = s.expires_ms.is_none_or(|ms| ms - RENEW_BEFORE_MS > self.clock.wall_ms());
            is_young && refused != Some(s.token.as_str())
        };
        if let Some(good) = session.as_ref().filter(|s| is_good(s)) {
            return Ok(good.clone());
        }
        let new = login(&self.http, &self.config).await?;
        *session = Some(new.clone());
        Ok(new)
    }

    /// A request below the account; once more with a new token if the old one is refused.
    async fn ask(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        let mut session = self.session(None).await?;
        for is_last in [false, true] {
            let url = format!("{}/{}", session.storage_url, ask.path);
            let mut headers = ask.headers.to_vec();
            headers.push(("x-auth-token", session.token.as_str()));
            let response =
                self.http.send_limited(ask.method, &url, &headers, (ask.body.clone(), ask.max_bytes));
            let response = response.await?;
            if response.status != 401 || is_last {
                return Ok(response);
            }
            session = self.session(Some(&session.token.clone())).await?;
        }
        unreachable!("the second time is the last")
    }
}

/// One request.
struct Ask<'a> {
    method: &'a str,
    /// Container, key and query.
    path: String,
    headers: &'a [(&'static str, &'a str)],
    body: Bytes,
    max_bytes: u64,
}

impl<'a> Ask<'a> {
    fn new(method: &'a str, path: String) -> Self {
        Ask { method, path, headers: &[], body: Bytes::new(), max_bytes: MAX_ANSWER_BYTES }
    }
}

struct Http(HttpClient);

struct Response {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Response, Failure> {
        self.send_limited(method, url, headers, (body, MAX_ANSWER_BYTES)).await
    }

    async fn send_limited(
        &self,
        method: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        (body, max_bytes): (Bytes, u64),
    ) -> Result<Response, Failure> {
        let invalid = |what: String| Failure::lasting(Error::invalid(what));
        let len = body.len();
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        if matches!(method, "PUT" | "POST") {
            // Also where it is 0, which clients leave out and Swift wants to hear.
            request.headers_mut().insert("content-length", HeaderValue::from(len));
        }
        *request.method_mut() = method.parse().map_err(|e| invalid(format!("{method}: {e}")))?;
        *request.uri_mut() = url.parse().map_err(|e| invalid(format!("{url}: {e}")))?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|e| invalid(format!("{name}: {e}")))?;
            request.headers_mut().insert(*name, value);
        }
        let passing = |e: &dyn std::error::Error| Failure::passing(Error::unavailable(super::chain(e)));
        let response = self.0.execute(request).await.map_err(|e| passing(&e))?;
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        let announced = headers.get("content-length").and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        if method != "HEAD" && status < 300 && announced.is_some_and(|len| len > max_bytes) {
            return Err(crate::backend::memory::too_large(announced.unwrap_or_default(), max_bytes));
        }
        let mut bytes = Vec::new();
        let mut stream = body.bytes_stream();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|e| passing(&e))?);
            if bytes.len() as u64 > max_bytes.max(64 << 10) {
                return Err(crate::backend::memory::too_large(bytes.len() as u64, max_bytes));
            }
        }
        Ok(Response { status, headers, body: bytes.into() })
    }
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// For a status that is none of those that were expected.
    fn failure(&self, doing: &str) -> Failure {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        let text = format!("cannot {doing}: status code: {} {}", self.status, body.trim());
        match self.status {
            401 | 403 => Failure::lasting(super::denied(&text)),
            404 => Failure::lasting(Error::not_found(text)),
            409 | 412 => Failure::lasting(Error::conflict(text)),
            416 => Failure::lasting(Error::invalid("the range ends behind the object")),
            408 | 429 | 498 | 499 | 500.. => Failure::passing(Error::unavailable(text)),
            _ => Failure::lasting(Error::new(Kind::Invalid, text)),
        }
    }
}

/// A key within an address.
fn encoded(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            // Writing to a String does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_in_addresses() {
        assert_eq!(encoded("01A/chunks/000001"), "01A/chunks/000001");
        assert_eq!(encoded("a b+ü?&%"), "a%20b%2B%C3%BC%3F%26%25");
    }
}

//! Objects of Swift: one request each, but for those that are in parts.

use super::{Ask, Swift, encoded};
use crate::backend::memory::beyond;
use crate::backend::{
    Attempt, Attributes, Backend, Depth, Entry, Failure, Got, Page, PartsId, PutMode, Special, Version, Want,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use nilometer_model::Error;
use serde::Deserialize;
use serde_json::{Value, json};

/// In front of the parts of all large objects.
const SEGMENTS: &str = "segments/";
const PAGE_ENTRIES: usize = 10_000;

/// A line of a listing.
#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    #[serde(default)]
    bytes: u64,
    last_modified: Option<String>,
    subdir: Option<String>,
}

impl Swift {
    fn at(&self, key: &str) -> String {
        format!("{}/{}", encoded(&self.config.container), encoded(key))
    }

    async fn get_object(&self, key: &str, want: &Want) -> Result<Got, Failure> {
        let (range, max_bytes) = match want {
            Want::Whole { max_bytes } => (None, *max_bytes),
            Want::Range(range) => (
                Some(format!("bytes={}-{}", range.start, range.end.saturating_sub(1))),
                range.end - range.start,
            ),
        };
        let headers: Vec<_> = range.iter().map(|range| ("range", range.as_str())).collect();
        let ask = Ask { headers: &headers, max_bytes, ..Ask::new("GET", self.at(key)) };
        let response = self.ask(&ask).await?;
        if !matches!(response.status, 200 | 206) {
            return Err(response.failure("read it"));
        }
        match (want, response.header("content-length").and_then(|len| len.parse::<u64>().ok())) {
            // A connection that broke looks like an end where no length was said.
            (_, Some(len)) if len != response.body.len() as u64 => {
                let text = format!("{} bytes came instead of {len}", response.body.len());
                return Err(Failure::passing(Error::unavailable(text)));
            }
            (Want::Range(range), _) if response.body.len() as u64 != range.end - range.start => {
                return Err(beyond(range.start + response.body.len() as u64));
            }
            _ => {}
        }
        let version = version(response.header("etag"));
        Ok(Got { bytes: response.body, version })
    }

    async fn put_object(&self, key: &str, bytes: Bytes, mode: &PutMode) -> Result<Version, Failure> {
        let headers: &[_] = match mode {
            PutMode::Overwrite => &[],
            PutMode::IfAbsent => &[("if-none-match", "*")],
            PutMode::IfMatch(_) => {
                let text = "Swift cannot replace a certain version of an object";
                return Err(Failure::lasting(Error::invalid(text)));
            }
        };
        let response = self.ask(&Ask { headers, body: bytes, ..Ask::new("PUT", self.at(key)) }).await?;
        match response.status {
            201 | 202 => Ok(version(response.header("etag"))),
            _ => Err(response.failure("write it")),
        }
    }

    /// With its parts, if it is a large one.
    async fn delete_object(&self, key: &str) -> Result<(), Failure> {
        let head = self.ask(&Ask::new("HEAD", self.at(key))).await?;
        let is_static = head.header("x-static-large-object").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if head.status == 404 {
            return Ok(());
        }
        if is_static {
            let headers = &[("accept", "application/json")];
            let path = format!("{}?multipart-manifest=delete", self.at(key));
            let response = self.ask(&Ask { headers, ..Ask::new("DELETE", path) }).await?;
            return deleted_all(&response);
        }
        let response = self.ask(&Ask::new("DELETE", self.at(key))).await?;
        if !matches!(response.status, 200 | 204 | 404) {
            return Err(response.failure("delete it"));
        }
        // A dynamic one, of Thanos.
        match head.header("x-object-manifest").and_then(|at| at.split_once('/')) {
            Some((container, prefix)) => self.delete_below(container, prefix).await,
            None => Ok(()),
        }
    }

    /// `prefix` is as an address has it.
    async fn delete_below(&self, container: &str, prefix: &str) -> Result<(), Failure> {
        loop {
            let path = format!("{container}?format=json&prefix={}&limit=1000", prefix.replace('/', "%2F"));
            let lines = self.lines(path).await?;
            if lines.is_empty() {
                return Ok(());
            }
            for name in lines.iter().filter_map(|line| line.name.as_deref()) {
                let response =
                    self.ask(&Ask::new("DELETE", format!("{container}/{}", encoded(name)))).await?;
                if !matches!(response.status, 200 | 204 | 404) {
                    return Err(response.failure("delete a part of it"));
                }
            }
        }
    }

    async fn lines(&self, path: String) -> Result<Vec<Line>, Failure> {
        let response = self.ask(&Ask::new("GET", path)).await?;
        match response.status {
            200 => serde_json::from_slice(&response.body)
                .map_err(|e| Failure::passing(Error::unavailable(format!("a listing is not JSON: {e}")))),
            204 => Ok(Vec::new()),
            _ => Err(response.failure("list it")),
        }
    }

    async fn page(&self, folder: &str, depth: Depth, from: Option<String>) -> Result<Page, Failure> {
        let query = |text: &str| encoded(text).replace('/', "%2F");
        let mut path = format!("{}?format=json&limit={PAGE_ENTRIES}", encoded(&self.config.container));
        if !folder.is_empty() {
            path = format!("{path}&prefix={}", query(folder));
        }
        if depth == Depth::Folder {
            path.push_str("&delimiter=/");
        }
        if let Some(from) = from {
            path = format!("{path}&marker={}", query(&from));
        }
        let lines = self.lines(path).await?;
        let is_full = lines.len() == PAGE_ENTRIES;
        let mut entries: Vec<Entry> = lines.into_iter().filter_map(entry).collect();
        let next = entries.last().filter(|_| is_full).map(|last| last.key().to_owned());
        entries.retain(|entry| !entry.key().starts_with(SEGMENTS) && entry.key() != folder);
        Ok(Page { entries, next })
    }

    async fn put_segment(
        &self,
        key: &str,
        id: &PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Result<String, Failure> {
        let segment = format!("{}/{SEGMENTS}{key}/{}/{part:08}", self.config.segments_container, id.0);
        let len = bytes.len();
        let response = self.ask(&Ask { body: bytes, ..Ask::new("PUT", encoded(&segment)) }).await?;
        if !matches!(response.status, 201 | 202) {
            return Err(response.failure("write a part of it"));
        }
        let etag = response.header("etag").map(|etag| etag.trim_matches('"'));
        Ok(json!({ "path": format!("/{segment}"), "etag": etag, "size_bytes": len }).to_string())
    }

    async fn put_manifest(&self, key: &str, parts: &[String]) -> Result<Version, Failure> {
        let path = format!("{}?multipart-manifest=put", self.at(key));
        let body = Bytes::from(format!("[{}]", parts.join(",")));
        let response = self.ask(&Ask { body, ..Ask::new("PUT", path) }).await?;
        match response.status {
            201 | 202 => Ok(version(response.header("etag"))),
            _ => Err(response.failure("put its parts together")),
        }
    }
}

fn version(etag: Option<&str>) -> Version {
    Version { etag: etag.map(str::to_owned), generation: None }
}

/// Of a deletion with parts the status is in the body.
fn deleted_all(response: &super::Response) -> Result<(), Failure> {
    if !matches!(response.status, 200 | 204 | 404) {
        return Err(response.failure("delete it"));
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let status = body["Response Status"].as_str().unwrap_or("200");
    let errors = body["Errors"].as_array().map_or(0, Vec::len);
    if status.starts_with('2') && errors == 0 {
        return Ok(());
    }
    let text = format!("cannot delete it with its parts: {status}, {errors} of them");
    Err(Failure::passing(Error::unavailable(text)))
}

fn entry(line: Line) -> Option<Entry> {
    if let Some(folder) = line.subdir {
        return Some(Entry::Folder(folder));
    }
    // In UTC, without saying so.
    let time =
        line.last_modified.and_then(|time| time.trim_end_matches('Z').parse::<jiff::civil::DateTime>().ok());
    let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let attributes = Attributes {
        size_bytes: line.bytes,
        modified_ms: time.map(|time| time.timestamp().as_millisecond()),
    };
    Some(Entry::Object { key: line.name?, attributes })
}

impl Backend for Swift {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got> {
        async move { self.get_object(key, &want).await }.boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes> {
        async move {
            let response = self.ask(&Ask::new("HEAD", self.at(key))).await?;
            if !matches!(response.status, 200 | 204) {
                return Err(response.failure("look at it"));
            }
            let number = |name: &str| response.header(name).and_then(|value| value.parse::<f64>().ok());
            let len = response.header("content-length").and_then(|len| len.parse().ok());
            let no_length = || Failure::passing(Error::unavailable("the answer has no length"));
            Ok(Attributes {
                size_bytes: len.ok_or_else(no_length)?,
                modified_ms: number("x-timestamp").map(|seconds| (seconds * 1_000.0) as i64),
            })
        }
        .boxed()
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version> {
        async move { self.put_object(key, bytes, &mode).await }.boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()> {
        self.delete_object(key).boxed()
    }

    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page> {
        self.page(folder, depth, from).boxed()
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()> {
        async move {
            let source = format!("/{}", self.at(from));
            let headers = &[("x-copy-from", source.as_str())];
            let response = self.ask(&Ask { headers, ..Ask::new("PUT", self.at(to)) }).await?;
            match response.status {
                201 | 202 => Ok(()),
                _ => Err(response.failure("copy it")),
            }
        }
        .boxed()
    }

    fn start_parts<'a>(&'a self, _key: &'a str) -> Attempt<'a, PartsId> {
        let id = format!("{:016x}", self.random.u64());
        std::future::ready(Ok(PartsId(id))).boxed()
    }

    fn put_part<'a>(
        &'a self,
        key: &'a str,
        id: &'a PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Attempt<'a, String> {
        self.put_segment(key, id, part, bytes).boxed()
    }

    fn finish_parts<'a>(
        &'a self,
        key: &'a str,
        _id: &'a PartsId,
        parts: Vec<String>,
    ) -> Attempt<'a, Version> {
        async move { self.put_manifest(key, &parts).await }.boxed()
    }

    fn abort_parts<'a>(&'a self, key: &'a str, id: &'a PartsId) -> Attempt<'a, ()> {
        async move {
            let prefix = encoded(&format!("{SEGMENTS}{key}/{}/", id.0));
            self.delete_below(&encoded(&self.config.segments_container), &prefix).await
        }
        .boxed()
    }

    fn probe<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Special> {
        std::future::ready(Special { checks_sha256: None, object_lock: Some(false) }).boxed()
    }
}

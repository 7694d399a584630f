//! `search/metric_names`, `search/label_names` and `search/label_values`: names by a part of them, the best first, for
//! whoever completes what a person types. Behind `--enable-feature=search-api`, as in Prometheus.
//!
//! An answer is lines of JSON: batches of results, then one that says how it ended.

mod score;

use self::score::{Leniency, Terms};
use super::answer::{WriteSome, plain};
use super::error::{ApiError, ApiResult, ErrorType};
use super::json::{self, Escape, push_text};
use super::params::{Params, atoi, parse_bool};
use super::text::quoted;
use super::time::Timestamp;
use super::{Api, Reader};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response};
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Metadata, TimeRange};
use nilometer_storage::LabelQuery;
use std::cmp::Ordering;
use std::sync::Arc;

/// Results, and results of one line, where a request does not say.
const DEFAULT_LIMIT: usize = 100;
const DEFAULT_BATCH: usize = 100;
/// `search[]` of a request. As Prometheus.
const MAX_TERMS: usize = 32;
/// Each value is compared with each letter of a term.
const MAX_TERM_BYTES: usize = 1024;
/// Where a request names no start, it begins so long ago.
const DEFAULT_RANGE_MS: i64 = 3_600_000;
/// So much text, once for each term, is looked at without a break.
const BREAK_BYTES: usize = 64 << 10;

/// `GET` and `POST /search/metric_names`.
pub(crate) async fn metric_names(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Response<Body>> {
    let asked = Asked::read(&api, &params, "metric_names")?;
    let metadata = flag(&params, "include_metadata", false)?;
    asked.answer(&api, reader, params, Of::Metrics { metadata }).await
}

/// `GET` and `POST /search/label_names`.
pub(crate) async fn label_names(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Response<Body>> {
    let asked = Asked::read(&api, &params, "label_names")?;
    asked.answer(&api, reader, params, Of::Labels).await
}

/// `GET` and `POST /search/label_values`.
pub(crate) async fn label_values(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Response<Body>> {
    let asked = Asked::read(&api, &params, "label_values")?;
    let label = params.get("label").to_owned();
    if label.is_empty() {
        return Err(ApiError::bad_data("missing required parameter \"label\""));
    }
    asked.answer(&api, reader, params, Of::Values { label }).await
}

/// What is searched.
enum Of {
    Metrics { metadata: bool },
    Labels,
    Values { label: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Up,
    Down,
    /// The best first, equals by name.
    Score,
}

/// What all three are asked with.
struct Asked {
    terms: Terms,
    order: Order,
    range: TimeRange,
    limit: usize,
    batch: usize,
    score: bool,
}

impl Asked {
    fn read(api: &Api, params: &Params, endpoint: &str) -> ApiResult<Self> {
        if !api.search.enabled {
            let disabled = "search API disabled: start with --enable-feature=search-api";
            return Err(ApiError::new(ErrorType::Unavailable, disabled));
        }
        let range = range(params, api.clock.wall_ms())?;
        let terms = terms(params)?;
        let score = flag(params, "include_score", false)?;
        let order = order(params, endpoint)?;
        let max = api.search.max_limit;
        let limit = match number(params, "limit")? {
            None if max > 0 => DEFAULT_LIMIT.min(max),
            None => DEFAULT_LIMIT,
            Some(limit) if max > 0 && limit > max => {
                return Err(ApiError::bad_data(format!(
                    "limit {limit} exceeds the configured maximum ({max}, see --web.search.max-limit)"
                )));
            }
            Some(limit) => limit,
        };
        let batch = number(params, "batch_size")?.unwrap_or(DEFAULT_BATCH);
        Ok(Asked { terms, order, range, limit, batch, score })
    }

    async fn answer(
        self,
        api: &Arc<Api>,
        reader: Reader,
        params: Params,
        of: Of,
    ) -> ApiResult<Response<Body>> {
        let (who, pool_api) = (reader.who(), api.clone());
        let found = api.compute(who, None, async move {
            let matcher_sets = params.matcher_sets()?;
            // One more than asked for shows whether there are more.
            let enough = self.limit.saturating_add(1);
            let limit = if self.terms.is_empty() && self.order != Order::Down { enough } else { 0 };
            let query = LabelQuery { matcher_sets, range: self.range, limit };
            let queryable = reader.queryable(&pool_api);
            let found = match &of {
                Of::Metrics { .. } => queryable.label_values(METRIC_NAME, query).await?,
                Of::Labels => queryable.label_names(query).await?,
                Of::Values { label } => queryable.label_values(label, query).await?,
            };
            let mut hits = self.hits(found.names).await;
            let has_more = hits.len() > self.limit;
            hits.truncate(self.limit);
            if let (Of::Metrics { metadata: true }, false) = (&of, hits.is_empty()) {
                let mut said = pool_api.data.metadata(&reader.scope, None)?;
                for hit in &mut hits {
                    hit.metadata = said.remove(&hit.name).and_then(|said| said.into_iter().next());
                }
            }
            let room = pool_api.unsent.room_for(hits.iter().map(Hit::bytes).sum()).await;
            let key = if matches!(of, Of::Values { .. }) { "value" } else { "name" };
            Ok((Lines::new(hits, (key, self.score, self.batch), found.warnings, has_more), room))
        });
        let (lines, room) = found.await?;
        Ok(plain(HeaderValue::from_static("application/x-ndjson; charset=utf-8"), lines, room))
    }

    /// Those of the sorted `names` that fit, in the order that is asked for.
    async fn hits(&self, names: Vec<String>) -> Vec<Hit> {
        let (mut hits, mut looked_at) = (Vec::new(), 0);
        for name in names {
            looked_at += name.len() * self.terms.len();
            if looked_at > BREAK_BYTES {
                looked_at = 0;
                // Whoever asked may have left, or waited long enough.
                tokio::task::yield_now().await;
            }
            if let Some(score) = self.terms.score(&name) {
                hits.push(Hit { name, score, metadata: None });
            }
        }
        match self.order {
            Order::Up => {}
            Order::Down => hits.reverse(),
            Order::Score => hits.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal)),
        }
        hits
    }
}

fn range(params: &Params, now_ms: i64) -> ApiResult<TimeRange> {
    let time = |name: &str, default_ms: i64| match params.get(name) {
        "" => Ok(Timestamp::from_ms(default_ms)),
        text => Timestamp::parse(text)
            .map_err(|what| ApiError::bad_data(format!("invalid time value for '{name}': {what}"))),
    };
    let start = time("start", now_ms.saturating_sub(DEFAULT_RANGE_MS))?;
    let end = time("end", now_ms)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    Ok(TimeRange::new(start.ms(), end.ms()))
}

fn terms(params: &Params) -> ApiResult<Terms> {
    let terms: Vec<&str> = params.all("search[]").collect();
    if terms.len() > MAX_TERMS {
        return Err(ApiError::bad_data(format!(
            "too many search[] terms: got {}, maximum is {MAX_TERMS}",
            terms.len()
        )));
    }
    if terms.iter().any(|term| term.len() > MAX_TERM_BYTES) {
        return Err(ApiError::bad_data(format!(
            "a search[] term is too long: search for a part of it (limit search_term_bytes = {MAX_TERM_BYTES})"
        )));
    }
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => atoi(text).ok().filter(|n| (0..=100).contains(n)).ok_or_else(|| {
            ApiError::bad_data(format!("invalid fuzz_threshold {}: must be 0-100", quoted(text)))
        })?,
    };
    let leniency = match params.get("fuzz_alg") {
        "" => Leniency::Subsequence,
        text => {
            let known = Leniency::NAMES;
            known.iter().find(|(name, _)| *name == text).map(|(_, leniency)| *leniency).ok_or_else(|| {
                let names = known.map(|(name, _)| name).join(" ");
                ApiError::bad_data(format!("unsupported fuzz_alg {}: must be one of [{names}]", quoted(text)))
            })?
        }
    };
    let case_sensitive = flag(params, "case_sensitive", true)?;
    Ok(Terms::new(terms.into_iter(), (leniency, threshold as f64 / 100.0), case_sensitive))
}

fn order(params: &Params, endpoint: &str) -> ApiResult<Order> {
    let wrong = |what: String| Err(ApiError::bad_data(what));
    let (by, dir) = (params.get("sort_by"), params.get("sort_dir"));
    match (by, dir) {
        (_, "") => {}
        ("", _) => return wrong("sort_dir is only valid when sort_by is set".to_owned()),
        ("score", _) => return wrong("sort_dir is not supported for sort_by=score".to_owned()),
        (_, "asc" | "dsc") => {}
        (_, dir) => {
            return wrong(format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", quoted(dir)));
        }
    }
    match (by, dir) {
        ("score", _) if params.all("search[]").next().is_none() => {
            wrong("sort_by=score requires search[] to be set".to_owned())
        }
        ("score", _) => Ok(Order::Score),
        ("alpha", "dsc") => Ok(Order::Down),
        ("" | "alpha", _) => Ok(Order::Up),
        (by, _) => {
            wrong(format!("invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"", quoted(by)))
        }
    }
}

fn flag(params: &Params, name: &str, default: bool) -> ApiResult<bool> {
    let text = params.get(name);
    let flag = parse_bool(text)
        .map_err(|_| ApiError::bad_data(format!("invalid {name} {}: must be boolean", quoted(text))));
    Ok(flag?.unwrap_or(default))
}

/// A number above zero that may be left out.
fn number(params: &Params, name: &str) -> ApiResult<Option<usize>> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let number = atoi(text).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    number.map(Some).ok_or_else(|| {
        ApiError::bad_data(format!("invalid {name} {}: must be a positive integer", quoted(text)))
    })
}

struct Hit {
    name: String,
    score: f64,
    metadata: Option<Metadata>,
}

impl Hit {
    fn bytes(&self) -> usize {
        let said = self.metadata.as_ref().map_or(0, |said| said.help.len() + said.unit.len());
        size_of::<Hit>() + self.name.len() + said
    }

    fn write(&self, out: &mut Vec<u8>, key: &str, score: bool) {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        push_text(out, &self.name, Escape::Html);
        if score {
            out.extend_from_slice(b",\"score\":");
            json::push_number(out, self.score);
        }
        if let Some(said) = &self.metadata {
            for (name, text) in [("type", said.kind.as_str()), ("help", &said.help), ("unit", &said.unit)] {
                if !text.is_empty() {
                    out.extend_from_slice(b",\"");
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":");
                    push_text(out, text, Escape::Html);
                }
            }
        }
        out.push(b'}');
    }
}

/// `{"results":[…]}`, …, `{"status":"success","has_more":false}`
struct Lines {
    hits: std::vec::IntoIter<Hit>,
    key: &'static str,
    score: bool,
    batch: usize,
    /// Results in the line that is being written; `None` between lines.
    in_line: Option<usize>,
    /// For the first line, which is there also without results.
    warnings: Option<Vec<String>>,
    has_more: bool,
}

impl Lines {
    fn new(
        hits: Vec<Hit>,
        (key, score, batch): (&'static str, bool, usize),
        mut warnings: Vec<String>,
        has_more: bool,
    ) -> Self {
        warnings.sort_unstable();
        let (hits, warnings) = (hits.into_iter(), Some(warnings));
        Lines { hits, key, score, batch, in_line: None, warnings, has_more }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
        if let Some(warnings) = self.warnings.take().filter(|warnings| !warnings.is_empty()) {
            out.extend_from_slice(b",\"warnings\":");
            json::push_texts(out, &warnings);
        }
        out.extend_from_slice(b"}\n");
        self.in_line = None;
    }
}

impl WriteSome for Lines {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        let written = match self.in_line {
            Some(written) => written,
            None if self.warnings.is_none() && self.hits.as_slice().is_empty() => {
                let more = if self.has_more { "true" } else { "false" };
                out.extend_from_slice(format!("{{\"status\":\"success\",\"has_more\":{more}}}\n").as_bytes());
                return false;
            }
            None => {
                out.extend_from_slice(b"{\"results\":[");
                0
            }
        };
        let Some(hit) = self.hits.next() else {
            self.end_line(out);
            return true;
        };
        if written > 0 {
            out.push(b',');
        }
        hit.write(out, self.key, self.score);
        self.in_line = Some(written + 1);
        if written + 1 == self.batch {
            self.end_line(out);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::MetricType;

    fn written(mut lines: Lines) -> String {
        let mut out = Vec::new();
        while lines.write_some(&mut out) {}
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_known_of_a_metric_stands_beside_it() {
        let said =
            |help: &str| Metadata { kind: MetricType::Gauge, help: help.to_owned(), unit: String::new() };
        let hit = |name: &str, metadata| Hit { name: name.to_owned(), score: 0.25, metadata };
        let hits = vec![hit("a", Some(said("An <a>."))), hit("b", Some(said(""))), hit("c", None)];
        assert_eq!(
            written(Lines::new(hits, ("name", true, 2), vec!["two".to_owned(), "one".to_owned()], true)),
            "{\"results\":[{\"name\":\"a\",\"score\":0.25,\"type\":\"gauge\",\"help\":\"An \\u003ca\\u003e.\"},\
             {\"name\":\"b\",\"score\":0.25,\"type\":\"gauge\"}],\"warnings\":[\"one\",\"two\"]}\n\
             {\"results\":[{\"name\":\"c\",\"score\":0.25}]}\n{\"status\":\"success\",\"has_more\":true}\n"
        );
        let none = written(Lines::new(Vec::new(), ("name", true, 2), Vec::new(), false));
        assert_eq!(none, "{\"results\":[]}\n{\"status\":\"success\",\"has_more\":false}\n");
    }
}

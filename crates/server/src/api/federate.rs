//! `/federate`: the newest samples of what is selected, for another Prometheus to scrape.

use super::answer::{WriteSome, plain};
use super::error::{ApiError, ApiResult, ErrorType};
use super::params::Params;
use super::{Api, Reader};
use crate::answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures::StreamExt;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Error, FloatHistogram, Labels, Matcher, TimeRange, Value, is_stale_nan};
use nilometer_storage::{Queryable, Select};
use nilometer_wire::exposition::{Exposition, Family, Metric, MetricValue};
use std::sync::Arc;

/// Samples of one family that are written at a time.
const RUN: usize = 500;
/// Prometheus gives samples without this label an empty one, so that whoever scrapes them does not add its own.
const INSTANCE: &str = "instance";

/// `GET /federate`. Mistakes are answered as text, as other exporters do.
pub(crate) async fn federate(
    State(api): State<Arc<Api>>,
    reader: Result<Reader, ApiError>,
    headers: HeaderMap,
    params: Result<Params, ApiError>,
) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let found = async { answered(&api, &reader?, Exposition::negotiate(accept), params?).await };
    found.await.unwrap_or_else(|e| answer::text(e.kind.status(), e.message))
}

async fn answered(
    api: &Arc<Api>,
    reader: &Reader,
    exposition: Exposition,
    params: Params,
) -> ApiResult<Response<Body>> {
    let now_ms = api.clock.wall_ms();
    let range = TimeRange::new(now_ms.saturating_sub(api.engine.options().lookback_ms), now_ms);
    let mut newest = Newest::new(exposition, api.max_memory_bytes);
    let (queryable, pool_api) = (reader.queryable(api), api.clone());
    let (newest, room) = api
        .compute(reader.who(), None, async move {
            for set in params.selectors()? {
                newest.add(&*queryable, set, range).await?;
            }
            newest.sort();
            let room = pool_api.unsent.room_for(newest.bytes).await;
            Ok((newest, room))
        })
        .await?;
    let kind = HeaderValue::from_str(&exposition.content_type())
        .map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    Ok(plain(kind, newest, room))
}

/// The newest sample of each series.
struct Newest {
    exposition: Exposition,
    samples: Vec<Newer>,
    /// How many of them are written.
    written: usize,
    bytes: usize,
    max_bytes: usize,
}

struct Newer {
    labels: Labels,
    t_ms: i64,
    value: NewestValue,
}

enum NewestValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Newer {
    fn name(&self) -> &str {
        self.labels.get(METRIC_NAME)
    }

    fn value(&self) -> MetricValue<'_> {
        match &self.value {
            NewestValue::Float(v) => MetricValue::Float(*v),
            NewestValue::Histogram(h) => MetricValue::Histogram(h),
        }
    }

    fn metric(&self) -> Metric<'_> {
        let mut labels: Vec<_> = self.labels.iter().filter(|(name, _)| *name != METRIC_NAME).collect();
        if !self.labels.has(INSTANCE) {
            labels.push((INSTANCE, ""));
        }
        Metric { labels, t_ms: self.t_ms, value: self.value() }
    }
}

fn log(warnings: Vec<String>) {
    for warning in warnings {
        tracing::warn!(warning, "a federation request met a warning");
    }
}

impl Newest {
    fn new(exposition: Exposition, max_bytes: usize) -> Self {
        Newest { exposition, samples: Vec::new(), written: 0, bytes: 0, max_bytes }
    }

    /// Those of one set. What has no name, and what is stale, has no form there.
    async fn add(&mut self, queryable: &dyn Queryable, set: Vec<Matcher>, range: TimeRange) -> ApiResult<()> {
        let mut batches = queryable.select(Select::new(set, range));
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            log(batch.warnings);
            for series in batch.series {
                let (labels, mut warnings) = (series.labels.clone(), Vec::new());
                let newest = series.samples(range, &mut warnings)?.pop();
                log(warnings);
                let Some((t_ms, value)) = newest else { continue };
                let value = match value {
                    Value::Float(v) if is_stale_nan(v) => continue,
                    Value::Float(v) => NewestValue::Float(v),
                    Value::Int(h) if h.is_stale() => continue,
                    Value::Int(h) => NewestValue::Histogram(Arc::new(h.to_float())),
                    Value::FloatHistogram(h) if h.is_stale() => continue,
                    Value::FloatHistogram(h) => NewestValue::Histogram(h),
                };
                let newer = Newer { labels, t_ms, value };
                if newer.name().is_empty() || !self.exposition.takes(newer.value()) {
                    continue;
                }
                self.bytes += newer.bytes();
                self.samples.push(newer);
            }
            if self.max_bytes > 0 && self.bytes > self.max_bytes {
                return Err(too_many(self.max_bytes).into());
            }
        }
        Ok(())
    }

    /// By name, so that families are together, and each series once.
    fn sort(&mut self) {
        self.samples.sort_by(|a, b| a.name().cmp(b.name()).then_with(|| a.labels.cmp(&b.labels)));
        self.samples.dedup_by(|a, b| a.labels == b.labels);
    }
}

impl Newer {
    fn bytes(&self) -> usize {
        let histogram = match &self.value {
            NewestValue::Float(_) => 0,
            NewestValue::Histogram(h) => {
                size_of_val(&**h)
                    + (h.positive.len() + h.negative.len() + h.custom_values.len()) * size_of::<f64>()
            }
        };
        size_of::<Self>() + self.labels.as_bytes().len() + histogram
    }
}

impl WriteSome for Newest {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = &self.samples[self.written..];
        let Some(first) = rest.first() else { return false };
        let (name, kind) = (first.name(), first.value().family_type());
        let same = |one: &Newer| one.name() == name && one.value().family_type() == kind;
        let len = rest.iter().take(RUN).take_while(|one| same(one)).count();
        let metrics: Vec<Metric<'_>> = rest[..len].iter().map(Newer::metric).collect();
        let begins = self.written == 0 || !same(&self.samples[self.written - 1]);
        self.exposition.put(out, Family { name, kind }, begins, &metrics);
        self.written += len;
        true
    }
}

fn too_many(max_bytes: usize) -> Error {
    let message = "the newest samples of so many series need more memory than is allowed: match fewer";
    Error::limit("query.max-memory", max_bytes as u64, message)
}

//! Gives a server the data that is asked about.
//!
//! Nearly all by remote write 1.0, which has no start timestamps. Those of 2.0 are kept by a hub, and dropped by a
//! Prometheus of 3.12, which keeps what OTLP says.

use crate::peer::Peer;
use nilometer_bench::{Client, Endpoint};
use nilometer_model::Value;
use nilometer_promql::fuzz::data::{SCRAPE_MS, SCRAPES, START_MS};
use nilometer_promql::fuzz::judge::Side;
use nilometer_promql::fuzz::{Asked, Times};
use nilometer_promql::script::Stored;
use nilometer_wire::remote_write::FloatSample;
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries, v1, v2};
use nilometer_wire::snappy::compress;
use serde_json::json;

type Result<T> = std::result::Result<T, String>;

const V1: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
const V2: &str = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
    Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n";
const OTLP: &str = "Content-Type: application/json\r\n";

/// How start timestamps are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    Dropped,
    ByRemoteWrite,
    ByOtlp,
}

/// Sends everything, a series at a time, to a server that has none of it.
pub(crate) fn feed(url: &str, held: &[Stored], starts: Starts) -> Result<()> {
    let endpoint = Endpoint::new(url, &[]).map_err(|e| e.to_string())?;
    let times = Times::At(START_MS + SCRAPE_MS * SCRAPES);
    let anything = Asked { text: "count(last_over_time({tenant_id=\"fuzz\"}[1h]))".to_owned(), times };
    if Peer::new(&endpoint).ask(&anything).is_ok_and(|answer| !answer.series.is_empty()) {
        return Ok(());
    }
    let at = |path: &str| Endpoint::new(&format!("{}{path}", url.trim_end_matches('/')), &[]);
    let write = at("/api/v1/write").map_err(|e| e.to_string())?;
    let otlp = at("/api/v1/otlp/v1/metrics").map_err(|e| e.to_string())?;
    let (mut write, mut otlp) = (Client::new(&write), Client::new(&otlp));
    for one in held {
        let starts =
            if one.samples.iter().any(|(at, _)| at.start_ms != 0) { starts } else { Starts::Dropped };
        if starts == Starts::ByOtlp {
            push(&mut otlp, OTLP, sums(one).to_string().as_bytes(), one)?;
            continue;
        }
        // Both kinds of samples in one request would be taken kind by kind, not in the order of time.
        for part in by_kind(one) {
            let (head, body) = match starts {
                Starts::ByRemoteWrite => (V2, v2(&[part])),
                _ => (V1, v1(&[part], &[])),
            };
            push(&mut write, head, &compress(&body).map_err(|e| e.to_string())?, one)?;
        }
    }
    Ok(())
}

fn push(client: &mut Client<'_>, head: &str, body: &[u8], one: &Stored) -> Result<()> {
    let answer = client.post(head, body).map_err(|e| e.to_string())?;
    if answer.is_success() {
        return Ok(());
    }
    Err(format!("{} is not taken: {}", one.labels, answer.text()))
}

/// A counter as OTLP, which `translation_strategy: NoTranslation` stores as it is; with `type-and-unit-labels` the
/// type is what `__type__` says already.
fn sums(one: &Stored) -> serde_json::Value {
    let attribute = |(name, value): (&str, &str)| json!({"key": name, "value": {"stringValue": value}});
    let attributes: Vec<_> =
        one.labels.iter().filter(|(name, _)| *name != "__name__").map(attribute).collect();
    let nanos = |ms: i64| format!("{ms}000000");
    let points = one.samples.iter().filter_map(|(at, value)| {
        let Value::Float(v) = value else { return None };
        Some(json!({
            "attributes": attributes,
            "startTimeUnixNano": nanos(at.start_ms),
            "timeUnixNano": nanos(at.t_ms),
            "asDouble": v,
        }))
    });
    let sum = json!({
        "aggregationTemporality": 2,
        "isMonotonic": true,
        "dataPoints": points.collect::<Vec<_>>(),
    });
    let metric = json!({"name": one.labels.get("__name__"), "sum": sum});
    json!({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [metric]}]}]})
}

/// Runs of floats and runs of histograms.
fn by_kind(held: &Stored) -> Vec<SentSeries> {
    let mut parts: Vec<SentSeries> = Vec::new();
    for (at, value) in &held.samples {
        let is_float = matches!(value, Value::Float(_));
        if parts.last().is_none_or(|part| part.samples.is_empty() == is_float) {
            parts.push(SentSeries::new(&held.labels));
        }
        let Some(part) = parts.last_mut() else { continue };
        match value {
            Value::Float(v) => part.samples.push(FloatSample { t_ms: at.t_ms, v: *v, start_ms: at.start_ms }),
            histogram => {
                let value = histogram.clone();
                part.histograms.push(SentHistogram { t_ms: at.t_ms, start_ms: at.start_ms, value });
            }
        }
    }
    parts
}

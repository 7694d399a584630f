//! A server that is asked over HTTP.

use crate::json;
use nilometer_bench::{Client, Endpoint, escaped};
use nilometer_model::Value;
use nilometer_promql::fuzz::answer::Outcome;
use nilometer_promql::fuzz::data::{SCRAPE_MS, SCRAPES, START_MS};
use nilometer_promql::fuzz::judge::Side;
use nilometer_promql::fuzz::{Asked, Dialect, Times};
use nilometer_promql::script::Stored;
use nilometer_wire::remote_write::FloatSample;
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries, v1};
use nilometer_wire::snappy::compress;

type Result<T> = std::result::Result<T, String>;

const PUSH: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";

pub(crate) struct Peer<'a> {
    client: Client<'a>,
}

/// What a server says of itself.
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) dialect: Dialect,
    pub(crate) delayed_name_removal: bool,
}

impl<'a> Peer<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint) -> Self {
        Peer { client: Client::new(endpoint) }
    }

    pub(crate) fn about(&mut self) -> Result<About> {
        let version =
            self.json("/api/v1/status/buildinfo")?["data"]["version"].as_str().unwrap_or("").to_owned();
        let flags = self.json("/api/v1/status/flags")?["data"]["enable-feature"].to_string();
        let dialect = if version.starts_with("2.") { Dialect::V2 } else { Dialect::V3 };
        Ok(About { version, dialect, delayed_name_removal: flags.contains("promql-delayed-name-removal") })
    }

    /// The answer's text.
    pub(crate) fn raw(&mut self, asked: &Asked) -> Result<String> {
        let query = escaped(&asked.text);
        let seconds = |t_ms: i64| format!("{}.{:03}", t_ms / 1000, t_ms % 1000);
        let path = match asked.times {
            Times::At(t_ms) => format!("/api/v1/query?query={query}&time={}", seconds(t_ms)),
            Times::Steps { start_ms, end_ms, step_ms } => {
                let (start, end, step) = (seconds(start_ms), seconds(end_ms), seconds(step_ms));
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
        };
        let answer = self.client.get(&path).map_err(|e| format!("the peer does not answer: {e}"))?;
        String::from_utf8(answer.body).map_err(|e| e.to_string())
    }

    fn json(&mut self, path: &str) -> Result<serde_json::Value> {
        let answer = self.client.get(path).map_err(|e| format!("the peer does not answer: {e}"))?;
        serde_json::from_slice(&answer.body).map_err(|e| format!("{path}: {e}"))
    }
}

impl Side for Peer<'_> {
    fn ask(&mut self, asked: &Asked) -> Outcome {
        let json = |text: String| serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"));
        self.raw(asked).and_then(json).and_then(|json| json::outcome(&json)).unwrap_or_else(|broken| {
            // Nothing that follows would mean anything.
            eprintln!("promqlfuzz: {broken}");
            std::process::exit(2)
        })
    }
}

/// Sends everything by remote write, a series at a time, to a server that has none of it.
pub(crate) fn feed(url: &str, held: &[Stored]) -> Result<()> {
    let endpoint = Endpoint::new(url, &[]).map_err(|e| e.to_string())?;
    let times = Times::At(START_MS + SCRAPE_MS * SCRAPES);
    let anything = Asked { text: "count(last_over_time({tenant_id=\"fuzz\"}[1h]))".to_owned(), times };
    if Peer::new(&endpoint).ask(&anything).is_ok_and(|answer| !answer.series.is_empty()) {
        return Ok(());
    }
    let endpoint = Endpoint::new(&format!("{}/api/v1/write", url.trim_end_matches('/')), &[]);
    let endpoint = endpoint.map_err(|e| e.to_string())?;
    let mut client = Client::new(&endpoint);
    for one in held {
        let mut sent = SentSeries::new(&one.labels);
        for (at, value) in &one.samples {
            match value {
                Value::Float(v) => sent.samples.push(FloatSample { t_ms: at.t_ms, v: *v, start_ms: 0 }),
                histogram => {
                    let value = histogram.clone();
                    sent.histograms.push(SentHistogram { t_ms: at.t_ms, start_ms: 0, value });
                }
            }
        }
        // Both kinds of samples in one request would be taken kind by kind, not in the order of time.
        for part in by_kind(&sent, one) {
            let body = compress(&v1(&[part], &[])).map_err(|e| e.to_string())?;
            let answer = client.post(PUSH, &body).map_err(|e| e.to_string())?;
            if !answer.is_success() {
                return Err(format!("{} is not taken: {}", one.labels, answer.text()));
            }
        }
    }
    Ok(())
}

/// Runs of floats and runs of histograms.
fn by_kind(sent: &SentSeries, held: &Stored) -> Vec<SentSeries> {
    let mut parts: Vec<SentSeries> = Vec::new();
    let (mut floats, mut histograms) = (sent.samples.iter(), sent.histograms.iter());
    for (_, value) in &held.samples {
        let is_float = matches!(value, Value::Float(_));
        if parts.last().is_none_or(|part| part.samples.is_empty() == is_float) {
            parts.push(SentSeries { labels: sent.labels.clone(), ..SentSeries::default() });
        }
        let Some(part) = parts.last_mut() else { continue };
        if is_float {
            part.samples.extend(floats.next().cloned());
        } else {
            part.histograms.extend(histograms.next().cloned());
        }
    }
    parts
}

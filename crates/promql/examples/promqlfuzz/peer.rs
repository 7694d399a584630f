//! A server that is asked over HTTP.

use crate::json;
use nilometer_bench::{Client, Endpoint, escaped};
use nilometer_promql::fuzz::answer::Outcome;
use nilometer_promql::fuzz::judge::Side;
use nilometer_promql::fuzz::{Asked, Dialect, Features, Times};

type Result<T> = std::result::Result<T, String>;

pub(crate) struct Peer<'a> {
    client: Client<'a>,
}

/// What a server says of itself.
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) features: Features,
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
        let features = Features {
            dialect,
            delayed_name_removal: flags.contains("promql-delayed-name-removal"),
            start_timestamps: ["use-start-timestamps", "st-storage", "xor2-encoding"]
                .iter()
                .all(|feature| flags.contains(feature)),
            type_and_unit_labels: flags.contains("type-and-unit-labels"),
        };
        Ok(About { version, features })
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

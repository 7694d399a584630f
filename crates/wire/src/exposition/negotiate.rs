//! Which form a scraper's `Accept` asks for. Where it asks for none of ours, it gets text.

use super::{Escaping, Exposition, Format};

/// So much of the header is looked at.
const MAX_CLAUSES: usize = 100;

impl Exposition {
    /// The one that is liked best; `accept` may be empty.
    pub fn negotiate(accept: &str) -> Self {
        let mut chosen = Exposition { format: Format::Text, escaping: Escaping::Underscores };
        let mut clauses: Vec<Clause<'_>> =
            accept.split(',').take(MAX_CLAUSES).map(|text| Clause::read(text.trim())).collect();
        clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        for clause in clauses {
            if let Some(escaping) = clause.parameter("escaping").and_then(Escaping::parse) {
                chosen.escaping = escaping;
            }
            if let Some(format) = clause.format() {
                chosen.format = format;
                break;
            }
        }
        chosen
    }

    pub fn content_type(&self) -> String {
        let format = match self.format {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        format!("{format}; escaping={}", self.escaping.as_str())
    }
}

/// `type/subtype;parameter=value;q=0.5`
struct Clause<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';');
        let kind = parts.next().unwrap_or_default().trim();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let mut clause = Clause { kind, parameters, quality: 1.0 };
        if let Some(quality) = clause.parameter("q") {
            clause.quality = quality.parse().unwrap_or(0.0);
        }
        clause
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn format(&self) -> Option<Format> {
        let is = |name, value| self.parameter(name) == Some(value);
        match self.kind {
            "text/plain" => {
                matches!(self.parameter("version"), None | Some("" | "0.0.4")).then_some(Format::Text)
            }
            "application/vnd.google.protobuf" => {
                let known = is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited");
                known.then_some(Format::Protobuf)
            }
            _ => None,
        }
    }
}

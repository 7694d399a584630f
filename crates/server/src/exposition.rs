//! Own metrics as text: OpenMetrics, the older text format, and read back as series for the hub's own tenant.

use nilometer_model::{Labels, Metadata, MetricType};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// As OpenMetrics.
pub(crate) fn open_metrics(registry: &Registry) -> String {
    let mut text = String::new();
    if let Err(e) = encode(&mut text, registry) {
        tracing::error!(error = %e, "own metrics could not be written");
    }
    text
}

/// As Prometheus' text format 0.0.4, which names a counter's family as its series, and knows fewer types.
pub(crate) fn plain_text(registry: &Registry) -> String {
    let open = open_metrics(registry);
    let mut text = String::with_capacity(open.len());
    let counters: std::collections::HashSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    for line in open.lines() {
        match comment(line) {
            Some(("UNIT", _, _)) => continue,
            Some((word, family, rest)) => {
                let total = if counters.contains(family) { "_total" } else { "" };
                let rest = if word == "TYPE" { plain_type(rest) } else { rest };
                text.push_str(&format!("# {word} {family}{total} {rest}"));
            }
            None if line == "# EOF" => continue,
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn plain_type(name: &str) -> &str {
    match name {
        "unknown" => "untyped",
        "info" | "stateset" => "gauge",
        other => other,
    }
}

/// `# HELP family rest` and its like.
fn comment(line: &str) -> Option<(&str, &str, &str)> {
    let (word, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (family, rest) = rest.split_once(' ')?;
    Some((word, family, rest))
}

/// What the text says, as series and metadata.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    pub(crate) series: Vec<(Labels, f64)>,
    pub(crate) families: Vec<(String, Metadata)>,
}

/// Reads what [`open_metrics`] wrote; `extra` labels are laid on top. A line in a form that it never writes is
/// left out.
pub(crate) fn scrape(open_metrics: &str, extra: &[(&str, &str)]) -> Scraped {
    let mut scraped = Scraped::default();
    for line in open_metrics.lines() {
        if line.starts_with('#') {
            note(&mut scraped.families, line);
        } else if let Some(series) = sample(line, extra) {
            scraped.series.push(series);
        }
    }
    // Who looks for a counter's metadata knows the name of its series.
    for (family, _) in scraped.families.iter_mut().filter(|(_, m)| m.kind == MetricType::Counter) {
        family.push_str("_total");
    }
    scraped
}

fn note(families: &mut Vec<(String, Metadata)>, line: &str) {
    let Some((word, family, rest)) = comment(line) else { return };
    if families.last().is_none_or(|(last, _)| last != family) {
        families.push((family.to_owned(), Metadata::default()));
    }
    let Some((_, metadata)) = families.last_mut() else { return };
    match word {
        "HELP" => metadata.help = rest.to_owned(),
        "UNIT" => metadata.unit = rest.to_owned(),
        "TYPE" => {
            metadata.kind = match rest {
                "counter" => MetricType::Counter,
                "gauge" => MetricType::Gauge,
                "histogram" => MetricType::Histogram,
                "info" => MetricType::Info,
                _ => MetricType::Unknown,
            }
        }
        _ => {}
    }
}

fn sample(line: &str, extra: &[(&str, &str)]) -> Option<(Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels: Vec<(String, String)> = vec![("__name__".to_owned(), name.to_owned())];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    labels.retain(|(name, _)| extra.iter().all(|(laid, _)| laid != name));
    let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    Some((Labels::from_pairs(pairs.chain(extra.iter().copied())), value))
}

/// A quoted value without its quotes and escapes, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let requests = Family::<Vec<(&'static str, String)>, Counter>::default();
        requests
            .get_or_create(&vec![("path", "a\"b\\c\nd".to_owned()), ("code", "200".to_owned())])
            .inc_by(7);
        registry.register("requests", "Requests", requests);
        registry.register("level", "Level", Gauge::<i64>::default());
        let seconds = Histogram::new([0.5, 1.0]);
        seconds.observe(0.7);
        registry.register("took_seconds", "Time", seconds);
        registry
    }

    #[test]
    fn plain() {
        expect![[r#"
            # HELP requests_total Requests.
            # TYPE requests_total counter
            requests_total{path="a\"b\\c\nd",code="200"} 7
            # HELP level Level.
            # TYPE level gauge
            level 0
            # HELP took_seconds Time.
            # TYPE took_seconds histogram
            took_seconds_sum 0.7
            took_seconds_count 1
            took_seconds_bucket{le="0.5"} 0
            took_seconds_bucket{le="1.0"} 1
            took_seconds_bucket{le="+Inf"} 1
        "#]]
        .assert_eq(&plain_text(&registry()));
    }

    #[test]
    fn read_back() {
        let scraped = scrape(&open_metrics(&registry()), &[("job", "nilometer")]);
        let mut text = String::new();
        for (labels, value) in &scraped.series {
            text += &format!("{labels} {value}\n");
        }
        for (family, metadata) in &scraped.families {
            text += &format!("{family} {} {}\n", metadata.kind.as_str(), metadata.help);
        }
        expect![[r#"
            {__name__="requests_total", code="200", job="nilometer", path="a\"b\\c\nd"} 7
            {__name__="level", job="nilometer"} 0
            {__name__="took_seconds_sum", job="nilometer"} 0.7
            {__name__="took_seconds_count", job="nilometer"} 1
            {__name__="took_seconds_bucket", job="nilometer", le="0.5"} 0
            {__name__="took_seconds_bucket", job="nilometer", le="1.0"} 1
            {__name__="took_seconds_bucket", job="nilometer", le="+Inf"} 1
            requests_total counter Requests.
            level gauge Level.
            took_seconds histogram Time.
        "#]]
        .assert_eq(&text);
    }
}

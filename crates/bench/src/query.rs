//! A query, and over what time: as a line of text, and as the path that asks a server for it.

use crate::http::escaped;
use crate::verify::seconds;
use nilometer_model::{Error, Result};
use std::fmt;

/// How far questions about names and series look back.
const METADATA_SECONDS: u32 = 7_200;

#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    Instant(String),
    Range {
        expression: String,
        seconds: u32,
        step_seconds: u32,
    },
    /// Series that one of the selectors matches.
    Series(Vec<String>),
    /// Names of labels, of all series or of those that one of the selectors matches.
    Labels(Vec<String>),
    /// Values of a label, maybe only those in series that match.
    Values {
        label: String,
        selector: Option<String>,
    },
}

const FORMS: &str = "`instant EXPRESSION`, `range SECONDS STEP EXPRESSION`, `series SELECTOR…`, \
                     `labels [SELECTOR…]` or `values LABEL [SELECTOR]`";

impl Query {
    /// What dashboards, alerts and capacity reports ask of a load.
    pub fn built_in() -> Vec<Query> {
        Query::parse_all(include_str!("query/built_in.txt")).unwrap_or_default()
    }

    /// One query a line; `#` begins a comment.
    ///
    /// # Errors
    /// `Invalid`, with the line.
    pub fn parse_all(text: &str) -> Result<Vec<Query>> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(at, line)| {
                Query::parse(line)
                    .ok_or_else(|| Error::invalid(format!("line {at} is not like {FORMS}: {line}")))
            })
            .collect()
    }

    fn parse(line: &str) -> Option<Query> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match kind {
            "instant" if !rest.is_empty() => Some(Query::Instant(rest.to_owned())),
            "range" => {
                let mut parts = rest.splitn(3, ' ');
                let seconds = parts.next()?.parse().ok()?;
                let step_seconds = parts.next()?.parse().ok().filter(|&step| step > 0)?;
                Some(Query::Range { expression: parts.next()?.trim().to_owned(), seconds, step_seconds })
            }
            "series" if !rest.is_empty() => Some(Query::Series(words(rest))),
            "labels" => Some(Query::Labels(words(rest))),
            "values" => {
                let mut words = words(rest).into_iter();
                let values = Query::Values { label: words.next()?, selector: words.next() };
                words.next().is_none().then_some(values)
            }
            _ => None,
        }
    }

    pub(crate) fn path(&self, at_ms: i64) -> String {
        let since = |range: u32| seconds(at_ms - i64::from(range) * 1_000);
        let metadata = || format!("start={}&end={}&nocache=1", since(METADATA_SECONDS), seconds(at_ms));
        let selectors = |selectors: &[String]| -> String {
            selectors.iter().map(|selector| format!("match%5B%5D={}&", escaped(selector))).collect()
        };
        match self {
            Query::Instant(expression) => {
                format!("/api/v1/query?query={}&time={}&nocache=1", escaped(expression), seconds(at_ms))
            }
            Query::Range { expression, seconds: range, step_seconds } => format!(
                "/api/v1/query_range?query={}&start={}&end={}&step={step_seconds}&nocache=1",
                escaped(expression),
                since(*range),
                seconds(at_ms)
            ),
            Query::Series(all) => format!("/api/v1/series?{}{}", selectors(all), metadata()),
            Query::Labels(all) => format!("/api/v1/labels?{}{}", selectors(all), metadata()),
            Query::Values { label, selector } => {
                format!("/api/v1/label/{label}/values?{}{}", selectors(selector.as_slice()), metadata())
            }
        }
    }
}

/// Parts between spaces that are not in quotes.
fn words(text: &str) -> Vec<String> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        c == ' ' && !quoted
    });
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::Instant(expression) => write!(f, "instant {expression}"),
            Query::Range { expression, seconds, step_seconds } => {
                write!(f, "range {seconds} {step_seconds} {expression}")
            }
            Query::Series(selectors) => write!(f, "series {}", selectors.join(" ")),
            Query::Labels(selectors) if selectors.is_empty() => f.write_str("labels"),
            Query::Labels(selectors) => write!(f, "labels {}", selectors.join(" ")),
            Query::Values { label, selector: None } => write!(f, "values {label}"),
            Query::Values { label, selector: Some(selector) } => write!(f, "values {label} {selector}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn lines() {
        let all = Query::parse_all("# x\n\ninstant a + b\n range 60 15  sum(c) \n").unwrap();
        let range = Query::Range { expression: "sum(c)".into(), seconds: 60, step_seconds: 15 };
        assert_eq!(all, [Query::Instant("a + b".into()), range.clone()]);
        for bad in
            ["a", "instant", "range 60 a", "range 60 0 a", "rate 60 15 a", "series", "values", "values a b c"]
        {
            let error = Query::parse_all(bad).unwrap_err().to_string();
            assert!(error.contains("values LABEL [SELECTOR]") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_line_says_what_is_asked() {
        let check = |line: &str, path: &str| {
            let all = Query::parse_all(line).unwrap();
            assert_eq!((all.len(), all[0].to_string().as_str()), (1, line));
            assert_eq!(all[0].path(8_000_500), path);
        };
        check("instant sum(c)", "/api/v1/query?query=sum%28c%29&time=8000.500&nocache=1");
        check("range 60 15 c", "/api/v1/query_range?query=c&start=7940.500&end=8000.500&step=15&nocache=1");
        let time = "start=800.500&end=8000.500&nocache=1";
        check(
            r#"series a{b="c d\" e"} f"#,
            &format!("/api/v1/series?match%5B%5D=a%7Bb%3D%22c%20d%5C%22%20e%22%7D&match%5B%5D=f&{time}"),
        );
        check("labels", &format!("/api/v1/labels?{time}"));
        check("labels a", &format!("/api/v1/labels?match%5B%5D=a&{time}"));
        check("values pod", &format!("/api/v1/label/pod/values?{time}"));
        check("values pod a", &format!("/api/v1/label/pod/values?match%5B%5D=a&{time}"));
    }

    /// Of the names that stand in the list, each is one that the load has.
    #[test]
    fn the_list_fits_the_load() {
        let all = Query::built_in();
        assert_eq!(all.len(), 42);
        for query in &all {
            let text = query.to_string();
            let metrics = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let long = metrics.filter(|word| word.contains('_') && !word.starts_with("__"));
            for name in long.filter(|word| !NOT_METRICS.contains(word)) {
                assert!(CATALOGUE.iter().any(|slot| slot.name == name), "{name} in {query}");
            }
        }
    }

    /// Functions and labels, which have underscores too.
    const NOT_METRICS: [&str; 6] = [
        "group_left",
        "grpc_code",
        "histogram_quantile",
        "max_over_time",
        "predict_linear",
        "quantile_over_time",
    ];

    #[test]
    fn a_range_is_asked_at_both_steps() {
        let steps = |wanted: u32| -> Vec<String> {
            let expression = |query| match query {
                Query::Range { expression, seconds: 7_200, step_seconds } if step_seconds == wanted => {
                    Some(expression)
                }
                _ => None,
            };
            Query::built_in().into_iter().filter_map(expression).collect()
        };
        assert_eq!(steps(60), steps(15));
    }
}

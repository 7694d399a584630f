//! Whether two servers answer a query alike: the same series, and at the same times the same values, but for what the
//! order of additions may change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// By how much of itself a value may differ.
const TOLERANCE: f64 = 1e-9;
/// What the hub adds to each series.
const TENANT: &str = "tenant_id";

/// Samples by series, or names without any.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Answer {
    pub(super) fn read(path: &Path) -> Result<Answer> {
        let body = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Answer::parse(&body).with_context(|| format!("{} is no answer", path.display()))
    }

    fn parse(body: &[u8]) -> Result<Answer> {
        let answer: Value = serde_json::from_slice(body)?;
        let data = &answer["data"];
        let mut series = BTreeMap::new();
        if let Some(names) = data.as_array() {
            let names = names.iter().map(name).filter(|name| name != TENANT);
            series.extend(names.map(|name| (name, Vec::new())));
        } else if data["resultType"] == "scalar" {
            let sample = sample(&data["result"]).context("its value is no number")?;
            series.insert("{}".to_owned(), vec![sample]);
        } else {
            for row in data["result"].as_array().context("it has no result")? {
                let values = match row["values"].as_array() {
                    Some(values) => values.iter().map(sample).collect(),
                    None => sample(&row["value"]).map(|sample| vec![sample]),
                };
                series.insert(name(&row["metric"]), values.context("a value is no number")?);
            }
        }
        Ok(Answer { series })
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// How `other` differs; `None`: in nothing.
    pub(super) fn difference(&self, other: &Answer) -> Option<String> {
        if self.len() != other.len() {
            return Some(format!("{} series, not {}", other.len(), self.len()));
        }
        let strangers: Vec<&String> =
            other.series.keys().filter(|key| !self.series.contains_key(*key)).collect();
        if let Some(first) = strangers.first() {
            return Some(format!("{} other series, such as {first}", strangers.len()));
        }
        let differing = self.series.iter().filter_map(|(key, ours)| {
            let theirs = other.series.get(key)?;
            differs(ours, theirs).map(|how| format!("{key} {how}"))
        });
        let differing: Vec<String> = differing.collect();
        let first = differing.first()?;
        Some(format!("{} of {} series, such as {first}", differing.len(), self.len()))
    }
}

fn differs(ours: &[(f64, f64)], theirs: &[(f64, f64)]) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("has {} values, not {}", theirs.len(), ours.len()));
    }
    ours.iter()
        .zip(theirs)
        .find(|(a, b)| a.0 != b.0 || !is_close(a.1, b.1))
        .map(|(a, b)| format!("is {} at {}, not {} at {}", b.1, b.0, a.1, a.0))
}

fn is_close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// A name as it is; a series with its labels in order.
fn name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(labels) => {
            let labels = labels.iter().filter(|(name, _)| *name != TENANT);
            let mut labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort_unstable();
            format!("{{{}}}", labels.join(","))
        }
        other => other.to_string(),
    }
}

fn sample(pair: &Value) -> Option<(f64, f64)> {
    Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(ours: &str, theirs: &str) -> Option<String> {
        let parse = |body: &str| Answer::parse(body.as_bytes()).unwrap();
        parse(ours).difference(&parse(theirs))
    }

    fn matrix(rows: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}}}}"#)
    }

    #[test]
    fn order_tenant_and_the_last_digits_do_not_count() {
        let ours = matrix(
            r#"{"metric":{"a":"1","tenant_id":"t"},"values":[[1,"0.30000000000000004"],[2,"NaN"],[3,"+Inf"]]},
               {"metric":{},"values":[[1.5,"7"]]}"#,
        );
        let theirs = matrix(
            r#"{"metric":{},"values":[[1.500,"7"]]},
               {"metric":{"a":"1"},"values":[[1,"0.3"],[2,"NaN"],[3,"+Inf"]]}"#,
        );
        assert_eq!(difference(&ours, &theirs), None);
        let (ours, theirs) = (r#"{"data":["b","tenant_id","a"]}"#, r#"{"data":["a","b"]}"#);
        assert_eq!(difference(ours, theirs), None);
        let (ours, theirs) = (r#"{"data":[{"b":"1","a":"2"}]}"#, r#"{"data":[{"a":"2","b":"1"}]}"#);
        assert_eq!(difference(ours, theirs), None);
    }

    #[test]
    fn what_differs_is_said() {
        let row = |values: &str| matrix(&format!(r#"{{"metric":{{"a":"1"}},"values":[{values}]}}"#));
        let check = |theirs: &str, expected: &str| {
            assert_eq!(difference(&row(r#"[1,"2"]"#), theirs).as_deref(), Some(expected));
        };
        check(&matrix(""), "0 series, not 1");
        check(&matrix(r#"{"metric":{"a":"2"},"values":[]}"#), r#"1 other series, such as {a="2"}"#);
        check(&row(""), r#"1 of 1 series, such as {a="1"} has 0 values, not 1"#);
        check(&row(r#"[1,"2.00001"]"#), r#"1 of 1 series, such as {a="1"} is 2.00001 at 1, not 2 at 1"#);
        check(&row(r#"[2,"2"]"#), r#"1 of 1 series, such as {a="1"} is 2 at 2, not 2 at 1"#);
    }

    #[test]
    fn scalars() {
        let scalar =
            |value: &str| format!(r#"{{"data":{{"resultType":"scalar","result":[7.5,"{value}"]}}}}"#);
        assert_eq!(difference(&scalar("1e+6"), &scalar("1000000")), None);
        assert_eq!(
            difference(&scalar("1"), &scalar("2")).as_deref(),
            Some("1 of 1 series, such as {} is 2 at 7.5, not 1 at 7.5")
        );
    }

    #[test]
    fn what_is_no_answer() {
        for bad in ["", "{}", r#"{"data":{"result":[{"metric":{},"value":[1]}]}}"#] {
            assert!(Answer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

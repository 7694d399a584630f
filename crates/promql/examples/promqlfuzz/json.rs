//! Answers of the HTTP API, read.

use nilometer_model::Labels;
use nilometer_promql::fuzz::answer::{Answer, Bucket, Outcome, Point, Series, Shown};
use serde_json::Value;

/// An answer, or what a server says against the query.
pub(crate) fn outcome(json: &Value) -> Result<Outcome, String> {
    let read = || -> Option<Outcome> {
        if json["status"] == "error" {
            return Some(Err(json["error"].as_str()?.to_owned()));
        }
        let texts = |of: &Value| -> Vec<String> {
            let all = of.as_array().into_iter().flatten();
            all.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let data = &json["data"];
        Some(Ok(Answer {
            kind: data["resultType"].as_str()?.to_owned(),
            series: series(&data["result"], data["resultType"].as_str()?)?,
            warnings: texts(&json["warnings"]),
            infos: texts(&json["infos"]),
        }))
    };
    read().ok_or_else(|| format!("this is no answer of the query API: {json}"))
}

fn series(result: &Value, kind: &str) -> Option<Vec<Series>> {
    match kind {
        "string" => return Some(Vec::new()),
        "scalar" => return Some(vec![(Labels::empty(), vec![float(result)?])]),
        _ => {}
    }
    let one = |one: &Value| {
        let labels = one["metric"].as_object()?.iter().map(|(name, value)| Some((name, value.as_str()?)));
        let labels = Labels::from_pairs(labels.collect::<Option<Vec<_>>>()?);
        let mut points = Vec::new();
        for pair in one.get("value").into_iter().chain(one["values"].as_array().into_iter().flatten()) {
            points.push(float(pair)?);
        }
        for pair in one.get("histogram").into_iter().chain(one["histograms"].as_array().into_iter().flatten())
        {
            points.push((time(pair)?, Point::Histogram(histogram(&pair[1])?)));
        }
        Some((labels, points))
    };
    result.as_array()?.iter().map(one).collect()
}

fn time(pair: &Value) -> Option<i64> {
    Some((pair[0].as_f64()? * 1000.0).round() as i64)
}

fn float(pair: &Value) -> Option<(i64, Point)> {
    Some((time(pair)?, Point::Float(number(&pair[1])?)))
}

fn number(text: &Value) -> Option<f64> {
    text.as_str()?.parse().ok()
}

fn histogram(json: &Value) -> Option<Shown> {
    let bucket = |b: &Value| {
        let rule = u8::try_from(b[0].as_u64()?).ok()?;
        Some(Bucket { rule, lower: number(&b[1])?, upper: number(&b[2])?, count: number(&b[3])? })
    };
    let buckets = json["buckets"].as_array().into_iter().flatten().map(bucket).collect::<Option<_>>()?;
    Some(Shown { count: number(&json["count"])?, sum: number(&json["sum"])?, buckets })
}

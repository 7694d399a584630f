//! `{{schema:1 sum:4 count:3 buckets:[1 2]}}`: a native histogram.

use super::series::number;
use nilometer_model::{CounterReset, Error, FloatHistogram, Result, Span};

/// The histogram at the start of `text`, whether its hint about counter resets was given, and the rest.
pub(super) fn literal(text: &str) -> Result<(FloatHistogram, bool, &str)> {
    let wrong = |what: &str| Error::invalid(format!("{text:?} is no histogram: {what}"));
    let inner = text.strip_prefix("{{").ok_or_else(|| wrong("it begins with {{"))?;
    let end = inner.find("}}").ok_or_else(|| wrong("it ends with }}"))?;
    let (inner, rest) = (&inner[..end], &inner[end + 2..]);
    let mut h = FloatHistogram::default();
    let (mut offset, mut negative_offset, mut hint_given) = (0, 0, false);
    for (key, value) in items(inner) {
        let float = || number(value).ok_or_else(|| wrong(&format!("{value:?} is not a number")));
        let int = || value.parse::<i32>().map_err(|_| wrong(&format!("{value:?} is not a whole number")));
        let list = || numbers(value).ok_or_else(|| wrong(&format!("{value:?} is not a list of numbers")));
        match key {
            "schema" => h.schema = int()?,
            "sum" => h.sum = float()?,
            "count" => h.count = float()?,
            "z_bucket" => h.zero_count = float()?,
            "z_bucket_w" => h.zero_threshold = float()?,
            "custom_values" => h.custom_values = list()?,
            "buckets" => h.positive = list()?,
            "n_buckets" => h.negative = list()?,
            "offset" => offset = int()?,
            "n_offset" => negative_offset = int()?,
            "counter_reset_hint" => {
                hint_given = true;
                h.reset = match value {
                    "unknown" => CounterReset::Unknown,
                    "reset" => CounterReset::Reset,
                    "not_reset" => CounterReset::NotReset,
                    "gauge" => CounterReset::Gauge,
                    _ => return Err(wrong("hints are unknown, reset, not_reset and gauge")),
                };
            }
            _ => return Err(wrong(&format!("{key:?} is no property of one"))),
        }
    }
    h.positive_spans = span(offset, h.positive.len());
    h.negative_spans = span(negative_offset, h.negative.len());
    Ok((h, hint_given, rest))
}

fn span(offset: i32, len: usize) -> Vec<Span> {
    if len == 0 { Vec::new() } else { vec![Span { offset, length: len as u32 }] }
}

/// Pairs around colons; a value in brackets has spaces.
fn items(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once(':')?;
        let end = if after.starts_with('[') {
            after.find(']').map_or(after.len(), |at| at + 1)
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        rest = after[end..].trim_start();
        Some((key.trim(), &after[..end]))
    })
}

fn numbers(list: &str) -> Option<Vec<f64>> {
    list.strip_prefix('[')?.strip_suffix(']')?.split_whitespace().map(number).collect()
}

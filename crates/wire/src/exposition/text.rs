//! The text format, version 0.0.4, with names in quotes where they need them.

use super::names::is_plain;
use super::{Exposition, Family, FamilyType, Metric, MetricValue, cumulative};
use nilometer_model::number::{push_plain, scientific};
use std::io::Write;

pub(super) fn put(
    exposition: &Exposition,
    out: &mut Vec<u8>,
    family: Family<'_>,
    is_first: bool,
    metrics: &[Metric<'_>],
) {
    if is_first {
        out.extend_from_slice(b"# TYPE ");
        put_name(out, family.name);
        out.extend_from_slice(match family.kind {
            FamilyType::Untyped => b" untyped\n",
            // This format has no histograms that are gauges.
            FamilyType::Histogram | FamilyType::GaugeHistogram => b" histogram\n",
        });
    }
    for metric in metrics {
        let mut line = |suffix: &str, le: Option<f64>, v: f64| {
            let name = format!("{}{suffix}", family.name);
            put_line(exposition, out, &name, (metric, le), v);
        };
        match metric.value {
            MetricValue::Float(v) => line("", None, v),
            MetricValue::Histogram(h) => {
                let mut has_all = false;
                for (bound, count) in cumulative(h) {
                    line("_bucket", Some(bound), count);
                    has_all = bound == f64::INFINITY;
                }
                if !has_all {
                    line("_bucket", Some(f64::INFINITY), h.count);
                }
                line("_sum", None, h.sum);
                line("_count", None, h.count);
            }
        }
    }
}

/// `name{label="value",le="0.5"} 1.5 1700000000000`
fn put_line(
    exposition: &Exposition,
    out: &mut Vec<u8>,
    name: &str,
    (metric, le): (&Metric<'_>, Option<f64>),
    v: f64,
) {
    let mut open = false;
    let mut separate = |out: &mut Vec<u8>| {
        out.push(if std::mem::replace(&mut open, true) { b',' } else { b'{' });
    };
    if !is_plain(name) {
        separate(out);
    }
    put_name(out, name);
    for (label, value) in &metric.labels {
        separate(out);
        put_name(out, &exposition.name(label));
        out.extend_from_slice(b"=\"");
        put_escaped(out, value);
        out.push(b'"');
    }
    if let Some(bound) = le {
        separate(out);
        out.extend_from_slice(b"le=\"");
        put_float(out, bound);
        out.push(b'"');
    }
    if open {
        out.push(b'}');
    }
    out.push(b' ');
    put_float(out, v);
    let _ = writeln!(out, " {}", metric.t_ms);
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    if is_plain(name) {
        return out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
    put_escaped(out, name);
    out.push(b'"');
}

fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

/// As Go's `%g`: with an exponent of at least two digits below 1e-4 and from 1e6 on.
fn put_float(out: &mut Vec<u8>, v: f64) {
    match v.abs() {
        0.0 => out.push(b'0'),
        size if !size.is_finite() || (1e-4..1e6).contains(&size) => push_plain(out, v),
        _ => out.extend_from_slice(scientific(v).as_bytes()),
    }
}

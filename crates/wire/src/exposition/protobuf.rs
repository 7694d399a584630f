//! `io.prometheus.client.MetricFamily`, each behind its length.

use super::{Exposition, Family, FamilyType, Metric, MetricValue, cumulative};
use crate::protobuf::{Writer, zigzag};
use nilometer_model::{FloatHistogram, Span};

pub(super) fn put(exposition: &Exposition, out: &mut Vec<u8>, family: Family<'_>, metrics: &[Metric<'_>]) {
    let mut message = Writer::default();
    message.put_bytes(1, family.name.as_bytes());
    message.put_uint64(
        3,
        match family.kind {
            FamilyType::Untyped => 3,
            FamilyType::Histogram => 4,
            FamilyType::GaugeHistogram => 5,
        },
    );
    for metric in metrics {
        message.nested(4, |m| put_metric(exposition, m, metric));
    }
    let message = message.into_bytes();
    let mut delimited = Writer::onto(std::mem::take(out));
    delimited.put_varint(message.len() as u64);
    *out = delimited.into_bytes();
    out.extend_from_slice(&message);
}

fn put_metric(exposition: &Exposition, m: &mut Writer, metric: &Metric<'_>) {
    for (name, value) in &metric.labels {
        m.nested(1, |pair| {
            pair.put_bytes(1, exposition.name(name).as_bytes());
            pair.put_bytes(2, value.as_bytes());
        });
    }
    if let MetricValue::Float(v) = metric.value {
        m.nested(5, |untyped| untyped.put_double(1, v));
    }
    m.put_uint64(6, metric.t_ms as u64);
    match metric.value {
        MetricValue::Float(_) => {}
        MetricValue::Histogram(h) if h.has_custom_buckets() => m.nested(7, |m| put_classic(m, h)),
        MetricValue::Histogram(h) => m.nested(7, |m| put_native(m, h)),
    }
}

fn put_classic(m: &mut Writer, h: &FloatHistogram) {
    m.put_double(2, h.sum);
    for (bound, count) in cumulative(h) {
        m.nested(3, |bucket| {
            bucket.put_double(2, bound);
            bucket.put_double(4, count);
        });
    }
    m.put_double(4, h.count);
}

fn put_native(m: &mut Writer, h: &FloatHistogram) {
    m.put_double(2, h.sum);
    m.put_double(4, h.count);
    m.put_uint64(5, zigzag(h.schema.into()));
    m.put_double(6, h.zero_threshold);
    m.put_double(8, h.zero_count);
    for (spans_field, counts_field, spans, counts) in
        [(9, 11, &h.negative_spans, &h.negative), (12, 14, &h.positive_spans, &h.positive)]
    {
        put_spans(m, spans_field, spans);
        counts.iter().for_each(|count| m.put_double(counts_field, *count));
    }
}

fn put_spans(m: &mut Writer, field: u32, spans: &[Span]) {
    for span in spans {
        m.nested(field, |m| {
            m.put_uint64(1, zigzag(span.offset.into()));
            m.put_uint64(2, span.length.into());
        });
    }
}

//! One request of a connection, from scrape to scrape: the same series, other values.

use crate::catalogue::CATALOGUE;
use crate::packed::{Message, Packed};
use crate::plan::{Plan, Pod, Protocol, Span};
use crate::target::{self, Label};
use crate::value::Series;
use std::borrow::Cow;
use std::collections::HashMap;

pub(crate) struct Batch {
    spans: Vec<Span>,
    /// Who stands at each span's target.
    pods: Vec<Pod>,
    series: Vec<Series>,
    packed: Packed,
}

impl Batch {
    pub(crate) fn new(plan: &Plan, spans: Vec<Span>, scrape: u32) -> Batch {
        let pods: Vec<Pod> = spans.iter().map(|span| plan.pod(span.target, scrape)).collect();
        let mut series = Vec::new();
        for (span, pod) in spans.iter().zip(&pods) {
            let key = target::key(plan.seed, span.target, pod.generation);
            series.extend(span.slots.iter().map(|&slot| target::series(key, slot.into())));
        }
        let packed = Packed::new(&match plan.protocol {
            Protocol::V1 => v1(plan, &spans, &pods),
            Protocol::V2 => v2(plan, &spans, &pods),
        });
        Batch { spans, pods, series, packed }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.series.len() as u64
    }

    /// The newest time in it.
    pub(crate) fn newest_ms(&self, plan: &Plan, scrape: u32) -> i64 {
        self.spans.last().map_or(0, |span| plan.time_ms(span.target, scrape))
    }

    /// Length of the message before it is compressed.
    pub(crate) fn plain_len(&self) -> usize {
        self.packed.plain_len()
    }

    /// The request of a scrape, compressed.
    pub(crate) fn fill(&mut self, plan: &Plan, scrape: u32) -> &[u8] {
        if self.pods.iter().any(|pod| pod.ends <= u64::from(scrape)) {
            *self = Batch::new(plan, std::mem::take(&mut self.spans), scrape);
        }
        let mut nth = 0;
        let mut times_ms = Vec::with_capacity(self.spans.len());
        for (span, pod) in self.spans.iter().zip(&self.pods) {
            times_ms.push(plan.time_ms(span.target, scrape));
            let age = pod.age(scrape);
            for _ in &span.slots {
                self.packed.set_value(nth, self.series[nth].at(age));
                nth += 1;
            }
        }
        self.packed.set_times(&times_ms);
        self.packed.bytes()
    }
}

/// Length of a value as a varint.
fn varint_len(value: usize) -> usize {
    (1 + (value.max(1).ilog2() / 7)) as usize
}

const SAMPLE_LEN: usize = 1 + 8 + 1 + 6;

/// A sample is field 2 in both versions.
fn put_sample(message: &mut Message, target: usize) {
    message.put(&[0x12, SAMPLE_LEN as u8, 0x09]);
    message.put_value();
    message.put(&[0x10]);
    message.put_time(target);
}

/// `prometheus.WriteRequest`: series are field 1, their labels field 1, names and values 1 and 2.
fn v1(plan: &Plan, spans: &[Span], pods: &[Pod]) -> Message {
    let mut message = Message::default();
    let text = |text: &str| 1 + varint_len(text.len()) + text.len();
    for_each_series(plan, spans, pods, |target, _, labels| {
        let pair = |(name, value): &Label| text(name) + text(value);
        let pairs: usize = labels.iter().map(|label| 1 + varint_len(pair(label)) + pair(label)).sum();
        message.put(&[0x0a]);
        message.put_varint((pairs + 2 + SAMPLE_LEN) as u64);
        for label in labels {
            message.put(&[0x0a]);
            message.put_varint(pair(label) as u64);
            for (tag, text) in [(0x0a, label.0), (0x12, &label.1)] {
                message.put(&[tag]);
                message.put_varint(text.len() as u64);
                message.put(text.as_bytes());
            }
        }
        put_sample(&mut message, target);
    });
    message
}

/// `io.prometheus.write.v2.Request`: symbols are field 4, series field 5, their references field 1 (packed),
/// metadata field 5 with the type as field 1.
fn v2(plan: &Plan, spans: &[Span], pods: &[Pod]) -> Message {
    let mut numbers: HashMap<Cow<'static, str>, u64> = HashMap::new();
    let mut message = Message::default();
    message.put(&[0x22, 0]);
    let mut series = Vec::new();
    for_each_series(plan, spans, pods, |target, slot, labels| {
        let mut refs = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [Cow::Borrowed(*name), value.clone()]) {
            let next = numbers.len() as u64 + 1;
            refs.push(*numbers.entry(text.clone()).or_insert_with(|| {
                message.put(&[0x22]);
                message.put_varint(text.len() as u64);
                message.put(text.as_bytes());
                next
            }));
        }
        series.push((target, slot, refs));
    });
    for (target, slot, refs) in series {
        let packed: usize = refs.iter().map(|&r| varint_len(r as usize)).sum();
        message.put(&[0x2a]);
        message.put_varint((1 + varint_len(packed) + packed + 2 + SAMPLE_LEN + 4) as u64);
        message.put(&[0x0a]);
        message.put_varint(packed as u64);
        refs.into_iter().for_each(|r| message.put_varint(r));
        put_sample(&mut message, target);
        message.put(&[0x2a, 2, 0x08, CATALOGUE[slot].shape.metric_type()]);
    }
    message
}

/// `each` takes the number of the span, the slot, and the labels.
fn for_each_series(plan: &Plan, spans: &[Span], pods: &[Pod], mut each: impl FnMut(usize, usize, &[Label])) {
    for (target, (span, pod)) in spans.iter().zip(pods).enumerate() {
        for slot in span.slots.iter().map(|&slot| usize::from(slot)) {
            each(target, slot, &target::labels_of(plan.seed, span.target, pod.generation, slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use nilometer_wire::remote_write::{Limits, Message, WriteRequest};

    type Sample = (Vec<(String, String)>, i64, u64);

    fn expected(plan: &Plan, spans: &[Span], scrape: u32) -> Vec<Sample> {
        let mut all = Vec::new();
        for span in spans {
            let pod = plan.pod(span.target, scrape);
            let key = target::key(plan.seed, span.target, pod.generation);
            for slot in span.slots.iter().map(|&slot| usize::from(slot)) {
                let labels = target::labels_of(plan.seed, span.target, pod.generation, slot);
                let labels = labels.into_iter().map(|(n, v)| (n.to_owned(), v.into_owned())).collect();
                let v = target::series(key, slot).at(pod.age(scrape));
                all.push((labels, plan.time_ms(span.target, scrape), v.to_bits()));
            }
        }
        all
    }

    fn read(message: Message, body: &[u8]) -> Vec<Sample> {
        let mut request = WriteRequest::default();
        request.read(message, body, &Limits::default()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let series = request.series().map(|series| {
            let [sample] = series.samples() else { panic!("one sample each") };
            (series.labels().map(|(n, v)| (text(n), text(v))).collect(), sample.t_ms, sample.v.to_bits())
        });
        series.collect()
    }

    #[test]
    fn requests_hold_what_the_plan_says() {
        for (protocol, message) in [(Protocol::V1, Message::V1), (Protocol::V2, Message::V2)] {
            let plan = Plan { churn_percent: 1_000.0, per_request: 450, protocol, ..plan(1_250, 100) };
            for spans in plan.shard(0).batches {
                let mut batch = Batch::new(&plan, spans.clone(), 0);
                for scrape in [0, 1, 50, 99] {
                    assert!(read(message, batch.fill(&plan, scrape)) == expected(&plan, &spans, scrape));
                }
            }
        }
    }

    #[test]
    fn bytes_of_a_sample() {
        let plan = Plan { connections: 8, ..plan(100_000, 10) };
        let (mut plain, mut packed, mut samples) = (0, 0, 0);
        for spans in plan.shard(0).batches {
            let mut batch = Batch::new(&plan, spans, 0);
            packed += batch.fill(&plan, 5).len();
            plain += batch.plain_len();
            samples += batch.series.len();
        }
        let (plain, packed) = (plain as f64 / samples as f64, packed as f64 / samples as f64);
        assert!((330.0..342.0).contains(&plain), "{plain} bytes of protobuf");
        assert!((52.0..56.0).contains(&packed), "{packed} bytes of snappy");
    }
}

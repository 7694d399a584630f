//! Chunks that Prometheus itself wrote (`tsdb/chunkenc` at d15adb9ad7, of August 2026): ours must be the same bytes, and
//! theirs must decode to the same bits.
//!
//! `testdata/floats.txt`: `case <name> <encoding>`, then `s <start> <t> <bits of v>` for each sample, then the
//! `chunk` in hexadecimal.
//!
//! `testdata/histograms.txt`: `case <name> <encoding>`, then `i` and a histogram for each one appended, `cut`
//! where a chunk was ended for its size, then for each `chunk` that came out its bytes and, `decoded`, the
//! 64-bit FNV-1a hash of the lines of the histograms that Prometheus decodes from it.

use nilometer_chunk::{
    Appended, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, Xor2State, XorState, decode_floats,
};
use nilometer_model::{CounterReset, Histogram, Span, Value};
use std::fmt::{Display, Write};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn bits(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

#[test]
fn floats() {
    let text = include_str!("../testdata/floats.txt");
    let mut cases = 0;
    for case in text.split("case ").skip(1) {
        let mut lines = case.lines();
        let (name, encoding) = lines.next().unwrap().split_once(' ').unwrap();
        let encoding = Encoding::from_byte(encoding.parse().unwrap()).unwrap();
        let (mut xor, mut xor2, mut ours) = (XorState::new(), Xor2State::new(), vec![]);
        let (mut samples, mut chunk) = (vec![], vec![]);
        for line in lines {
            let fields: Vec<_> = line.split(' ').collect();
            if fields[0] == "chunk" {
                chunk = bytes(fields[1]);
                continue;
            }
            let (start, t, v) = (fields[1].parse().unwrap(), fields[2].parse().unwrap(), bits(fields[3]));
            match encoding {
                Encoding::Xor => xor.append(&mut ours, t, v),
                _ => xor2.append(&mut ours, Stamp { t_ms: t, start_ms: start }, v),
            }
            samples.push((start, t, v.to_bits()));
        }
        if samples.is_empty() {
            ours = vec![0; chunk.len()];
        }
        assert_eq!(ours, chunk, "{name} {encoding}");
        let (mut t, mut v) = (vec![], vec![]);
        decode_floats(&chunk, encoding, &mut t, &mut v).unwrap();
        let columns: Vec<_> = t.into_iter().zip(v.into_iter().map(f64::to_bits)).collect();
        assert!(columns.into_iter().eq(samples.iter().map(|&(_, t, v)| (t, v))), "{name} {encoding}");
        let (mut walk, mut rows) = (Samples::new(&chunk, encoding).unwrap(), vec![]);
        while let Some(sample) = walk.next() {
            let Ok((t, Value::Float(v))) = sample else { panic!("{name} {encoding}: {sample:?}") };
            rows.push((walk.start_ms(), t, v.to_bits()));
        }
        assert_eq!(rows, samples, "{name} {encoding}");
        cases += 1;
    }
    assert_eq!(cases, 26);
}

/// Counts as the golden files write them: integers in decimal, floats by their bits.
trait Text: ChunkCount {
    fn parse(text: &str) -> Self;
    fn text(self) -> String;
}

impl Text for u64 {
    fn parse(text: &str) -> u64 {
        text.parse().unwrap()
    }
    fn text(self) -> String {
        self.to_string()
    }
}

impl Text for f64 {
    fn parse(text: &str) -> f64 {
        bits(text)
    }
    fn text(self) -> String {
        format!("{:x}", self.to_bits())
    }
}

fn items<T>(text: &str, parse: impl Fn(&str) -> T) -> Vec<T> {
    if text == "-" { vec![] } else { text.split(',').map(parse).collect() }
}

fn span(text: &str) -> Span {
    let (offset, length) = text.split_once(':').unwrap();
    Span { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
}

const RESETS: [CounterReset; 4] =
    [CounterReset::Unknown, CounterReset::Reset, CounterReset::NotReset, CounterReset::Gauge];

fn parse<C: Text>(line: &str) -> (Stamp, Histogram<C>) {
    let f: Vec<_> = line.split(' ').collect();
    let at = Stamp { start_ms: f[0].parse().unwrap(), t_ms: f[1].parse().unwrap() };
    let histogram = Histogram {
        reset: RESETS[f[2].parse::<usize>().unwrap()],
        schema: f[3].parse().unwrap(),
        zero_threshold: bits(f[4]),
        zero_count: C::parse(f[5]),
        count: C::parse(f[6]),
        sum: bits(f[7]),
        positive_spans: items(f[8], span),
        negative_spans: items(f[9], span),
        positive: items(f[10], C::parse),
        negative: items(f[11], C::parse),
        custom_values: items(f[12], bits),
    };
    (at, histogram)
}

fn list<T, D: Display>(items: &[T], text: impl Fn(&T) -> D) -> String {
    let items: Vec<_> = items.iter().map(|i| text(i).to_string()).collect();
    if items.is_empty() { "-".into() } else { items.join(",") }
}

fn line<C: Text>(start_ms: i64, t_ms: i64, h: &Histogram<C>) -> String {
    let spans = |spans: &[Span]| list(spans, |s| format!("{}:{}", s.offset, s.length));
    let counts = |counts: &[C]| list(counts, |c| c.text());
    format!(
        "{start_ms} {t_ms} {} {} {} {} {} {} {} {} {} {} {}",
        RESETS.iter().position(|&r| r == h.reset).unwrap(),
        h.schema,
        h.zero_threshold.text(),
        h.zero_count.text(),
        h.count.text(),
        h.sum.text(),
        spans(&h.positive_spans),
        spans(&h.negative_spans),
        counts(&h.positive),
        counts(&h.negative),
        list(&h.custom_values, |v| v.text()),
    )
}

fn decoded(chunk: &[u8], encoding: Encoding) -> String {
    let (mut samples, mut out) = (Samples::new(chunk, encoding).unwrap(), String::new());
    while let Some(sample) = samples.next() {
        let (t, value) = sample.unwrap();
        let line = match value {
            Value::Float(_) => unreachable!("a histogram chunk"),
            Value::Int(h) => line(samples.start_ms(), t, &*h),
            Value::FloatHistogram(h) => line(samples.start_ms(), t, &*h),
        };
        writeln!(out, "{line}").unwrap();
    }
    out
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

fn check<C: Text>(name: &str, encoding: Encoding, lines: std::str::Lines<'_>) {
    let mut appender = HistogramAppender::<C>::new(encoding == C::ENCODING_ST);
    assert_eq!(appender.encoding(), encoding);
    let (mut open, mut done, mut cut) = (vec![], vec![], false);
    let mut theirs = vec![];
    for line in lines {
        match line.split_once(' ') {
            None => cut = true,
            Some(("i", text)) => {
                let (at, histogram) = parse::<C>(text);
                histogram.validate().unwrap();
                let new_chunk = if std::mem::take(&mut cut) {
                    Some(appender.reset_after_cut(&histogram))
                } else {
                    match appender.append(&mut open, at, &histogram) {
                        Appended::NewChunk(reset) => Some(reset),
                        Appended::Done | Appended::Recoded => None,
                    }
                };
                if let Some(reset) = new_chunk {
                    done.push(std::mem::take(&mut open));
                    appender.start(&mut open, reset, at, &histogram);
                }
                appender = HistogramAppender::resume(&open, encoding).unwrap();
            }
            Some(("chunk", hex)) => theirs.push((bytes(hex), 0)),
            Some((_, hash)) => theirs.last_mut().unwrap().1 = u64::from_str_radix(hash, 16).unwrap(),
        }
    }
    done.push(open);
    assert_eq!(done.len(), theirs.len(), "{name} {encoding}: number of chunks");
    for (i, (ours, (theirs, hash))) in done.iter().zip(&theirs).enumerate() {
        let text = decoded(theirs, encoding);
        assert_eq!(fnv(&text), *hash, "{name} {encoding} chunk {i} decodes to\n{text}");
        assert!(ours == theirs, "{name} {encoding} chunk {i} holds\n{text}ours\n{}", decoded(ours, encoding));
    }
}

#[test]
fn histograms() {
    let text = include_str!("../testdata/histograms.txt");
    check_all(text);
    assert_eq!(text.matches("case ").count(), 34);
}

fn check_all(text: &str) {
    for case in text.split("case ").skip(1) {
        let mut lines = case.lines();
        let (name, encoding) = lines.next().unwrap().split_once(' ').unwrap();
        let encoding = Encoding::from_byte(encoding.parse().unwrap()).unwrap();
        match encoding {
            Encoding::Histogram | Encoding::HistogramSt => check::<u64>(name, encoding, lines),
            _ => check::<f64>(name, encoding, lines),
        }
    }
}

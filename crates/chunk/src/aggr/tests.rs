use super::*;
use crate::{Samples, encode_floats};
use nilometer_model::Value;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

type Rows = Vec<(i64, f64)>;

fn rows((encoding, chunk): (Encoding, &[u8])) -> Rows {
    let samples = Samples::new(chunk, encoding).unwrap();
    samples
        .map(|s| match s.unwrap() {
            (t, Value::Float(v)) => (t, v),
            other => panic!("no float: {other:?}"),
        })
        .collect()
}

/// Of Thanos' own test of the format, written by its code.
const THANOS: &str = "14010004c801403e00000000000064d23f741dac7f6015010004c801406040000000000064d0477a106a3aaf3017010004c801000000000000000064c076012c094055aa02b10023010005c801401400000000000064d416e57666666666666d9a5199999999999dfce6a166";

fn thanos_parts() -> [Option<Rows>; 5] {
    let rows = |values: &[f64]| Some((1..).map(|n| n * 100).zip(values.iter().copied()).collect::<Rows>());
    let mut counter = rows(&[5.0, 10.0, 10.1, 15.0]);
    counter.as_mut().unwrap().push((400, 3.0));
    [
        rows(&[30.0, 50.0, 60.0, 67.0]),
        rows(&[130.0, 1000.0, 2000.0, 5555.0]),
        rows(&[0.0, -10.0, 1000.0, -9.5]),
        None,
        counter,
    ]
}

#[test]
fn bytes_are_those_of_thanos() {
    let (chunk, parts) = (hex(THANOS), thanos_parts());
    let read = AggrChunk::read(&chunk).unwrap();
    assert_eq!((read.windows(), read.is_histogram()), (4, false));
    for (aggregate, rows_of) in Aggregate::ALL.into_iter().zip(&parts) {
        assert_eq!(read.get(aggregate).map(rows), *rows_of);
    }
    let encoded = parts.map(|part| part.map(encode_floats).unwrap_or_default());
    let mut ours = AggrChunk::default();
    for (aggregate, part) in Aggregate::ALL.into_iter().zip(&encoded) {
        ours = ours.with(aggregate, Encoding::Xor, part);
    }
    assert_eq!(ours, read);
    assert_eq!(ours.encode(), chunk);
    assert!(Samples::new(&chunk, Encoding::Aggr).is_err(), "it has no samples of its own");
}

#[test]
fn what_is_damaged_is_refused() {
    let chunk = hex(THANOS);
    for len in 0..chunk.len() {
        assert!(AggrChunk::read(&chunk[..len]).is_err(), "cut after {len} bytes");
    }
    assert!(AggrChunk::read(&[&chunk[..], &[0]].concat()).is_err(), "one byte more");
    assert!(AggrChunk::read(&[2, 0xff, 0, 0, 0, 0, 0, 0]).is_err(), "aggregates of aggregates");
    assert!(AggrChunk::read(&[2, 9, 0, 0, 0, 0, 0, 0]).is_err(), "an encoding that nobody knows");
    assert!(AggrChunk::read(&[0xff; 11]).is_err(), "a length that no number holds");
    assert_eq!(AggrChunk::read(&[0; 5]).unwrap(), AggrChunk::default());
}

proptest! {
    #[test]
    fn round_trip(parts in prop::array::uniform5(prop::collection::vec(any::<u8>(), 0..300)), encoding in 1u8..7) {
        let encoding = Encoding::from_byte(encoding).unwrap();
        let chunk = Aggregate::ALL
            .into_iter()
            .zip(&parts)
            .fold(AggrChunk::default(), |chunk, (a, part)| chunk.with(a, encoding, part));
        let bytes = chunk.encode();
        prop_assert_eq!(AggrChunk::read(&bytes).unwrap(), chunk);
        for (aggregate, part) in Aggregate::ALL.into_iter().zip(&parts) {
            prop_assert_eq!(chunk.get(aggregate).map_or(&[][..], |(_, bytes)| bytes), &part[..]);
        }
    }

    /// Whatever the resets, what comes out rises by what the raw counter rose.
    #[test]
    fn counters_never_go_down(values in prop::collection::vec(0u32..100, 1..60), cuts in prop::collection::vec(0..60usize, 0..6)) {
        let raw: Rows = values.iter().enumerate().map(|(n, v)| (n as i64 * 10, f64::from(*v))).collect();
        let (mut plain, mut aggregated) = (Counter::default(), Counter::default());
        let (mut last, mut from_chunk) = (0.0, f64::NAN);
        for (n, &(t, v)) in raw.iter().enumerate() {
            let total = plain.next(t, v).unwrap();
            prop_assert!(total >= last);
            last = total;
            // As an aggregate has it: a chunk that ends here tells its total, then the true value.
            let begins = n == 0 || cuts.contains(&n);
            let ends = n + 1 == raw.len() || cuts.contains(&(n + 1));
            from_chunk = if begins {
                v
            } else {
                from_chunk + if v < raw[n - 1].1 { v } else { v - raw[n - 1].1 }
            };
            prop_assert_eq!(aggregated.next(t, from_chunk), Some(total));
            if ends {
                prop_assert_eq!(aggregated.next(t, v), None);
                prop_assert_eq!(aggregated.last(), Some(v));
            }
        }
    }
}

#[test]
fn counters_of_chunks_that_overlap() {
    let mut counter = Counter::default();
    let given =
        [(10, 5.0), (20, 8.0), (20, 3.0), (15, 100.0), (20, 4.0), (30, 6.0), (40, f64::NAN), (40, 1.0)];
    let yielded: Vec<_> = given.iter().filter_map(|&(t, v)| Some((t, counter.next(t, v)?))).collect();
    assert_eq!(yielded, [(10, 5.0), (20, 8.0), (30, 10.0), (40, 11.0)]);
}

//! What must hold of any bytes at all: for the fuzz target, and for a short run of it in the tests.

use crate::aggr::Counter;
use crate::{AggrChunk, Aggregate, Encoding, Samples, Stamp, Xor2State, XorState, decode_floats};
use nilometer_model::Value;

/// The first byte picks the encoding, the others are the chunk.
///
/// # Panics
/// If a decoder panics, if the two ways to read floats differ, or if what was read does not survive being
/// written and read again.
pub fn chunk(input: &[u8]) {
    let Some((&first, chunk)) = input.split_first() else { return };
    let Ok(encoding) = Encoding::from_byte(first % 6 + 1) else { return };
    let floats = rows(chunk, encoding);
    let (mut t_ms, mut v) = (vec![], vec![]);
    if decode_floats(chunk, encoding, &mut t_ms, &mut v).is_err() {
        assert!(floats.is_none(), "columns are refused, rows are not");
        return;
    }
    let floats = floats.expect("rows are refused, columns are not");
    let columns = t_ms.iter().zip(&v).map(|(&t, v)| (t, v.to_bits()));
    assert!(columns.eq(floats.iter().map(|&(at, v)| (at.t_ms, v))), "rows and columns differ");
    if floats.len() < usize::from(u16::MAX) {
        again(&floats, encoding);
        write_on(chunk, &floats, encoding);
    }
}

/// A chunk of aggregates: what was read is written as it was, and each aggregate can be tried.
///
/// # Panics
/// If a decoder panics, or if what was read does not survive being written.
pub fn aggr_chunk(input: &[u8]) {
    let Ok(chunk) = AggrChunk::read(input) else { return };
    let again = chunk.encode();
    assert!(AggrChunk::read(&again).expect("our own chunk") == chunk, "it reads otherwise than written");
    let mut counter = Counter::default();
    for (encoding, part) in Aggregate::ALL.into_iter().filter_map(|a| chunk.get(a)) {
        let Ok(samples) = Samples::new(part, encoding) else { continue };
        for (t_ms, value) in samples.map_while(|s| s.ok()) {
            if let Value::Float(v) = value {
                counter.next(t_ms, v);
            }
        }
    }
}

/// All samples, where all are floats that can be read; the bits of their values.
fn rows(chunk: &[u8], encoding: Encoding) -> Option<Vec<(Stamp, u64)>> {
    let mut samples = Samples::new(chunk, encoding).ok()?;
    let mut rows = vec![];
    while let Some(sample) = samples.next() {
        let (t_ms, value) = sample.ok()?;
        if let Value::Float(v) = value {
            rows.push((Stamp { t_ms, start_ms: samples.start_ms() }, v.to_bits()));
        }
    }
    encoding.is_float().then_some(rows)
}

/// Writes the samples, the second half as if after a restart.
fn again(samples: &[(Stamp, u64)], encoding: Encoding) {
    let mut bytes = vec![];
    let (early, late) = samples.split_at(samples.len() / 2);
    for half in [early, late] {
        let (mut xor, mut xor2) = match encoding {
            Encoding::Xor => (XorState::resume(&bytes).expect("our own chunk"), Xor2State::new()),
            _ => (XorState::new(), Xor2State::resume(&bytes).expect("our own chunk")),
        };
        for &(at, v) in half {
            match encoding {
                Encoding::Xor => xor.append(&mut bytes, at.t_ms, f64::from_bits(v)),
                _ => xor2.append(&mut bytes, at, f64::from_bits(v)),
            }
        }
    }
    if !samples.is_empty() {
        let read = rows(&bytes, encoding).expect("our own chunk");
        assert!(read == samples, "what was read does not survive being written");
    }
}

/// Writes one sample more behind bytes that are not our own.
fn write_on(chunk: &[u8], samples: &[(Stamp, u64)], encoding: Encoding) {
    let mut bytes = chunk.to_vec();
    let more = (Stamp::at(1), 2);
    match (encoding, XorState::resume(chunk), Xor2State::resume(chunk)) {
        (Encoding::Xor, Ok(mut state), _) => state.append(&mut bytes, 1, f64::from_bits(2)),
        (Encoding::Xor2, _, Ok(mut state)) => state.append(&mut bytes, more.0, f64::from_bits(2)),
        _ => return,
    }
    let read = rows(&bytes, encoding).expect("a chunk that could be continued");
    assert!(read.iter().eq(samples.iter().chain([&more])), "what was written is not what is read");
}

#[cfg(test)]
mod tests {
    use crate::encode_floats;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn random_bytes(mut input in prop::collection::vec(any::<u8>(), 0..200), high in 0u8..2) {
            if let Some(count) = input.get_mut(1) {
                *count = high;
            }
            super::chunk(&input);
        }

        #[test]
        fn random_aggregates(parts in prop::collection::vec((0u8..8, prop::collection::vec(any::<u8>(), 0..40)), 5), end in any::<bool>()) {
            let mut input: Vec<u8> = vec![];
            for (encoding, part) in &parts {
                input.push(part.len() as u8);
                if !part.is_empty() {
                    input.push(*encoding);
                    input.extend(part);
                }
            }
            super::aggr_chunk(&input[..input.len() - usize::from(end)]);
        }

        #[test]
        fn damaged_chunks(
            steps in prop::collection::vec((0i64..20_000, 0u8..20), 1..100),
            encoding in 0u8..6,
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        ) {
            let mut t_ms = 0;
            let mut input = vec![encoding];
            input.extend(encode_floats(steps.iter().map(|&(step, v)| {
                t_ms += step;
                (t_ms, f64::from(v))
            })));
            for (at, byte) in hits {
                let at = at.index(input.len());
                input[at] ^= byte;
            }
            super::chunk(&input);
        }
    }
}

use super::*;
use crate::xor::tests::samples;
use crate::{Encoding, decode_floats};
use proptest::prelude::*;

type Rows = Vec<(i64, i64, u64)>;

fn encode(rows: &[(i64, i64, u64)]) -> Vec<u8> {
    let (mut state, mut bytes) = (Xor2State::new(), vec![]);
    for &(start, t, v) in rows {
        state.append(&mut bytes, Stamp { t_ms: t, start_ms: start }, f64::from_bits(v));
    }
    if rows.is_empty() { vec![0; HEADER_BYTES] } else { bytes }
}

fn one_by_one(bytes: &[u8]) -> Result<Rows> {
    let mut decoder = Xor2Decoder::new(bytes)?;
    let mut out = vec![];
    while let Some((t, v)) = decoder.next()? {
        out.push((decoder.start_ms(), t, v.to_bits()));
    }
    Ok(out)
}

fn columns(bytes: &[u8]) -> Result<Vec<(i64, u64)>> {
    let (mut t, mut v) = (vec![], vec![]);
    decode_floats(bytes, Encoding::Xor2, &mut t, &mut v)?;
    Ok(t.into_iter().zip(v.into_iter().map(f64::to_bits)).collect())
}

/// Starts that are never known, always the same, change now and then, or are anything.
fn rows() -> impl Strategy<Value = Rows> {
    (samples(), 0..4u8, any::<i64>(), 0usize..150).prop_map(|(samples, kind, odd, from)| {
        let start = |i: usize, t: i64| match kind {
            0 => 0,
            1 => odd,
            2 if i < from => 0,
            2 => t.wrapping_sub(i as i64 % 5),
            _ if i < from => odd,
            _ => odd.wrapping_mul(i as i64),
        };
        samples.into_iter().enumerate().map(|(i, (t, v))| (start(i, t), t, v)).collect()
    })
}

proptest! {
    #[test]
    fn round_trip(rows in rows()) {
        let bytes = encode(&rows);
        prop_assert_eq!(&one_by_one(&bytes).unwrap(), &rows);
        let floats: Vec<_> = rows.iter().map(|&(_, t, v)| (t, v)).collect();
        prop_assert_eq!(&columns(&bytes).unwrap(), &floats);
    }

    #[test]
    fn resumed_anywhere_gives_the_same_bytes(rows in rows(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(rows.len() + 1);
        let mut bytes = encode(&rows[..cut]);
        let mut state = Xor2State::resume(&bytes).unwrap();
        for &(start, t, v) in &rows[cut..] {
            state.append(&mut bytes, Stamp { t_ms: t, start_ms: start }, f64::from_bits(v));
            prop_assert_eq!((state.last().0, state.last().1.to_bits()), (t, v));
        }
        prop_assert_eq!(bytes, encode(&rows));
    }

    #[test]
    fn cut_short_is_corrupt(rows in rows(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&rows);
        let cut = cut.index(bytes.len());
        prop_assert!(columns(&bytes[..cut]).is_err());
        prop_assert!(one_by_one(&bytes[..cut]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(high) = bytes.first_mut() {
            *high = 0;
        }
        let rows = one_by_one(&bytes).ok().map(|rows| rows.iter().map(|&(_, t, v)| (t, v)).collect::<Vec<_>>());
        prop_assert_eq!(columns(&bytes).ok(), rows);
        let _ = Xor2State::resume(&bytes);
    }
}

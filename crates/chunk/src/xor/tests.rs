use super::*;
use crate::{Encoding, decode_floats, encode_floats};
use nilometer_model::STALE_NAN_BITS;
use proptest::prelude::*;

type Bits = Vec<(i64, u64)>;

fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
    encode_floats(samples.iter().map(|&(t, v)| (t, f64::from_bits(v))))
}

fn decode(bytes: &[u8]) -> Result<Bits> {
    let (mut t, mut v) = (vec![], vec![]);
    decode_floats(bytes, Encoding::Xor, &mut t, &mut v)?;
    Ok(t.into_iter().zip(v.into_iter().map(f64::to_bits)).collect())
}

fn one_by_one(bytes: &[u8]) -> Result<Bits> {
    let mut decoder = XorDecoder::new(bytes)?;
    let mut out = vec![];
    while let Some((t, v)) = decoder.next()? {
        out.push((t, v.to_bits()));
    }
    Ok(out)
}

/// Times and values of all shapes: steady and wild steps, equal, near, integer and random values.
pub(crate) fn samples() -> impl Strategy<Value = Bits> {
    let step = prop_oneof![
        8 => Just(15_000i64),
        4 => 14_990i64..15_010,
        2 => -1_200_000i64..1_200_000,
        1 => any::<i64>(),
    ];
    let value = prop_oneof![
        4 => Just(0u64),
        4 => (0i64..1000).prop_map(|v| (v as f64).to_bits()),
        2 => any::<u64>(),
        1 => Just(STALE_NAN_BITS),
        1 => any::<f64>().prop_map(f64::to_bits),
    ];
    (any::<i64>(), prop::collection::vec((step, value), 0..150)).prop_map(|(start, steps)| {
        let mut t = start;
        steps
            .into_iter()
            .map(|(step, v)| {
                t = t.wrapping_add(step);
                (t, v)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn round_trip(samples in samples()) {
        let bytes = encode(&samples);
        prop_assert_eq!(&decode(&bytes).unwrap(), &samples);
        prop_assert_eq!(&one_by_one(&bytes).unwrap(), &samples);
    }

    #[test]
    fn columns_give_the_same_bytes(samples in samples()) {
        let (t, v): (Vec<_>, Vec<_>) = samples.iter().map(|&(t, v)| (t, f64::from_bits(v))).unzip();
        let mut bytes = vec![1, 2, 3];
        encode_columns(&t, &v, &mut bytes);
        let expected = if samples.is_empty() { vec![] } else { encode(&samples) };
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn resumed_anywhere_gives_the_same_bytes(samples in samples(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(samples.len() + 1);
        let mut bytes = encode(&samples[..cut]);
        let mut state = XorState::resume(&bytes).unwrap();
        prop_assert_eq!(usize::from(state.count()), cut);
        match XorState::restored(&state.saved(), state.last().0, &bytes) {
            Ok(restored) => prop_assert_eq!(restored, state),
            Err(_) => prop_assert_eq!(cut, 0),
        }
        for &(t, v) in &samples[cut..] {
            state.append(&mut bytes, t, f64::from_bits(v));
        }
        prop_assert_eq!(bytes, encode(&samples));
    }

    #[test]
    fn cut_short_is_corrupt(samples in samples(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&samples);
        let cut = cut.index(bytes.len());
        prop_assert!(decode(&bytes[..cut]).is_err());
        prop_assert!(one_by_one(&bytes[..cut]).is_err());
    }

    #[test]
    fn any_state_is_taken_or_refused(
        saved: [u8; XorState::SAVED_BYTES],
        small: [u8; 3],
        samples in samples(),
        t_ms: i64,
    ) {
        for saved in [saved, [&saved[..16], &small.map(|b| b % 64)].concat().try_into().unwrap()] {
            let mut bytes = encode(&samples);
            if let Ok(mut state) = XorState::restored(&saved, t_ms, &bytes) {
                prop_assert_eq!(state.saved(), saved);
                state.append(&mut bytes, t_ms, 1.0);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(high) = bytes.first_mut() {
            *high = 0;
        }
        prop_assert_eq!(decode(&bytes).ok(), one_by_one(&bytes).ok());
        let _ = XorState::resume(&bytes);
    }
}

#[test]
fn an_error_leaves_the_columns_alone() {
    let bytes = encode(&[(1, 1), (2, 2), (3, 3)]);
    let (mut t, mut v) = (vec![7], vec![7.0]);
    assert!(decode_floats(&bytes[..bytes.len() - 1], Encoding::Xor, &mut t, &mut v).is_err());
    assert_eq!((t, v), (vec![7], vec![7.0]));
}

#[test]
fn bytes_behind_the_end_cannot_be_resumed_from() {
    let mut bytes = encode(&[(1, 1)]);
    bytes.push(0);
    assert!(XorState::resume(&bytes).is_err());
    let mut bytes = encode(&[(1, 1), (2, 1)]);
    assert!(XorState::resume(&bytes).is_ok());
    *bytes.last_mut().unwrap() |= 1;
    assert!(XorState::resume(&bytes).is_err(), "one bit of the padding is set");
}

#[test]
fn a_false_count_allocates_nothing() {
    let (mut t, mut v) = (vec![], vec![]);
    assert!(decode_floats(&[0xff; 50], Encoding::Xor, &mut t, &mut v).is_err());
    assert_eq!((t.capacity(), v.capacity()), (0, 0));
}

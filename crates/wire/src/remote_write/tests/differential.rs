//! The reader against the naive one, on what senders send and on what is left of it after damage.

use super::plain::{Pairs, PlainRequest, pairs, plain};
use super::{oracle, strategies};
use crate::remote_write::{Identity, Limits, Message, WriteRequest, encode};
use crate::snappy;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The bytes that the labels of a series have as a key, or `None` where they are not fit for one.
pub(super) fn naive_key(labels: &Pairs) -> Option<Vec<u8>> {
    let fit = !labels.is_empty()
        && labels.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty());
    fit.then(|| labels.iter().flat_map(|(name, value)| naive_label(name, value)).collect())
}

fn naive_label(name: &[u8], value: &[u8]) -> Vec<u8> {
    let field = |tag: u8, text: &[u8]| {
        let mut out = vec![tag];
        let mut len = text.len();
        while len > 127 {
            out.push((len % 128) as u8 + 128);
            len /= 128;
        }
        out.push(len as u8);
        out.extend(text);
        out
    };
    field(0x0a, &[field(0x0a, name), field(0x12, value)].concat())
}

/// Keys are only what they promise to be; `all` also asks that none was missed.
fn check_keys(request: &WriteRequest, all: bool) {
    for series in request.series() {
        let naive = naive_key(&pairs(series.labels()));
        match series.identity() {
            Identity::Key(key) => assert_eq!(Some(key), naive.as_deref()),
            Identity::Loose(_) => assert!(!all || naive.is_none(), "a key was missed: {naive:x?}"),
            Identity::Refused(_) => assert!(!all),
        }
    }
}

fn histograms_are_good(request: &PlainRequest) -> bool {
    request.series.iter().flat_map(|s| &s.histograms).all(|h| h.2.is_some())
}

/// Bytes that a sender could have sent, or nearly.
fn body() -> impl Strategy<Value = (Message, Vec<u8>)> {
    (prop::collection::vec(strategies::series(), 0..5), strategies::families(), any::<bool>()).prop_map(
        |(series, families, v2)| {
            if v2 {
                (Message::V2, encode::v2(&series))
            } else {
                (Message::V1, encode::v1(&series, &families))
            }
        },
    )
}

/// Damage: a byte changed, taken out, put in, a piece doubled, the end cut.
fn damage(body: &mut Vec<u8>, kind: u8, at: prop::sample::Index, byte: u8) {
    if body.is_empty() {
        return;
    }
    let at = at.index(body.len());
    match kind % 5 {
        0 => body[at] = byte,
        1 => drop(body.remove(at)),
        2 => body.insert(at, byte),
        3 => {
            let piece = body[at..(at + 1 + usize::from(byte) % 24).min(body.len())].to_vec();
            body.splice(at..at, piece);
        }
        _ => body.truncate(at),
    }
}

/// The same ones each time; the fuzz target is for finding others.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x4e69_6c6f),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn good_requests_read_the_same((message, bytes) in body()) {
        let limits = Limits::default();
        let mut request = WriteRequest::default();
        request.read(message, &snappy::compress(&bytes).unwrap(), &limits).unwrap();
        prop_assert_eq!(Some(plain(&request)), oracle::read(message, &bytes));
        check_keys(&request, true);
    }
}

proptest! {
    #![proptest_config(cases(6_000))]

    /// What is read at all is read as prost reads it. (Prost takes more: groups, and 32-bit numbers whose
    /// upper half it drops.)
    #[test]
    fn damaged_requests_read_the_same_or_not_at_all(
        (message, mut bytes) in body(),
        wounds in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (kind, at, byte) in wounds {
            damage(&mut bytes, kind, at, byte);
        }
        let limits = Limits::default();
        let mut request = WriteRequest::default();
        if request.read_plain(message, &bytes, &limits).is_ok() {
            let ours = plain(&request);
            check_keys(&request, false);
            match oracle::read(message, &bytes) {
                Some(theirs) if histograms_are_good(&ours) => prop_assert_eq!(ours, theirs),
                // One bad histogram is not the others' fault here, but prost refuses them all.
                theirs => prop_assert!(theirs.is_some() || !histograms_are_good(&ours), "{:?}", ours),
            }
        }
    }

    /// Both versions name a series alike.
    #[test]
    fn one_series_has_one_key(series in strategies::series()) {
        let (mut v1, mut v2) = (WriteRequest::default(), WriteRequest::default());
        let (limits, series) = (Limits::default(), [series]);
        v1.read_plain(Message::V1, &encode::v1(&series, &[]), &limits).unwrap();
        v2.read_plain(Message::V2, &encode::v2(&series), &limits).unwrap();
        let key = |r: &WriteRequest| match r.series().next().unwrap().identity() {
            Identity::Key(key) => Ok(key.to_vec()),
            Identity::Loose(labels) => Err(pairs(labels)),
            Identity::Refused(defect) => panic!("{defect}"),
        };
        prop_assert_eq!(key(&v1), key(&v2));
    }
}

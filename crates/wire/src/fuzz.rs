//! What must hold of any bytes at all: for the fuzz target, and for a short run of it in the tests.

use crate::remote_read::{MAX_MATCHERS, MAX_QUERIES, ReadRequest};
use crate::remote_write::encode::{self, SentSeries};
use crate::remote_write::{Identity, LabelIter, Limits, Message, Series, WriteRequest};
use crate::store_api::{Aggr, Response};
use nilometer_model::Labels;

/// Small enough to be reached by small inputs.
pub const TIGHT: Limits = Limits {
    max_decompressed_bytes: 1 << 16,
    max_series: 40,
    max_samples: 60,
    max_histograms: 20,
    max_exemplars: 20,
    max_metadata: 20,
    max_symbols: 100,
    max_label_bytes: 1 << 14,
    max_labels_per_series: 12,
    max_label_bytes_per_series: 1 << 10,
    max_buckets_per_histogram: 16,
};

/// What [`TIGHT`] lets a request take: rows of at most 64 bytes and columns at most twice as long as needed,
/// the body rounded up, two columns of references (four bytes for one), and the first block of text.
const TIGHT_BYTES: usize =
    2 * 64 * (40 + 60 + 20 + 20 + 20 + 100 + 40) + (1 << 16) * (2 + 2 * 4 * 2) + (64 << 10);

/// The first byte picks message, compression and limits, the others are the body.
///
/// # Panics
/// If reading panics, leaves something behind after an error, takes more memory than the limits allow, or
/// takes labels for a key that are none.
pub fn remote_write(input: &[u8]) {
    let Some((&first, body)) = input.split_first() else { return };
    let message = if first & 1 == 0 { Message::V1 } else { Message::V2 };
    let limits = if first & 4 == 0 { TIGHT } else { Limits::default() };
    let mut request = WriteRequest::default();
    let read = |request: &mut WriteRequest| match first & 2 {
        0 => request.read_plain(message, body, &limits),
        _ => request.read(message, body, &limits),
    };
    let done = read(&mut request);
    assert!(
        limits != TIGHT || request.allocated_bytes() <= TIGHT_BYTES,
        "{} bytes",
        request.allocated_bytes()
    );
    if done.is_err() {
        assert!(
            request.message().is_none() && request.series().len() == 0 && request.decompressed_bytes() == 0
        );
        return;
    }
    let seen = look(&request);
    request.series().take(1_000).for_each(|series| check_identity(&series));
    read(&mut request).expect("it was good the first time");
    assert_eq!(look(&request), seen, "a second reading sees something else");
}

/// Looks at everything there is, as a reader would.
fn look(request: &WriteRequest) -> [usize; 6] {
    let bytes = |labels: LabelIter<'_>| labels.map(|(n, v)| n.len() + v.len()).sum::<usize>();
    let mut seen = [0; 6];
    seen[0] = request.families().map(|m| m.family.len() + m.to_model().help.len()).sum();
    for series in request.series() {
        seen[1] += bytes(series.labels());
        seen[2] += series.samples().len();
        seen[3] += series.histograms().filter(|h| h.decode().is_ok()).count();
        seen[4] += series.exemplars().map(|e| e.labels.map_or(1, bytes)).sum::<usize>();
        seen[5] += series.metadata().map_or(0, |m| m.to_model().unit.len());
    }
    assert_eq!(seen[2], request.sample_count());
    seen
}

/// A key is sorted, complete, and what the other version would make of the same labels.
fn check_identity(series: &Series<'_>) {
    let Identity::Key(key) = series.identity() else { return };
    let pairs: Vec<_> = series.labels().collect();
    assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0), "a key is not sorted");
    assert!(!pairs.is_empty() && pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    let texts = pairs
        .iter()
        .map(|(n, v)| Some((str::from_utf8(n).ok()?.to_owned(), str::from_utf8(v).ok()?.to_owned())));
    let Some(labels) = texts.collect::<Option<Vec<_>>>() else { return };
    let mut own_key = Vec::new();
    encode::put_key(&mut own_key, &Labels::from_pairs(labels.iter().map(|(n, v)| (n, v))));
    assert!(own_key == key, "labels and key differ");
    let sent = [SentSeries { labels, ..SentSeries::default() }];
    for (message, body) in [(Message::V1, encode::v1(&sent, &[])), (Message::V2, encode::v2(&sent))] {
        let mut again = WriteRequest::default();
        again.read_plain(message, &body, &Limits::default()).expect("it is well-formed");
        let found = again.series().next().expect("one was sent").identity();
        assert!(matches!(found, Identity::Key(other) if other == key), "{message:?} has another key");
    }
}

/// The first byte says whether the others are compressed.
///
/// # Panics
/// If reading panics, or lets more through than the limits allow.
pub fn remote_read(input: &[u8]) {
    let Some((&first, body)) = input.split_first() else { return };
    let read = match first & 1 {
        0 => ReadRequest::read_plain(body),
        _ => ReadRequest::read(body, TIGHT.max_decompressed_bytes),
    };
    let Ok(request) = read else { return };
    assert!(request.queries.len() <= MAX_QUERIES);
    assert!(request.queries.iter().map(|q| q.matchers.len()).sum::<usize>() <= MAX_MATCHERS);
    let _ = request.response_type();
}

/// The input is a message of a store's answer.
///
/// # Panics
/// If reading panics, or finds more than is there.
pub fn store_api(input: &[u8]) {
    let Ok(Response::Series(series)) = Response::read(input) else { return };
    let mut seen = 0;
    for series in series {
        let Ok(series) = series else { return };
        let _ = series.labels();
        for chunk in series.chunks() {
            let Ok(chunk) = chunk else { break };
            seen += chunk.get(Aggr::Raw).map_or(0, |(_, data)| data.len());
        }
    }
    assert!(seen <= input.len());
}

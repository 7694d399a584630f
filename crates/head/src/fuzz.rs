//! What the fuzz targets call: the decoders of the head's files, behind their checksums.

use crate::frame::{Found, Frames, Framing};
use crate::index::KeyHasher;
use crate::{record, snapshot};
use nilometer_env::sim::SimRandom;
use std::path::Path;

/// Takes bytes for a body of the log, a body of a snapshot, and a whole file. Nothing may panic, whatever they are.
#[doc(hidden)]
pub fn files(bytes: &[u8]) {
    if let Ok((_, entries)) = record::open(bytes) {
        for entry in entries.flatten() {
            if let record::Entry::Series { labels, .. } = entry {
                let _ = labels.read();
            }
        }
    }
    let hasher = KeyHasher::new(&SimRandom::new(1));
    let mut decoder = snapshot::Decoder::new(&hasher);
    let _ = (decoder.body(bytes), decoder.end_batch());
    if let Some(magic) = bytes.first_chunk()
        && let Ok(Some(framing)) = Framing::open(bytes, *magic, Path::new("fuzz"))
    {
        let whole = Frames::new(framing, bytes).filter(|found| matches!(found, Found::Body { .. })).count();
        assert!(whole <= bytes.len(), "frames do not overlap");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn anything_goes(kind in 0..9u8, tenant in prop::bool::ANY, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![kind];
            if tenant {
                bytes.extend_from_slice(b"\x01a");
            }
            bytes.extend(rest);
            super::files(&bytes);
        }
    }
}

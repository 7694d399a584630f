//! Prometheus' hash of a set of labels: `limit_ratio` picks the same series as Prometheus does.

use nilometer_model::Labels;

/// xxHash64 of names and values, each behind its length.
pub(crate) fn prometheus_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len());
    for (name, value) in labels {
        push(&mut bytes, name);
        push(&mut bytes, value);
    }
    twox_hash::XxHash64::oneshot(0, &bytes)
}

/// A length below 255 is one byte, a longer one three more.
fn push(out: &mut Vec<u8>, text: &str) {
    let len = text.len();
    if len < 255 {
        out.push(len as u8);
    } else {
        out.extend_from_slice(&[255, len as u8, (len >> 8) as u8, (len >> 16) as u8]);
    }
    out.extend_from_slice(text.as_bytes());
}

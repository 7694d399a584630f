//! Postings: the series that have one label pair, as rising references; and sets of them.
//!
//! ```text
//! ┌──────────┬───────────────┬──────────────┬─────┬──────────────┐
//! │ len <4b> │ #series <4b>  │ ref <4b>     │  …  │ CRC-32C <4b> │
//! └──────────┴───────────────┴──────────────┴─────┴──────────────┘
//! ```

use crate::bytes::{CRC_BYTES, Cursor, crc32c};
use crate::source::{Source, Window};
use nilometer_model::Result;

/// How many references the list at `offset` says it has.
pub(crate) fn count(window: &mut Window, source: &Source, offset: u64) -> Result<u32> {
    let mut cursor = Cursor::new(window.get(source, offset, 8)?);
    match cursor.be32().zip(cursor.be32()) {
        Some((len, count)) if u64::from(len) == 4 + 4 * u64::from(count) => Ok(count),
        _ => Err(source.corrupt(offset, "the head of a postings list is damaged")),
    }
}

/// Appends the list at `offset` to `out`, checked.
pub(crate) fn read(window: &mut Window, source: &Source, offset: u64, out: &mut Vec<u32>) -> Result<()> {
    let count = count(window, source, offset)?;
    let content = 4 + 4 * count as usize;
    let bytes = window.get(source, offset, 4 + content + CRC_BYTES)?;
    let mut cursor = Cursor::new(bytes);
    let content = cursor.take(4).and_then(|_| cursor.take(content));
    let Some(content) = content.zip(cursor.be32()).and_then(|(c, crc)| (crc32c(c) == crc).then_some(c))
    else {
        return Err(source.corrupt(offset, "the checksum of a postings list is wrong"));
    };
    let before = out.len();
    out.extend(content[4..].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
    if !out[before..].is_sorted_by(|a, b| a < b) {
        out.truncate(before);
        return Err(source.corrupt(offset, "a postings list does not rise"));
    }
    Ok(())
}

/// Keeps what is also in `other`.
pub(crate) fn intersect(refs: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    refs.retain(|r| gallop_to(&mut rest, *r));
}

/// Removes what is in `other`.
pub(crate) fn subtract(refs: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    refs.retain(|r| !gallop_to(&mut rest, *r));
}

/// Whether both have something in common.
pub(crate) fn meet(a: &[u32], b: &[u32]) -> bool {
    let (few, mut many) = if a.len() < b.len() { (a, b) } else { (b, a) };
    few.iter().any(|r| gallop_to(&mut many, *r))
}

/// Makes one list of several that were appended to each other.
pub(crate) fn unite(refs: &mut Vec<u32>) {
    if !refs.is_sorted_by(|a, b| a < b) {
        refs.sort_unstable();
        refs.dedup();
    }
}

/// Drops what is below `target` from the front of `rest`; whether `target` is next. Steps double, so that a
/// short list meets a long one in `short × log(long / short)`.
fn gallop_to(rest: &mut &[u32], target: u32) -> bool {
    let mut step = 1;
    while rest.get(step).is_some_and(|r| *r < target) {
        *rest = &rest[step..];
        step *= 2;
    }
    let within = &rest[..rest.len().min(step + 1)];
    *rest = &rest[within.partition_point(|r| *r < target)..];
    rest.first() == Some(&target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn sets_are_as_sets_should_be(
            a in prop::collection::btree_set(0..300u32, 0..200),
            b in prop::collection::btree_set(0..3000u32, 0..200),
        ) {
            let list = |s: &BTreeSet<u32>| s.iter().copied().collect::<Vec<_>>();
            let (mut both, mut less, mut all) = (list(&a), list(&a), list(&a));
            intersect(&mut both, &list(&b));
            subtract(&mut less, &list(&b));
            all.extend(&b);
            unite(&mut all);
            prop_assert_eq!(&both, &list(&(&a & &b)));
            prop_assert_eq!(less, list(&(&a - &b)));
            prop_assert_eq!(all, list(&(&a | &b)));
            prop_assert_eq!(meet(&list(&b), &list(&a)), !both.is_empty());
        }
    }
}

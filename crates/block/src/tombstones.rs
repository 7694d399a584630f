//! Tombstones: what was deleted from a block, by series and time, until compaction drops it.
//!
//! ```text
//! ┌─────────────────────┬───────────────┬──────────────────────────────────────────────────────┬───┬──────────────┐
//! │ 0x0130BA30 <4b>     │ version 1 <1b>│ series ref <uvarint>, min <varint>, max <varint>     │ … │ CRC-32C <4b> │
//! └─────────────────────┴───────────────┴──────────────────────────────────────────────────────┴───┴──────────────┘
//! ```
//!
//! The checksum covers what is between version and checksum. Times are closed on both sides.

use crate::bytes::{CRC_BYTES, Cursor, crc32c, put_uvarint, put_varint};
use nilometer_env::Fs;
use nilometer_model::{Error, Result, TimeRange};
use std::collections::BTreeMap;
use std::path::Path;

const HEADER: [u8; 5] = [0x01, 0x30, 0xba, 0x30, 1];

/// Deleted times by series reference; those of one series are sorted and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    deleted: BTreeMap<u32, Vec<TimeRange>>,
}

impl Tombstones {
    pub const FILE: &'static str = "tombstones";

    pub fn is_empty(&self) -> bool {
        self.deleted.is_empty()
    }

    /// How many deleted ranges there are, as `meta.json` counts them.
    pub fn len(&self) -> usize {
        self.deleted.values().map(Vec::len).sum()
    }

    /// Deletes `range` of a series; what touches it becomes one with it.
    pub fn add(&mut self, series: u32, range: TimeRange) {
        if range.min_ms > range.max_ms {
            return;
        }
        let ranges = self.deleted.entry(series).or_default();
        let from = ranges.partition_point(|r| r.max_ms.saturating_add(1) < range.min_ms);
        let to = ranges.partition_point(|r| r.min_ms <= range.max_ms.saturating_add(1));
        let mut joined = range;
        for touched in &ranges[from..to] {
            joined.min_ms = joined.min_ms.min(touched.min_ms);
            joined.max_ms = joined.max_ms.max(touched.max_ms);
        }
        ranges.splice(from..to, [joined]);
    }

    /// What is deleted of a series.
    pub fn of(&self, series: u32) -> Deleted<'_> {
        Deleted(self.deleted.get(&series).map_or(&[], Vec::as_slice))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        for (series, ranges) in &self.deleted {
            for range in ranges {
                put_uvarint(&mut out, u64::from(*series));
                put_varint(&mut out, range.min_ms);
                put_varint(&mut out, range.max_ms);
            }
        }
        let crc = crc32c(&out[HEADER.len()..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// `path` is for errors only.
    pub fn decode(bytes: &[u8], path: &str) -> Result<Self> {
        let corrupt = |at: usize, what: &str| Error::corrupt(path, at as u64, what);
        if bytes.get(..HEADER.len()).is_none_or(|head| head[..4] != HEADER[..4]) {
            return Err(corrupt(0, "the file does not begin as a list of tombstones"));
        }
        if bytes[4] != HEADER[4] {
            return Err(Error::invalid(format!("{path} has version {}, only 1 can be read", bytes[4])));
        }
        let end = bytes.len().saturating_sub(CRC_BYTES).max(HEADER.len());
        let stones = &bytes[HEADER.len()..end];
        if Cursor::new(&bytes[end..]).be32() != Some(crc32c(stones)) {
            return Err(corrupt(end, "the checksum of the tombstones is wrong"));
        }
        let (mut tombstones, mut cursor) = (Tombstones::default(), Cursor::new(stones));
        while cursor.remaining() > 0 {
            let at = HEADER.len() + cursor.position();
            let stone = (cursor.uvarint(), cursor.varint(), cursor.varint());
            let (Some(series), Some(min_ms), Some(max_ms)) = stone else {
                return Err(corrupt(at, "a tombstone is cut off"));
            };
            let series = u32::try_from(series).map_err(|_| corrupt(at, "a tombstone is of no series"))?;
            tombstones.add(series, TimeRange::new(min_ms, max_ms));
        }
        Ok(tombstones)
    }

    /// Of a block's folder; none where there is no file.
    pub fn read(fs: &dyn Fs, block: &Path) -> Result<Self> {
        let path = block.join(Self::FILE);
        let shown = path.display().to_string();
        match fs.read(&path) {
            Ok(bytes) => Self::decode(&bytes, &shown),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Tombstones::default()),
            Err(e) => Err(Error::io(format!("reading {shown}"), e)),
        }
    }

    /// Replaces the file of a block; durable when it returns.
    pub fn write(&self, fs: &dyn Fs, block: &Path) -> Result<()> {
        let path = block.join(Self::FILE);
        fs.write_atomic(&path, &self.encode())
            .map_err(|e| Error::io(format!("writing {}", path.display()), e))
    }
}

/// What is deleted of one series: sorted ranges that do not touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted<'a>(pub &'a [TimeRange]);

impl Deleted<'_> {
    pub fn has(self, t_ms: i64) -> bool {
        self.touches(TimeRange::new(t_ms, t_ms))
    }

    /// Whether something of `range` is deleted.
    pub fn touches(self, range: TimeRange) -> bool {
        self.first_from(range.min_ms).is_some_and(|d| d.min_ms <= range.max_ms)
    }

    /// Whether all of `range` is deleted.
    pub fn covers(self, range: TimeRange) -> bool {
        self.first_from(range.min_ms).is_some_and(|d| d.min_ms <= range.min_ms && d.max_ms >= range.max_ms)
    }

    /// The first deleted range that ends at `t_ms` or later.
    fn first_from(self, t_ms: i64) -> Option<TimeRange> {
        self.0.get(self.0.partition_point(|d| d.max_ms < t_ms)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_a_set_of_times(
            added in prop::collection::vec((0..3u32, 0..60i64, 0..9i64), 0..40)
        ) {
            let mut tombstones = Tombstones::default();
            let mut model = std::collections::BTreeSet::new();
            for (series, min, len) in added {
                tombstones.add(series, TimeRange::new(min, min + len));
                model.extend((min..=min + len).map(|t| (series, t)));
            }
            for series in 0..3 {
                let deleted = tombstones.of(series);
                prop_assert!(deleted.0.windows(2).all(|w| w[0].max_ms + 1 < w[1].min_ms));
                for t in 0..80 {
                    prop_assert_eq!(deleted.has(t), model.contains(&(series, t)));
                    let (three, of) = (TimeRange::new(t, t + 2), |t| model.contains(&(series, t)));
                    prop_assert_eq!(deleted.touches(three), (t..t + 3).any(of));
                    prop_assert_eq!(deleted.covers(three), (t..t + 3).all(of));
                }
            }
            prop_assert_eq!(Tombstones::decode(&tombstones.encode(), "t").unwrap(), tombstones);
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), head in any::<bool>()) {
            let bytes = if head { [&HEADER[..], &bytes].concat() } else { bytes };
            // An empty list with the checksum 0 is the only one that chance may bring.
            prop_assert!(Tombstones::decode(&bytes, "t").is_err() || bytes[5..] == [0; 4]);
        }
    }

    #[test]
    fn bytes_are_those_of_prometheus() {
        let mut tombstones = Tombstones::default();
        tombstones.add(7, TimeRange::new(-1, 300));
        let crc = crc32c(&[7, 1, 0xd8, 4]).to_be_bytes();
        assert_eq!(tombstones.encode(), [&[1, 0x30, 0xba, 0x30, 1, 7, 1, 0xd8, 4][..], &crc].concat());
        assert_eq!(Tombstones::default().encode(), [1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        tombstones.add(7, TimeRange::new(i64::MIN, i64::MAX));
        assert_eq!(tombstones.of(7).0, [TimeRange::ALL]);
    }

    #[test]
    fn each_flipped_bit_is_seen() {
        let mut tombstones = Tombstones::default();
        tombstones.add(7, TimeRange::new(-1, 300));
        tombstones.add(900, TimeRange::new(5, 5));
        let bytes = tombstones.encode();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::decode(&flipped, "t").is_err(), "bit {bit}");
        }
    }
}

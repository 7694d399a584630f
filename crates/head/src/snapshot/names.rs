//! The labels of a batch of series, each text once: most of them share most of it, so this is a tenth of the
//! bytes, and reading it looks up each text once for the batch.
//!
//! ```text
//! texts (count <uv>, <text>…), series (id step <uv>, labels (count <uv>, (name <uv>, value <uv>)…))…
//! ```
//!
//! Names and values are numbers of texts.

use crate::codec::{Reader, put_bytes, put_uvarint};
use crate::index::{Index, Slot};
use nilometer_model::{Error, Result};
use std::collections::HashMap;

/// As read; checked, so that every number is one of a text and ids ascend.
pub(crate) struct Names {
    pub(crate) texts: Vec<Box<str>>,
    pairs: Vec<(u32, u32)>,
    /// Ids, each with the end of its labels in `pairs`.
    series: Vec<(u64, usize)>,
}

impl Names {
    /// The series in the order of their ids, each with its labels as numbers of texts.
    pub(crate) fn series(&self) -> impl Iterator<Item = (u64, &[(u32, u32)])> {
        let starts = std::iter::once(0).chain(self.series.iter().map(|(_, end)| *end));
        self.series.iter().zip(starts).map(|((id, end), start)| (*id, &self.pairs[start..*end]))
    }

    /// The texts of a series' labels.
    pub(crate) fn labels<'a>(&'a self, pairs: &'a [(u32, u32)]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = |number: u32| &*self.texts[number as usize];
        pairs.iter().map(move |(name, value)| (text(*name), text(*value)))
    }
}

/// The labels of the series at `slots`, which have these ids.
pub(super) fn put(out: &mut Vec<u8>, index: &Index, series: impl Iterator<Item = (u64, Slot)>) {
    let mut numbers: HashMap<u32, u64> = HashMap::new();
    let (mut texts, mut rows, mut before) = (Vec::new(), Vec::new(), 0);
    for (id, slot) in series {
        put_uvarint(&mut rows, id - before);
        before = id;
        let pairs = index.pairs_of(slot);
        put_uvarint(&mut rows, pairs.len() as u64);
        for symbol in pairs.flat_map(|(name, value)| [name, value]) {
            let next = numbers.len() as u64;
            let number = *numbers.entry(symbol).or_insert_with(|| {
                put_bytes(&mut texts, index.text(symbol).as_bytes());
                next
            });
            put_uvarint(&mut rows, number);
        }
    }
    put_uvarint(out, numbers.len() as u64);
    out.extend_from_slice(&texts);
    out.extend_from_slice(&rows);
}

pub(super) fn take(from: &mut Reader<'_>) -> Result<Names> {
    let mut names = Names { texts: Vec::new(), pairs: Vec::new(), series: Vec::new() };
    for _ in 0..from.uvarint()? {
        names.texts.push(from.str()?.into());
    }
    let known = names.texts.len() as u64;
    let mut id = 0u64;
    while !from.is_done() {
        let step = from.uvarint()?;
        let next = id.checked_add(step).filter(|_| step > 0);
        id = next.ok_or_else(|| Error::invalid("series are not in the order of their ids"))?;
        for _ in 0..from.uvarint()? {
            let pair = (from.uvarint()?, from.uvarint()?);
            if pair.0 >= known || pair.1 >= known {
                return Err(Error::invalid("a label has a text that is not there"));
            }
            names.pairs.push((pair.0 as u32, pair.1 as u32));
        }
        names.series.push((id, names.pairs.len()));
    }
    Ok(names)
}

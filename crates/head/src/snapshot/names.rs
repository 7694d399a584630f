//! The labels of a batch of series, each text and each pair once: most of them share most of it, so this is a
//! tenth of the bytes, and reading it looks up each text and each pair once for the batch.
//!
//! ```text
//! texts (count <uv>, <text>…), pairs (count <uv>, (name <uv>, value <uv>)…),
//! series (id step <uv>, labels (count <uv>, <pair>…))…
//! ```
//!
//! Names and values are numbers of texts, labels numbers of pairs.

use crate::codec::{Reader, put_bytes, put_uvarint};
use crate::index::{Index, Slot};
use hashbrown::HashMap;
use nilometer_model::{Error, Result};

/// As read; checked, so that every number is one of a text or a pair, and ids ascend.
#[derive(Default)]
pub(crate) struct Names {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
    pub(crate) pairs: Vec<(u32, u32)>,
    labels: Vec<u32>,
    /// Ids, each with the end of its labels.
    series: Vec<(u64, usize)>,
}

impl Names {
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|number| self.text(number))
    }

    fn text(&self, number: usize) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }

    /// How many labels all series have.
    pub(crate) fn labels(&self) -> usize {
        self.labels.len()
    }

    /// The series in the order of their ids, each with its labels as numbers of pairs.
    pub(crate) fn series(&self) -> impl Iterator<Item = (u64, &[u32])> {
        let starts = std::iter::once(0).chain(self.series.iter().map(|(_, end)| *end));
        self.series.iter().zip(starts).map(|((id, end), start)| (*id, &self.labels[start..*end]))
    }

    /// The texts of a series' labels.
    pub(crate) fn texts_of(&self, labels: &[u32]) -> impl Iterator<Item = (&str, &str)> {
        labels.iter().map(|pair| {
            let (name, value) = self.pairs[*pair as usize];
            (self.text(name as usize), self.text(value as usize))
        })
    }
}

/// Gives the keys that it is asked for numbers, counted up.
#[derive(Default)]
struct Numbers(HashMap<u32, u64>);

impl Numbers {
    /// The number of `key`; a new one is written down with `put`.
    fn of(&mut self, key: u32, put: impl FnOnce()) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(key).or_insert_with(|| {
            put();
            next
        })
    }
}

/// The labels of the series at some slots, which have these ids.
pub(super) fn put(out: &mut Vec<u8>, index: &Index, series: impl Iterator<Item = (u64, Slot)>) {
    let (mut of_text, mut of_pair) = (Numbers::default(), Numbers::default());
    let (mut texts, mut pairs, mut rows, mut before) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (id, slot) in series {
        put_uvarint(&mut rows, id - before);
        before = id;
        let row = index.row(slot);
        put_uvarint(&mut rows, row.len() as u64);
        for &pair in row {
            let number = of_pair.of(pair, || {
                let (name, value) = index.symbols_of(pair);
                for symbol in [name, value] {
                    let text = of_text.of(symbol, || put_bytes(&mut texts, index.text(symbol).as_bytes()));
                    put_uvarint(&mut pairs, text);
                }
            });
            put_uvarint(&mut rows, number);
        }
    }
    for (count, bytes) in [(of_text.0.len(), texts), (of_pair.0.len(), pairs)] {
        put_uvarint(out, count as u64);
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(&rows);
}

pub(super) fn take(from: &mut Reader<'_>) -> Result<Names> {
    let mut names = Names::default();
    for _ in 0..from.uvarint()? {
        names.text.push_str(from.str()?);
        names.ends.push(names.text.len());
    }
    for _ in 0..from.uvarint()? {
        let known = names.ends.len();
        names.pairs.push((number(from, known)?, number(from, known)?));
    }
    let mut id = 0u64;
    while !from.is_done() {
        let step = from.uvarint()?;
        let next = id.checked_add(step).filter(|_| step > 0);
        id = next.ok_or_else(|| Error::invalid("series are not in the order of their ids"))?;
        for _ in 0..from.uvarint()? {
            names.labels.push(number(from, names.pairs.len())?);
        }
        names.series.push((id, names.labels.len()));
    }
    Ok(names)
}

/// A number of one of so many.
fn number(from: &mut Reader<'_>, known: usize) -> Result<u32> {
    let number = u32::try_from(from.uvarint()?).ok().filter(|n| (*n as usize) < known);
    number.ok_or_else(|| Error::invalid("a label has a text that is not there"))
}

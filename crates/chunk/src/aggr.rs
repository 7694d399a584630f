//! AGGR chunks: aggregates of a downsampled series side by side, encoding 0xff, as Thanos packs them.
//!
//! ```text
//! ┌───────────────┬────────────────┬───────────┬───
//! │ len <uvarint> │ encoding <1 b> │ len bytes │ …    count, sum, min, max, counter; one that is absent is a len of 0
//! └───────────────┴────────────────┴───────────┴───
//! ```
//!
//! A sample of an aggregate tells of a window of raw samples, and has the time of the window's last
//! millisecond, or of the last raw sample of the chunk where that comes before. All aggregates have the same
//! times, but for the counter of floats: it begins with the first raw sample, goes on with what the counter had
//! counted by the end of each window if it had never been reset, and ends with the last raw sample, at the time
//! of the sample before it. So the next chunk can tell whether there was a reset between the two: [`Counter`].
//!
//! Floats have five XOR chunks. Native histograms have no min and max; sum and counter are chunks of float
//! histograms. Thanos takes an absent counter for damage, so a writer always has one.
//!
//! Source: Thanos' `pkg/compact/downsample`.

use crate::Encoding;
use crate::read::corrupt;
use nilometer_model::Result;

/// What was made of the raw samples of a window; the number is its place in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Aggregate {
    Count = 0,
    Sum = 1,
    Min = 2,
    Max = 3,
    Counter = 4,
}

impl Aggregate {
    pub const ALL: [Aggregate; 5] =
        [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Counter];
}

/// The chunks in an AGGR chunk; none of them is looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggrChunk<'a> {
    parts: [Option<(Encoding, &'a [u8])>; 5],
}

impl<'a> AggrChunk<'a> {
    pub fn read(chunk: &'a [u8]) -> Result<Self> {
        let (mut parts, mut rest) = ([None; 5], chunk);
        let place = |rest: &[u8]| chunk.len() - rest.len();
        for part in &mut parts {
            let len = take_uvarint(&mut rest)
                .ok_or_else(|| corrupt(place(rest), "the length of an aggregate is damaged"))?;
            if len == 0 {
                continue;
            }
            let content = usize::try_from(len).ok().and_then(|len| rest.get(1..)?.get(..len));
            let Some((encoding, content)) = rest.first().zip(content) else {
                return Err(corrupt(place(rest), format!("an aggregate of {len} bytes is cut off")));
            };
            let encoding = match Encoding::from_byte(*encoding) {
                Ok(Encoding::Aggr) => return Err(corrupt(place(rest), "an aggregate is made of aggregates")),
                encoding => encoding.map_err(|e| corrupt(place(rest), e.message()))?,
            };
            *part = Some((encoding, content));
            rest = &rest[1 + content.len()..];
        }
        if !rest.is_empty() {
            return Err(corrupt(place(rest), format!("{} bytes follow the last aggregate", rest.len())));
        }
        Ok(AggrChunk { parts })
    }

    /// The chunk of an aggregate.
    pub fn get(&self, aggregate: Aggregate) -> Option<(Encoding, &'a [u8])> {
        self.parts[aggregate as usize]
    }

    /// With a chunk for an aggregate; an empty one is none.
    #[must_use]
    pub fn with(mut self, aggregate: Aggregate, encoding: Encoding, chunk: &'a [u8]) -> Self {
        self.parts[aggregate as usize] = (!chunk.is_empty()).then_some((encoding, chunk));
        self
    }

    /// Whether it was made of native histograms.
    pub fn is_histogram(&self) -> bool {
        self.get(Aggregate::Counter).is_some_and(|(encoding, _)| !encoding.is_float())
    }

    /// How many windows it tells of.
    pub fn windows(&self) -> u16 {
        let count = self.get(Aggregate::Count).and_then(|(_, chunk)| chunk.first_chunk());
        count.map_or(0, |count| u16::from_be_bytes(*count))
    }

    /// Without all but some aggregates.
    #[must_use]
    pub fn only(mut self, kept: &[Aggregate]) -> Self {
        for aggregate in Aggregate::ALL.into_iter().filter(|aggregate| !kept.contains(aggregate)) {
            self.parts[aggregate as usize] = None;
        }
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let len: usize = self.parts.iter().flatten().map(|(_, chunk)| chunk.len() + 6).sum();
        let mut out = Vec::with_capacity(len + self.parts.len());
        self.encode_to(&mut out);
        out
    }

    /// Behind what is in `out`.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        for part in &self.parts {
            let Some((encoding, chunk)) = part else {
                out.push(0);
                continue;
            };
            let mut len = chunk.len();
            while len >= 0x80 {
                out.push(len as u8 | 0x80);
                len >>= 7;
            }
            out.extend_from_slice(&[len as u8, encoding.byte()]);
            out.extend_from_slice(chunk);
        }
    }
}

fn take_uvarint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A counter of floats with its resets taken out: the samples of counter aggregates, or of raw chunks, go in,
/// chunk after chunk, and what never goes down comes out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    total: f64,
    /// The sample before, raw.
    last: Option<(i64, f64)>,
}

impl Counter {
    /// What the counter stands at after a sample. Nothing for NaN, for what lies before the sample before, and
    /// for a second sample of one time: that tells the true value for the next comparison.
    pub fn next(&mut self, t_ms: i64, v: f64) -> Option<f64> {
        if v.is_nan() {
            return None;
        }
        match &mut self.last {
            None => self.total = v,
            Some((last_ms, last)) => {
                if t_ms <= *last_ms {
                    if t_ms == *last_ms {
                        *last = v;
                    }
                    return None;
                }
                self.total += if v < *last { v } else { v - *last };
            }
        }
        self.last = Some((t_ms, v));
        Some(self.total)
    }

    /// The true value of the last sample.
    pub fn last(&self) -> Option<f64> {
        self.last.map(|(_, v)| v)
    }
}

#[cfg(test)]
mod tests;

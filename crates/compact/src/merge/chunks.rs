//! The chunks of one series, of all blocks that have it, become those of the new block.

use super::Input;
use super::dedup::{Dedup, Lane, Merged};
use nilometer_block::pack::Packer;
use nilometer_chunk::{Encoding, Samples, Stamp};
use nilometer_model::{BlockMeta, Error, Result, TimeRange};
use nilometer_storage::{ChunkRef, ReadChunks};

/// Where a chunk is.
#[derive(Clone, Copy)]
struct Place {
    range: TimeRange,
    input: usize,
    at: usize,
    /// Whether samples of it were deleted.
    is_cut: bool,
}

pub(crate) struct ChunkMerge {
    dedup: Dedup,
    /// By input: the lower, the older the block. Of two samples of one time the older block's counts.
    ages: Vec<usize>,
    /// By input: the last millisecond of the block.
    ends_ms: Vec<i64>,
    places: Vec<Place>,
    held: ReadChunks,
}

/// A chunk of floats with fewer samples is put together with its neighbours, if they fit into one.
const SMALL_SAMPLES: u16 = Packer::MAX_SAMPLES / 2;

impl ChunkMerge {
    pub(crate) fn new(dedup: Dedup, metas: &[&BlockMeta]) -> Self {
        let age = |meta: &&BlockMeta| metas.iter().filter(|other| other.ulid < meta.ulid).count();
        let ends_ms = metas.iter().map(|meta| meta.range().max_ms).collect();
        Self::with_ages(dedup, metas.iter().map(age).collect(), ends_ms)
    }

    /// Each input needs an age of its own: chunks of one age are taken for those of one series.
    pub(crate) fn with_ages(dedup: Dedup, ages: Vec<usize>, ends_ms: Vec<i64>) -> Self {
        ChunkMerge { dedup, ages, ends_ms, places: Vec::new(), held: ReadChunks::default() }
    }

    /// Of the series at which the inputs `of_series` are.
    pub(crate) fn merge(
        &mut self,
        inputs: &mut [Input<'_>],
        of_series: &[usize],
        out: &mut ReadChunks,
    ) -> Result<()> {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        for &input in of_series {
            let (series, deleted) = (&inputs[input].series, inputs[input].series.deleted());
            let all = series.ranges().enumerate().filter(|(_, range)| !deleted.covers(*range));
            places.extend(all.map(|(at, range)| Place { range, input, at, is_cut: deleted.touches(range) }));
        }
        let key = |p: &Place| (p.range.min_ms, p.range.max_ms);
        if !places.is_sorted_by_key(key) {
            places.sort_by_key(|p| (key(p), self.ages[p.input]));
        }
        let mut rest = &places[..];
        while !rest.is_empty() {
            let (plain, replicas) = self.next_replicas(rest);
            self.chunks_alone(inputs, &rest[..plain], out)?;
            if replicas > 0 {
                self.rewrite(inputs, &rest[plain..plain + replicas], out)?;
            }
            rest = &rest[plain + replicas..];
        }
        self.places = places;
        Ok(())
    }

    /// How many chunks come before those of replicas that are to be followed, and how many those are: which one is
    /// followed depends on all that was before, so all chunks of blocks that overlap are merged at once.
    fn next_replicas(&self, places: &[Place]) -> (usize, usize) {
        if self.dedup == Dedup::OneToOne {
            return (places.len(), 0);
        }
        let mut plain = 0;
        while plain < places.len() {
            let rest = &places[plain..];
            let len = reaching(rest, |p| p.range.max_ms.max(self.ends_ms[p.input]));
            if rest[..len].iter().any(|p| p.input != rest[0].input) {
                return (plain, len);
            }
            plain += len;
        }
        (plain, 0)
    }

    /// Chunks of which only those have to do with each other that overlap.
    fn chunks_alone(
        &mut self,
        inputs: &mut [Input<'_>],
        places: &[Place],
        out: &mut ReadChunks,
    ) -> Result<()> {
        let mut rest = places;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(overlapping(rest));
            match run {
                [alone] if !alone.is_cut => rest = self.pass(inputs, rest, out)?,
                _ => {
                    self.rewrite(inputs, run, out)?;
                    rest = behind;
                }
            }
        }
        Ok(())
    }

    /// Passes the first chunk as it is, or, where it is small, one made of it and its neighbours. Gives what is left.
    fn pass<'p>(
        &mut self,
        inputs: &mut [Input<'_>],
        places: &'p [Place],
        out: &mut ReadChunks,
    ) -> Result<&'p [Place]> {
        let first = inputs[places[0].input].series.chunk(places[0].at)?;
        let Some(mut total) = small(&first) else {
            out.push(first.range, first.encoding, first.data);
            return Ok(&places[1..]);
        };
        self.held.clear();
        self.held.push(first.range, first.encoding, first.data);
        let mut len = 1;
        while let Some(next) = places.get(len) {
            if next.is_cut || overlapping(&places[len..]) > 1 {
                break;
            }
            let chunk = inputs[next.input].series.chunk(next.at)?;
            match small(&chunk) {
                Some(samples) if total + samples <= Packer::MAX_SAMPLES => total += samples,
                _ => break,
            }
            self.held.push(chunk.range, chunk.encoding, chunk.data);
            len += 1;
        }
        if len == 1 {
            self.held.iter().for_each(|c| out.push(c.range, c.encoding, c.data));
            return Ok(&places[1..]);
        }
        let mut packer = Packer::new(false);
        for chunk in self.held.iter() {
            for sample in Samples::new(chunk.data, chunk.encoding)? {
                let (t_ms, value) = sample?;
                packer.append(Stamp::at(t_ms), &value, out)?;
            }
        }
        packer.finish(out);
        Ok(&places[len..])
    }

    /// Writes chunks anew that overlap, or of which something was deleted.
    fn rewrite(&mut self, inputs: &mut [Input<'_>], places: &[Place], out: &mut ReadChunks) -> Result<()> {
        self.held.clear();
        let mut kept = Vec::<Place>::with_capacity(places.len());
        for place in places {
            let chunk = inputs[place.input].series.chunk(place.at)?;
            // Replicas often have the very same chunk; those of one range stand together.
            let is_same = |at: &usize| {
                let held = self.held.get(*at);
                !kept[*at].is_cut && held.encoding == chunk.encoding && held.data == chunk.data
            };
            let mut alike = (0..kept.len()).rev().take_while(|at| kept[*at].range == chunk.range);
            let twin = if place.is_cut { None } else { alike.find(is_same) };
            match twin {
                Some(at) if self.ages[place.input] < self.ages[kept[at].input] => kept[at] = *place,
                Some(_) => {}
                None => {
                    kept.push(*place);
                    self.held.push(chunk.range, chunk.encoding, chunk.data);
                }
            }
        }
        let chunks: Vec<_> = self.held.iter().collect();
        if is_untouched(&kept) {
            chunks.iter().for_each(|chunk| out.push(chunk.range, chunk.encoding, chunk.data));
            return Ok(());
        }
        if chunks.iter().any(|c| c.encoding == Encoding::Aggr) {
            return Err(Error::conflict(
                "downsampled blocks overlap, or something was deleted from one: mark them with no-compact-mark.json, \
                 or delete them and downsample their raw blocks again",
            ));
        }
        let mut lanes = Vec::<Lane<'_>>::new();
        for (place, chunk) in kept.iter().zip(&chunks) {
            let deleted = inputs[place.input].series.deleted();
            let age = self.ages[place.input];
            match lanes.iter_mut().find(|lane| lane.takes(age, chunk.range)) {
                Some(lane) => lane.push(*chunk),
                None => lanes.push(Lane::new(age, deleted, *chunk)),
            }
        }
        lanes.sort_by_key(Lane::age);
        let mut packer = Packer::new(chunks.iter().any(|c| Packer::has_starts(c.encoding)));
        let mut merged = Merged::new(self.dedup, lanes)?;
        while let Some((at, value)) = merged.next()? {
            packer.append(at, &value, out)?;
        }
        packer.finish(out);
        Ok(())
    }
}

/// Whether these are chunks of one block that need not be put together.
fn is_untouched(places: &[Place]) -> bool {
    places.iter().all(|p| p.input == places[0].input && !p.is_cut)
        && places.windows(2).all(|pair| pair[0].range.max_ms < pair[1].range.min_ms)
}

/// How many of the first chunks overlap each other, directly or by those between.
fn overlapping(places: &[Place]) -> usize {
    reaching(places, |p| p.range.max_ms)
}

/// The same where chunks reach as far as is said.
fn reaching(places: &[Place], end_ms: impl Fn(&Place) -> i64) -> usize {
    let mut max_ms = end_ms(&places[0]);
    let further = places[1..].iter().take_while(|p| {
        let overlaps = p.range.min_ms <= max_ms;
        max_ms = max_ms.max(end_ms(p));
        overlaps
    });
    1 + further.count()
}

/// How many samples there are in a small chunk of plain floats.
fn small(chunk: &ChunkRef<'_>) -> Option<u16> {
    let count = u16::from_be_bytes(*chunk.data.first_chunk()?);
    (chunk.encoding == Encoding::Xor && (1..SMALL_SAMPLES).contains(&count)).then_some(count)
}

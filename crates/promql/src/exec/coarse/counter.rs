//! Counters of floats of which some rows come from downsampled chunks.
//!
//! Within a chunk resets are taken out already: a row tells how far the counter had come since the chunk began. Only
//! at the ends of a chunk its true values are known: with the first row, and behind the last. Where two chunks
//! follow each other there, those are compared, as Thanos does. Where chunks overlap, one goes over into another
//! somewhere in its midst, and how much was lost in resets until there has to be found out: nothing yet, or all that
//! the chunk lost, if what comes of it fits between the rows around. Else the counter is taken to have risen evenly.
//!
//! All of this matters only where chunks meet. So it is kept by pieces: rows that follow each other in one chunk.

use std::ops::Range;

/// Of which chunks rows come; without a gap.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Vec<Piece>);

/// Rows of a downsampled chunk between which there were no others, or raw samples.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The first row; the last one is that before the next piece.
    from: usize,
    /// `None` of raw samples.
    chunk: Option<Chunk>,
    /// Of the first row since the one before it in the chunk, and of the last until the one behind, if there were any.
    rose: Option<Rise>,
    rises: Option<Rise>,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    number: usize,
    /// In resets.
    lost: f64,
    /// The true value of its last sample, with which one of another chunk is compared.
    end: f64,
}

#[derive(Clone, Copy, Debug)]
struct Rise {
    by: f64,
    took_ms: i64,
}

impl Rise {
    /// From a row of a chunk to the next.
    fn behind((t, v): (&[i64], &[f64]), row: usize) -> Option<Rise> {
        let by = v[row + 1] - v[row];
        by.is_finite().then(|| Rise { by, took_ms: t[row + 1].saturating_sub(t[row]) })
    }

    /// Of what it may have been within so much of the time the first that fits.
    fn fitting(self, may_be: [f64; 2], ms: i64) -> f64 {
        // Losses are differences of large numbers.
        let slack = self.by.abs() * 1e-6;
        let fits = |by: &f64| (-slack..=self.by + slack).contains(by);
        let evenly = self.by * (ms as f64 / self.took_ms as f64).clamp(0.0, 1.0);
        may_be.into_iter().find(fits).map_or(evenly, |by| by.max(0.0))
    }
}

impl Pieces {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds raw samples.
    pub(super) fn push_raw(&mut self, rows: Range<usize>) {
        self.push(Piece { from: rows.start, chunk: None, rose: None, rises: None }, rows.end);
    }

    /// Adds the rows of a downsampled chunk, which has a number, and whose true last value may be another than they tell.
    pub(super) fn push_chunk(&mut self, rows: Range<usize>, v: &[f64], (number, end): (usize, Option<f64>)) {
        let Some(last) = v[rows.clone()].last() else { return };
        let end = end.unwrap_or(*last);
        let chunk = Chunk { number, lost: last - end, end };
        self.push(Piece { from: rows.start, chunk: Some(chunk), rose: None, rises: None }, rows.end);
    }

    fn push(&mut self, piece: Piece, to: usize) {
        let goes_on = piece.chunk.is_none() && self.0.last().is_some_and(|last| last.chunk.is_none());
        if piece.from < to && !goes_on {
            self.0.push(piece);
        }
    }

    /// Before the rows from one on are put in another order, or some are left out.
    pub(super) fn reorder(&mut self, from: usize, order: &[usize], rows: (&[i64], &[f64])) {
        let at = self.0.partition_point(|piece| piece.from < from).saturating_sub(1);
        let old = self.0.split_off(at.min(self.0.len()));
        let Some(first) = old.first().map(|piece| piece.from.min(from)) else { return };
        let end_of = |at: usize| old.get(at + 1).map_or(rows.0.len(), |next| next.from);
        let all: Vec<usize> = (first..from).chain(order.iter().copied()).collect();
        let piece_of = |row: usize| old.partition_point(|piece| piece.from <= row) - 1;
        let mut to = first;
        for run in all.chunk_by(|a, b| *b == a + 1 && piece_of(*a) == piece_of(*b)) {
            let (Some(&a), Some(&b)) = (run.first(), run.last()) else { continue };
            let (of, end) = (old[piece_of(a)], end_of(piece_of(a)));
            let mut piece = Piece { from: to, ..of };
            if let Some(chunk) = &mut piece.chunk {
                if a > of.from {
                    piece.rose = Rise::behind(rows, a - 1);
                }
                if b + 1 < end {
                    (piece.rises, chunk.end) = (Rise::behind(rows, b), rows.1[b]);
                }
            }
            to += run.len();
            self.push(piece, to);
        }
    }

    /// Makes the values what the counter had come to, if it had never been reset. All of them are numbers.
    pub(super) fn add_up(&self, t: &[i64], v: &mut [f64]) {
        let mut before: Option<Last> = None;
        for (at, piece) in self.0.iter().enumerate() {
            let to = self.0.get(at + 1).map_or(v.len(), |next| next.from);
            let Some(rows) = v.get_mut(piece.from..to).filter(|rows| !rows.is_empty()) else { continue };
            let mut total = match &before {
                None => rows[0],
                Some(last) => last.total + last.rise(piece, (t[piece.from], rows[0])),
            };
            let value = rows[rows.len() - 1];
            match piece.chunk {
                Some(_) => {
                    let more = total - rows[0];
                    rows.iter_mut().for_each(|v| *v += more);
                    total = rows[rows.len() - 1];
                }
                None => {
                    let mut last = std::mem::replace(&mut rows[0], total);
                    for v in &mut rows[1..] {
                        total += if *v < last { *v } else { *v - last };
                        last = std::mem::replace(v, total);
                    }
                }
            }
            before = Some(Last { piece: *piece, t: t[to - 1], value, total });
        }
    }
}

/// The last row before a piece.
struct Last {
    piece: Piece,
    t: i64,
    value: f64,
    /// What the counter had come to.
    total: f64,
}

impl Last {
    /// By how much the counter rose until the first row of another piece.
    fn rise(&self, next: &Piece, (t, value): (i64, f64)) -> f64 {
        let ms = t.saturating_sub(self.t);
        let number = |piece: &Piece| piece.chunk.map(|chunk| chunk.number);
        if next.chunk.is_some() && number(next) == number(&self.piece) {
            return value - self.value;
        }
        let lost = |piece: &Piece| piece.chunk.map_or(0.0, |chunk| chunk.lost);
        let end = self.piece.chunk.map_or(self.value, |chunk| chunk.end);
        match (self.piece.rises, next.rose) {
            (None, None) if value < end => value,
            (None, None) => value - end,
            (Some(rises), None) => {
                rises.fitting([value - self.value, value + lost(&self.piece) - self.value], ms)
            }
            (None, Some(rose)) => rose.fitting([value - end, value - lost(next) - end], ms),
            (Some(rises), Some(_)) => rises.fitting([f64::NAN; 2], ms),
        }
    }
}

#[cfg(test)]
mod tests;

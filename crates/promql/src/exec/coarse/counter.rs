//! Counters of floats of which some rows come from downsampled chunks.
//!
//! Within a chunk resets are taken out already: a row tells how far the counter had come since the chunk began. Only
//! at the ends of a chunk its true values are known: with the first row, and behind the last. Where two chunks
//! follow each other there, those are compared, as Thanos does. Where chunks overlap, one goes over into another
//! somewhere in its midst, and how much was lost in resets until there has to be found out: nothing yet, or all that
//! the chunk lost, if what comes of it fits between the rows around. Else the counter is taken to have risen evenly.

/// What is known of a row besides its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// The same for all rows of a downsampled chunk.
    chunk: Option<usize>,
    /// The true value with which a sample of another chunk is compared, where it is known.
    compared: f64,
    /// What the chunk lost in resets.
    lost: f64,
    /// Since the row before of the same chunk, and until the one behind.
    rose: Option<Rise>,
    rises: Option<Rise>,
}

#[derive(Clone, Copy, Debug)]
struct Rise {
    by: f64,
    took_ms: i64,
}

impl Rise {
    /// Of what it may have been within so much of the time the first that fits.
    fn fitting(self, may_be: [f64; 2], ms: i64) -> f64 {
        // Losses are differences of large numbers.
        let slack = self.by.abs() * 1e-6;
        let fits = |by: &f64| (-slack..=self.by + slack).contains(by);
        let evenly = self.by * (ms as f64 / self.took_ms as f64).clamp(0.0, 1.0);
        may_be.into_iter().find(fits).map_or(evenly, |by| by.max(0.0))
    }
}

/// Adds what is known of the new rows in `v`. For those of a downsampled chunk `compared` has the true values, where
/// they are known, and else the rows' own.
pub(super) fn count(
    out: &mut Vec<Counted>,
    (t, v): (&[i64], &[f64]),
    chunk: Option<usize>,
    compared: &mut Vec<f64>,
) {
    let before = out.len();
    compared.extend_from_slice(&v[compared.len()..]);
    let since = |at: usize| {
        let is_within = chunk.is_some() && at > before && at < v.len();
        is_within.then(|| Rise { by: v[at] - v[at - 1], took_ms: t[at].saturating_sub(t[at - 1]) })
    };
    let lost = v.last().zip(compared.last()).map_or(0.0, |(v, compared)| v - compared);
    let rows = compared[before..].iter().enumerate();
    out.extend(rows.map(|(row, compared)| Counted {
        chunk,
        compared: *compared,
        lost,
        rose: since(before + row),
        rises: since(before + row + 1),
    }));
}

/// Makes the values what the counter had come to, if it had never been reset. Gives the rows that are numbers.
pub(super) fn totals(t: &[i64], v: &mut [f64], counted: &[Counted]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::with_capacity(v.len());
    let (mut total, mut before) = (0.0, None);
    for (at, of) in counted.iter().enumerate() {
        let value = v[at];
        if value.is_nan() {
            continue;
        }
        total = match before {
            None => value,
            Some((row, last)) => {
                total + rise((last, &counted[row]), (value, of), t[at].saturating_sub(t[row]))
            }
        };
        before = Some((at, value));
        v[at] = total;
        rows.push(at);
    }
    rows
}

/// By how much the counter rose between two rows that are `ms` apart.
fn rise((last, before): (f64, &Counted), (value, now): (f64, &Counted), ms: i64) -> f64 {
    if now.chunk.is_some() && now.chunk == before.chunk {
        return value - last;
    }
    match (before.rises, now.rose) {
        (None, None) if value < before.compared => value,
        (None, None) => value - before.compared,
        (Some(rises), None) => rises.fitting([value - last, value + before.lost - last], ms),
        (None, Some(rose)) => rose.fitting([value - before.compared, value - now.lost - before.compared], ms),
        (Some(rises), Some(_)) => rises.fitting([f64::NAN; 2], ms),
    }
}

use super::*;
use proptest::prelude::*;

/// A row that knows all of itself.
#[derive(Clone, Copy, Debug)]
struct Row {
    t: i64,
    v: f64,
    chunk: Option<usize>,
    lost: f64,
    end: f64,
    rose: Option<Rise>,
    rises: Option<Rise>,
}

/// Those of a chunk. Of raw samples each is for itself.
fn rows_of(samples: &[(i64, f64)], chunk: Option<usize>, end: Option<f64>) -> Vec<Row> {
    let last = samples[samples.len() - 1].1;
    let end = end.unwrap_or(last);
    let to_next = |at: usize| {
        let ((t, v), (next_t, next_v)) = (samples.get(at)?, samples.get(at + 1)?);
        chunk.map(|_| Rise { by: next_v - v, took_ms: next_t - t })
    };
    let row = |(at, &(t, v)): (usize, &(i64, f64))| Row {
        t,
        v,
        chunk,
        lost: if chunk.is_some() { last - end } else { 0.0 },
        end: if chunk.is_some() && at + 1 == samples.len() { end } else { v },
        rose: at.checked_sub(1).and_then(to_next),
        rises: to_next(at),
    };
    samples.iter().enumerate().map(row).collect()
}

fn totals(rows: &[Row]) -> Vec<f64> {
    let mut total = rows.first().map_or(0.0, |row| row.v);
    let rise = |before: &Row, now: &Row| {
        if now.chunk.is_some() && now.chunk == before.chunk {
            return now.v - before.v;
        }
        let ms = now.t - before.t;
        match (before.rises, now.rose) {
            (None, None) if now.v < before.end => now.v,
            (None, None) => now.v - before.end,
            (Some(rises), None) => rises.fitting([now.v - before.v, now.v + before.lost - before.v], ms),
            (None, Some(rose)) => rose.fitting([now.v - before.end, now.v - now.lost - before.end], ms),
            (Some(rises), Some(_)) => rises.fitting([f64::NAN; 2], ms),
        }
    };
    let rest = rows.windows(2).map(|pair| {
        total += rise(&pair[0], &pair[1]);
        total
    });
    let rest: Vec<f64> = rest.collect();
    rows.first().map(|row| row.v).into_iter().chain(rest).collect()
}

/// Whether it is downsampled, its steps in time and value, and its true end.
type Made = (bool, Vec<(i64, u32)>, Option<u32>);

fn chunk() -> impl Strategy<Value = Made> {
    let steps = prop::collection::vec((1..100i64, 0..50u32), 1..7);
    (any::<bool>(), steps, prop::option::of(0..100u32))
}

proptest! {
    #[test]
    fn as_if_each_row_knew_all_of_itself(
        chunks in prop::collection::vec(chunk(), 1..6),
        orders in prop::collection::vec((0..30usize, prop::collection::vec(0..4usize, 0..30)), 0..4),
    ) {
        let (mut pieces, mut rows) = (Pieces::default(), Vec::new());
        let (mut t, mut v): (Vec<i64>, Vec<f64>) = (Vec::new(), Vec::new());
        for (number, (is_coarse, steps, end)) in chunks.into_iter().enumerate() {
            let (mut now, mut value) = (t.last().copied().unwrap_or(0), 0.0);
            let samples: Vec<_> = steps
                .into_iter()
                .map(|(ms, by)| {
                    now += ms;
                    // Raw ones are reset now and then.
                    value = if is_coarse || by > 5 { value + f64::from(by) } else { 0.0 };
                    (now, value)
                })
                .collect();
            let from = t.len();
            t.extend(samples.iter().map(|(t, _)| *t));
            v.extend(samples.iter().map(|(_, v)| *v));
            let end = end.map(f64::from).filter(|_| is_coarse);
            rows.extend(rows_of(&samples, is_coarse.then_some(number), end));
            match is_coarse {
                true => pieces.push_chunk(from..t.len(), &v, (number, end)),
                false => pieces.push_raw(from..t.len()),
            }
        }
        for (from, steps) in orders {
            // Some rows from one on; sometimes back to earlier ones, as where chunks are merged.
            let mut at = from as i64;
            let next = |step: usize| {
                at += [1, 1, 3, -2][step];
                usize::try_from(at - 1).ok().filter(|row| (from..t.len()).contains(row))
            };
            let order: Vec<usize> = steps.into_iter().filter_map(next).collect();
            if from > t.len() {
                continue;
            }
            pieces.reorder(from, &order, (&t, &v));
            let tail: Vec<Row> = order.iter().map(|row| rows[*row]).collect();
            rows.truncate(from);
            rows.extend(tail);
            (t, v) = rows.iter().map(|row| (row.t, row.v)).unzip();
        }
        pieces.add_up(&t, &mut v);
        let expected = totals(&rows);
        prop_assert_eq!(v.len(), expected.len());
        for (v, expected) in v.iter().zip(&expected) {
            prop_assert!((v - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{:?} {:?}", v, expected);
        }
    }
}

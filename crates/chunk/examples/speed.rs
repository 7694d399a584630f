//! How long a sample takes: `cargo run --release -p nilometer-chunk --example speed`.
//!
//! Prints nanoseconds per sample and bytes per sample, for chunks of 120 samples as Prometheus cuts them, of
//! several kinds of series. Chunks of one kind differ from each other, so that no branch is learnt by heart.

use nilometer_chunk::{Encoding, Stamp, Xor2State, XorState, decode_floats};
use std::hint::black_box;
use std::time::Duration;

const CHUNKS: usize = 400;
const SAMPLES: usize = 120;
const ROUNDS: usize = 60;

type Series = Vec<(i64, f64)>;

/// Xorshift, so that every run measures the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn series(random: &mut Random, jitter: bool, mut value: impl FnMut(&mut Random) -> f64) -> Vec<Series> {
    let mut one = |chunk: usize| {
        let mut t = 1_700_000_000_000 + chunk as i64 * 1_800_000;
        (0..SAMPLES)
            .map(|_| {
                t += 15_000;
                let late = if jitter { random.below(11) as i64 - 5 } else { 0 };
                (t + late, value(random))
            })
            .collect()
    };
    (0..CHUNKS).map(&mut one).collect()
}

fn kinds() -> Vec<(&'static str, Vec<Series>)> {
    let random = &mut Random(42);
    let mut counter = 0.0;
    let mut busy = 0.0;
    let mut walk = 50.0;
    vec![
        ("constant, steady", series(random, false, |_| 1.0)),
        (
            "counter, jitter",
            series(random, true, |r| {
                counter += r.below(100) as f64;
                counter
            }),
        ),
        (
            "counter, steady, often unchanged",
            series(random, false, |r| {
                busy += if r.below(3) == 0 { r.below(10) as f64 } else { 0.0 };
                busy
            }),
        ),
        ("small integers, steady", series(random, false, |r| r.below(200) as f64)),
        (
            "gauge of full precision, jitter",
            series(random, true, |r| {
                walk += r.next() as f64 / u64::MAX as f64 - 0.5;
                walk
            }),
        ),
        ("random bits, jitter", series(random, true, |r| f64::from_bits(r.next()))),
    ]
}

fn main() {
    println!(
        "{:<36}{:>8}{:>8}{:>8}{:>8}{:>10}{:>10}",
        "ns per sample", "append", "decode", "xor2 a.", "xor2 d.", "bytes", "xor2 b."
    );
    for (name, series) in kinds() {
        let (xor_append, xor) = append(&series, |samples, bytes| {
            let mut state = XorState::new();
            samples.iter().for_each(|&(t, v)| state.append(bytes, t, v));
        });
        let (xor2_append, xor2) = append(&series, |samples, bytes| {
            let mut state = Xor2State::new();
            samples.iter().for_each(|&(t, v)| state.append(bytes, Stamp::at(t), v));
        });
        println!(
            "{name:<36}{xor_append:>8.2}{:>8.2}{xor2_append:>8.2}{:>8.2}{:>10.2}{:>10.2}",
            decode(&xor, Encoding::Xor),
            decode(&xor2, Encoding::Xor2),
            size(&xor),
            size(&xor2),
        );
    }
}

fn append(series: &[Series], write: impl Fn(&[(i64, f64)], &mut Vec<u8>)) -> (f64, Vec<Vec<u8>>) {
    let mut chunks = vec![Vec::with_capacity(2048); series.len()];
    let spent = best(|| {
        for (chunk, samples) in chunks.iter_mut().zip(series) {
            chunk.clear();
            write(black_box(samples), chunk);
        }
    });
    (spent, chunks)
}

fn decode(chunks: &[Vec<u8>], encoding: Encoding) -> f64 {
    let (mut t, mut v) = (Vec::new(), Vec::new());
    best(|| {
        for chunk in chunks {
            t.clear();
            v.clear();
            decode_floats(black_box(chunk), encoding, &mut t, &mut v).expect("a chunk of our own");
            black_box((&t, &v));
        }
    })
}

fn size(chunks: &[Vec<u8>]) -> f64 {
    chunks.iter().map(Vec::len).sum::<usize>() as f64 / (CHUNKS * SAMPLES) as f64
}

/// Nanoseconds per sample of the best round.
fn best(mut round: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| timed(&mut round));
    times.min().unwrap_or_default().as_nanos() as f64 / (CHUNKS * SAMPLES) as f64
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is real time")]
fn timed(round: &mut impl FnMut()) -> Duration {
    let start = std::time::Instant::now();
    round();
    start.elapsed()
}

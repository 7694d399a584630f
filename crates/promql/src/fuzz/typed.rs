//! Series that say what they are: counters whose samples carry start timestamps, and series with `__type__` and
//! `__unit__`, which fit their names, contradict them, or are all that tells two series apart.
//!
//! Native histograms have no start timestamps here: a Prometheus of 3.12 has no chunk that keeps them, so that only
//! the scripts of 3.14 say what they mean.

use super::data::Data;
use super::native::Observed;
use super::random::Random;
use nilometer_model::Value;
use std::sync::Arc;

/// What a sample says of its start.
#[derive(Clone, Copy)]
enum Start {
    Unknown,
    /// The one of the sample before.
    Same,
    /// At the sample before, or so many milliseconds after it.
    AfterPrevious(i64),
    /// So many milliseconds before the sample itself, which may be none, or too few.
    Before(i64),
}

pub(super) struct Typed<'a>(pub(super) &'a mut Data);

impl Typed<'_> {
    pub(super) fn add(&mut self) {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90"), ("db", "d:90")] {
            let of = [("job", job), ("instance", instance), ("__type__", "counter")];
            self.started("started_total", &of, &mut |random, total| created(random, total));
            self.started("deltas_total", &of, &mut |random, total| delta(random, total));
            let of = [of[0], of[1], of[2], ("__unit__", "bytes")];
            self.started("restarted", &of, &mut |random, total| odd(random, total));
        }
        self.told_apart();
    }

    /// A counter, of which `next` says what it is now and since when.
    fn started(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        next: &mut dyn FnMut(&mut Random, &mut f64) -> Start,
    ) {
        let mut total = 0.0;
        let mut starts = Vec::new();
        self.0.add(name, labels, &mut |random, _| {
            starts.push(next(random, &mut total));
            Some(Value::Float(total))
        });
        let mut before = None;
        for ((at, _), start) in self.0.last().iter_mut().zip(starts) {
            let (since_ms, t_ms) = before.unwrap_or((at.t_ms - 5_000, at.t_ms - 15_000));
            at.start_ms = match start {
                Start::Unknown => 0,
                Start::Same => since_ms,
                Start::AfterPrevious(ms) => t_ms + ms,
                Start::Before(ms) => at.t_ms - ms,
            };
            before = Some((at.start_ms, at.t_ms));
        }
    }

    fn told_apart(&mut self) {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90")] {
            let of = [("job", job), ("instance", instance)];
            let mut add = |name: &str, kind: &str, unit: &str| {
                let of = [of[0], of[1], ("__type__", kind), ("__unit__", unit)];
                let mut total = 0.0;
                self.0.add(name, &of, &mut |random, _| {
                    total = if random.once_in(40) { 0.0 } else { total + random.below(9) as f64 };
                    Some(Value::Float(total))
                });
            };
            add("served", "counter", "requests");
            add("level_total", "gauge", "");
            // Without name, type and unit these are one series.
            add("heat", "gauge", "celsius");
            if job == "api" {
                add("heat", "counter", "celsius");
                add("heat", "gauge", "kelvin");
            }
            let mut observed = Observed::new(1, false);
            let kind = if job == "api" { "histogram" } else { "gaugehistogram" };
            let of = [of[0], of[1], ("__type__", kind), ("__unit__", "seconds")];
            self.0.add("rpc_typed", &of, &mut |random, _| {
                observed.observe(random);
                Some(Value::Int(Arc::new(observed.int())))
            });
        }
    }
}

/// As a process tells when it began: a start that is later than the sample before is a reset, also where the number
/// does not fall.
fn created(random: &mut Random, total: &mut f64) -> Start {
    if random.once_in(12) {
        *total = random.below(400) as f64;
        return Start::Before([1, 3_000, 14_000][random.below(3)]);
    }
    *total += random.below(30) as f64;
    Start::Same
}

/// Each sample counts from the one before.
fn delta(random: &mut Random, total: &mut f64) -> Start {
    *total = random.below(50) as f64;
    Start::AfterPrevious([0, 0, 1][random.below(3)])
}

/// Unknown, overlapping, at the sample itself and after it.
fn odd(random: &mut Random, total: &mut f64) -> Start {
    *total = if random.once_in(20) { 0.0 } else { *total + random.below(20) as f64 };
    match random.below(12) {
        0 => Start::Unknown,
        1 => Start::Before(0),
        2 => Start::Before(-1),
        3 => Start::Before(20_000),
        4 => Start::AfterPrevious(0),
        5 => Start::Before(7_000),
        _ => Start::Same,
    }
}

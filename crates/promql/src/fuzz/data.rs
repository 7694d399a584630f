//! What random queries are asked of: half an hour of a small cluster, as a scraper sees it.
//!
//! Counters with resets, gauges, gaps, stale markers, NaN and infinities, classic histograms that are whole and
//! broken ones, and for who knows them native histograms of all kinds, start timestamps, types and units. Everything follows from constants: a
//! server that was fed once, a golden file and this code speak of the same samples.

use super::Dialect;
use super::native::Natives;
use super::random::Random;
use super::typed::Typed;
use crate::script::Stored;
use nilometer_chunk::Stamp;
use nilometer_model::{Labels, STALE_NAN_BITS, Value};
use nilometer_storage::MemoryQueryable;

/// Of the first scrape: a whole minute.
pub const START_MS: i64 = 1_700_000_040_000;
pub const SCRAPE_MS: i64 = 15_000;
pub const SCRAPES: i64 = 120;
/// Every series has it, so that a hub whose tenant is a label of that name answers the same.
pub const TENANT: (&str, &str) = ("tenant_id", "fuzz");

/// All series that a server of `dialect` takes.
pub fn series(dialect: Dialect) -> Vec<Stored> {
    let mut data = Data { held: Vec::new() };
    data.counters();
    data.gauges();
    data.specials();
    data.classic_histograms();
    data.facts();
    if dialect == Dialect::V3 {
        data.aligned();
        Natives(&mut data).add();
        Typed(&mut data).add();
    }
    // Prometheus answers in the order in which series came, and of equal values takes the first.
    data.held.sort_by(|a, b| a.labels.cmp(&b.labels));
    data.held
}

pub fn queryable(held: &[Stored]) -> MemoryQueryable {
    let mut memory = MemoryQueryable::default();
    for one in held {
        memory.push(one.labels.clone(), &one.samples);
    }
    memory
}

pub(super) struct Data {
    held: Vec<Stored>,
}

type Point<'a> = &'a mut dyn FnMut(&mut Random, i64) -> Option<Value>;

impl Data {
    /// A series scraped at an offset of its own, never on a whole second: no sample lies on the edge of a range.
    pub(super) fn add(&mut self, name: &str, labels: &[(&str, &str)], point: Point<'_>) {
        let number = self.held.len() as i64;
        self.add_at(name, labels, &|i| 137 + 209 * (number % 60) + 10 * (i * 7 % 5), point);
    }

    /// The samples of the series that was added last.
    pub(super) fn last(&mut self) -> &mut [(Stamp, Value)] {
        self.held.last_mut().map_or(&mut [], |one| &mut one.samples)
    }

    fn add_at(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        offset_ms: &dyn Fn(i64) -> i64,
        point: Point<'_>,
    ) {
        let mut random = Random::new(self.held.len() as u64 + 1);
        let mut samples = Vec::new();
        for i in 0..SCRAPES {
            if let Some(value) = point(&mut random, i) {
                samples.push((Stamp::at(START_MS + i * SCRAPE_MS + offset_ms(i)), value));
            }
        }
        let all = [("__name__", name), TENANT].into_iter().chain(labels.iter().copied());
        let all = Labels::from_pairs(all.filter(|(_, value)| !value.is_empty()));
        self.held.push(Stored { labels: all, samples });
    }

    fn floats(&mut self, name: &str, labels: &[(&str, &str)], v: &mut dyn FnMut(&mut Random, i64) -> f64) {
        self.add(name, labels, &mut |random, i| Some(Value::Float(v(random, i))));
    }

    fn counters(&mut self) {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90"), ("db", "d:90")] {
            for code in ["200", "404", "500"] {
                let mut v = 1000.0;
                let of = [("job", job), ("instance", instance), ("code", code)];
                self.floats("http_requests_total", &of, &mut |random, _| {
                    v += random.below(if code == "200" { 40 } else { 3 }) as f64;
                    if random.once_in(60) {
                        v = random.below(5) as f64;
                    }
                    v
                });
            }
            for mode in ["user", "idle"] {
                let mut v = 0.0;
                let of = [("job", job), ("instance", instance), ("mode", mode)];
                self.floats("cpu_seconds_total", &of, &mut |random, _| {
                    v += random.unit() * if mode == "user" { 3.0 } else { 15.0 };
                    if random.once_in(100) {
                        v = 0.0;
                    }
                    v
                });
            }
        }
    }

    fn gauges(&mut self) {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90")] {
            let mut v = 4e9;
            let of = [("job", job), ("instance", instance)];
            self.floats("memory_bytes", &of, &mut |random, _| {
                v += (random.unit() - 0.5) * 1e8;
                v.round()
            });
            let mut level = -3.0;
            self.floats("temperature", &of, &mut |random, i| {
                level += random.unit() - 0.5;
                level + (i as f64 / 9.0).sin() * 4.0
            });
            self.floats("queue_length", &of, &mut |random, _| random.below(6) as f64);
            // A series that comes and goes, the end marked, and one with gaps that are longer than the look back.
            self.add("sessions", &of, &mut |random, i| match (i / 10) % 4 {
                3 if i % 10 == 0 => Some(Value::Float(f64::from_bits(STALE_NAN_BITS))),
                3 => None,
                _ => Some(Value::Float(random.below(100) as f64)),
            });
            self.add("sparse", &of, &mut |random, i| {
                let here = i % 40 < 12 && !random.once_in(3);
                here.then(|| Value::Float(random.unit() * 10.0))
            });
        }
    }

    fn specials(&mut self) {
        const VALUES: [f64; 12] = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            1e-300,
            5e-324,
            1.5e308,
            -1.5e308,
            1.0,
            -1.0,
            1e16,
        ];
        for kind in ["any", "nan", "infinite", "zero"] {
            self.floats("odd", &[("kind", kind)], &mut |random, _| match kind {
                "any" => VALUES[random.below(VALUES.len())],
                "nan" if random.once_in(3) => f64::NAN,
                "infinite" if random.once_in(4) => VALUES[1 + random.below(2)],
                "zero" => VALUES[3 + random.below(2)],
                _ => random.below(7) as f64 - 3.0,
            });
        }
        self.floats("constant", &[], &mut |_, _| 0.1);
        self.add("once", &[("job", "api")], &mut |_, i| (i == 40).then_some(Value::Float(42.0)));
        self.floats("utf", &[("job", "é\"\\\n"), ("b", "β")], &mut |random, _| random.below(3) as f64);
    }

    fn classic_histograms(&mut self) {
        let whole = ["0.05", "0.1", "0.5", "1", "2.5", "+Inf"];
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90")] {
            self.classic("latency_seconds", job, instance, &whole);
        }
        // Without +Inf, with a bound that is none, with one bucket, and with bounds that are one number.
        self.classic("broken_seconds", "api", "a:80", &["0.1", "1", "10"]);
        self.classic("broken_seconds", "api", "b:80", &["0.1", "x", "+Inf"]);
        self.classic("broken_seconds", "db", "c:90", &["+Inf"]);
        self.classic("broken_seconds", "db", "d:90", &["-1", "1", "1.0", "+Inf"]);
    }

    fn classic(&mut self, name: &str, job: &str, instance: &str, bounds: &[&str]) {
        let bucket = format!("{name}_bucket");
        for (at, le) in bounds.iter().enumerate() {
            let mut v = 0.0;
            let of = [("job", job), ("instance", instance), ("le", *le)];
            let first = self.held.len() - at;
            self.floats(&bucket, &of, &mut |_, i| {
                // The same numbers for each bound, so that buckets are cumulative.
                let mut shared = Random::new((first as u64) << 32 | i as u64);
                for observed in 0..shared.below(9) {
                    v += f64::from(u8::from(shared.below(bounds.len() + 1) <= at + observed % 2));
                }
                v
            });
        }
        let (mut sum, mut count) = (0.0, 0.0);
        self.floats(&format!("{name}_sum"), &[("job", job), ("instance", instance)], &mut |random, _| {
            sum += random.unit() * 5.0;
            sum
        });
        self.floats(&format!("{name}_count"), &[("job", job), ("instance", instance)], &mut |random, _| {
            count += random.below(9) as f64;
            count
        });
    }

    /// Series that are 1 and tell something by their labels.
    fn facts(&mut self) {
        for (job, instance, version) in [("api", "a:80", "1.0"), ("api", "b:80", "1.1"), ("db", "c:90", "7")]
        {
            let of = [("job", job), ("instance", instance)];
            self.floats("up", &of, &mut |random, _| f64::from(u8::from(!random.once_in(10))));
            self.floats("build_info", &[of[0], of[1], ("version", version)], &mut |_, _| 1.0);
            self.floats("target_info", &[of[0], of[1], ("env", version), ("zone", job)], &mut |_, _| 1.0);
        }
    }

    /// Scraped on the second: samples lie on both edges of ranges.
    fn aligned(&mut self) {
        for job in ["api", "db"] {
            let mut v = 0.0;
            self.add_at("aligned_total", &[("job", job)], &|_| 0, &mut |random, i| {
                v = if i % 37 == 36 { 0.0 } else { v + random.below(5) as f64 };
                Some(Value::Float(v))
            });
            self.add_at("aligned", &[("job", job)], &|_| 0, &mut |random, _| {
                (!random.once_in(8)).then(|| Value::Float(random.unit() * 9.0 - 4.0))
            });
        }
    }
}

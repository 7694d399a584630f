//! What the simulated installation exposes, and the value of each series at each minute: pure functions, so that every
//! answer can be checked.
//!
//! Targets with an even number are nodes, which stay; the others are pods, which new ones replace. Each has ten metrics
//! under ten devices, handlers or the like.

use crate::value::mix;
use nilometer_model::Labels;

/// Series of a target.
pub(super) const SLOTS: u32 = 100;
const EACH: u32 = 10;
pub(super) const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// A pod's life. Half of the targets are pods, so a fiftieth of the series are replaced in a day.
const LIFE_MINUTES: i64 = 25 * DAY_MINUTES;

/// How values move. All are whole numbers, times a power of two where they are bytes: what is measured seldom has more
/// digits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant,
    /// A counter that moves at each scrape.
    Busy,
    /// A counter that moves now and then.
    Slow,
    /// Higher by day than by night, with a little noise.
    Daily {
        unit: f64,
    },
    /// A disk that fills up, and is cleaned when it is full.
    Filling,
}

use Shape::{Busy, Constant, Daily, Filling, Slow};

/// Name, the label of its ten series, how they move.
type Metric = (&'static str, &'static str, Shape);

const OF_NODES: [Metric; 10] = [
    ("node_filesystem_avail_bytes", "mountpoint", Filling),
    ("node_filesystem_size_bytes", "mountpoint", Constant),
    ("node_cpu_seconds_total", "cpu", Busy),
    ("node_cpu_frequency_max_hertz", "cpu", Constant),
    ("node_disk_written_bytes_total", "device", Busy),
    ("node_disk_io_now", "device", Daily { unit: 1.0 }),
    ("node_network_receive_bytes_total", "device", Busy),
    ("node_network_receive_errs_total", "device", Slow),
    ("node_network_up", "device", Constant),
    ("node_memory_numa_used_bytes", "zone", Daily { unit: 4_194_304.0 }),
];

const OF_PODS: [Metric; 10] = [
    ("container_cpu_usage_seconds_total", "container", Busy),
    ("container_memory_working_set_bytes", "container", Daily { unit: 1_048_576.0 }),
    ("container_spec_memory_limit_bytes", "container", Constant),
    ("container_restarts_total", "container", Slow),
    ("http_requests_total", "handler", Busy),
    ("http_request_errors_total", "handler", Slow),
    ("http_requests_in_flight", "handler", Daily { unit: 1.0 }),
    ("workqueue_adds_total", "queue", Busy),
    ("workqueue_limit", "queue", Constant),
    ("workqueue_retries_total", "queue", Slow),
];

/// Of a target, from one replacement to the next; a node is only ever the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub(super) number: u32,
    generation: u32,
}

impl Target {
    /// All that are there at some time of the minutes `from..to` since the year began.
    pub(super) fn during(number: u32, from: i64, to: i64) -> impl Iterator<Item = Target> {
        let generation = |minute: i64| {
            let phase = i64::from(number) * 7_919 * 60 % LIFE_MINUTES;
            if number.is_multiple_of(2) { 0 } else { ((minute + phase) / LIFE_MINUTES) as u32 }
        };
        (generation(from)..=generation(to - 1)).map(move |generation| Target { number, generation })
    }

    /// From its first minute on, up to that in which it is replaced.
    pub(super) fn minutes(self) -> std::ops::Range<i64> {
        if self.number.is_multiple_of(2) {
            return 0..i64::MAX;
        }
        let phase = i64::from(self.number) * 7_919 * 60 % LIFE_MINUTES;
        let born = i64::from(self.generation) * LIFE_MINUTES - phase;
        born.max(0)..born + LIFE_MINUTES
    }

    /// Within each minute.
    pub(super) fn offset_ms(self) -> i64 {
        (mix(u64::from(self.number)) % MINUTE_MS as u64) as i64
    }

    pub(super) fn series(self, slot: u32) -> Series {
        let (name, label, shape) = self.metric(slot);
        let key = mix(u64::from(self.number) << 32 | u64::from(self.generation) << 8 | u64::from(slot));
        let device = format!("{label}-{}", slot % EACH);
        let (cluster, number) = (format!("wc-{}", self.number / 2 % 4), self.number / 2);
        let labels = if self.number.is_multiple_of(2) {
            Labels::from_pairs([
                ("__name__", name.to_owned()),
                ("cluster", cluster),
                ("instance", format!("10.0.{}.{}:9100", number / 250, number % 250 + 1)),
                ("job", "node-exporter".to_owned()),
                ("node", format!("worker-{number:03}.example.org")),
                (label, device),
            ])
        } else {
            let pod =
                format!("workload-{}-{:08x}-{number:03}", number % 16, mix(self.generation.into()) >> 32);
            Labels::from_pairs([
                ("__name__", name.to_owned()),
                ("cluster", cluster),
                ("job", "kubelet".to_owned()),
                ("namespace", format!("team-{}", number % 8)),
                ("pod", pod),
                (label, device),
            ])
        };
        Series { target: self, labels, shape, key, scale: mix(key) }
    }

    fn metric(self, slot: u32) -> Metric {
        let metrics = if self.number.is_multiple_of(2) { &OF_NODES } else { &OF_PODS };
        metrics[(slot / EACH) as usize]
    }
}

pub(super) struct Series {
    pub(super) target: Target,
    pub(super) labels: Labels,
    shape: Shape,
    key: u64,
    scale: u64,
}

impl Series {
    /// At a minute since the year began.
    pub(super) fn at(&self, minute: i64) -> f64 {
        let noise = || mix(self.key ^ minute as u64);
        let whole = |below: u64| (self.scale % below) as i64;
        let age = || minute - self.target.minutes().start;
        match self.shape {
            Constant => f64::from(1u32 << (self.scale % 30)),
            // Below what it is at least a minute later.
            Busy => {
                let rate = 1 + whole(200);
                (age() * rate + (noise() % rate as u64) as i64) as f64
            }
            Slow => (age() / (60 + whole(2_000))) as f64,
            Daily { unit } => {
                let today = (minute + whole(120)) % DAY_MINUTES;
                let hump = (100 + whole(900)) * 4 * today * (DAY_MINUTES - today) / DAY_MINUTES.pow(2);
                (whole(500) + hump + (noise() % 8) as i64) as f64 * unit
            }
            Filling => {
                let (size, a_day) = (20_000 + whole(5_000), 10 + whole(90));
                let written = minute * a_day / DAY_MINUTES + (noise() % 3) as i64;
                (size - written % size) as f64 * 16_777_216.0
            }
        }
    }

    /// The minutes of `from..to` at which it has samples.
    pub(super) fn minutes(&self, from: i64, to: i64) -> std::ops::Range<i64> {
        let alive = self.target.minutes();
        alive.start.max(from)..alive.end.min(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pods_follow_each_other_without_gaps() {
        for number in 0..50 {
            let days = 400 * DAY_MINUTES;
            let all: Vec<Target> = Target::during(number, 0, days).collect();
            assert_eq!(all[0].minutes().start, 0);
            assert!(all.windows(2).all(|pair| pair[0].minutes().end == pair[1].minutes().start));
            assert!(all[all.len() - 1].minutes().end >= days);
            assert_eq!(all.len() > 1, number % 2 == 1);
            for target in all {
                let minute = target.minutes().start;
                assert!(Target::during(number, minute, minute + 1).eq([target]));
            }
        }
    }

    #[test]
    fn a_fiftieth_is_replaced_in_a_day() {
        let of_days = |days| (0..200).flat_map(|n| Target::during(n, 0, days * DAY_MINUTES)).count();
        let replaced = of_days(101) - of_days(1);
        assert!((380..420).contains(&replaced), "{replaced} of 200 targets in 100 days");
    }

    #[test]
    fn counters_rise_and_no_two_series_are_one() {
        let mut labels = BTreeSet::new();
        for target in (0..20).flat_map(|n| Target::during(n, 0, 60 * DAY_MINUTES)) {
            for slot in 0..SLOTS {
                let series = target.series(slot);
                let minutes = series.minutes(0, 3 * DAY_MINUTES);
                let is_counter = matches!(series.shape, Busy | Slow);
                assert!(!is_counter || minutes.map(|m| series.at(m)).is_sorted(), "{}", series.labels);
                assert!(labels.insert(series.labels));
            }
        }
    }
}

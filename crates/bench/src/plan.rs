//! What a load sends, and in which order: everything follows from these few numbers, which the journal keeps.
//!
//! ```text
//! connection ── owns a part of each target's series, in the order of the targets' scrape offsets
//!    └ they are cut evenly into batches of about `per_request`
//!         request number = scrape × batches + batch       (in the order of time)
//! ```
//!
//! Series, not targets, are dealt out to the connections, as Prometheus does. Its requests then have a few series of
//! each of many targets.

use crate::catalogue::SLOTS;
use crate::value::mix;
use nilometer_model::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Of names and values; see [`Plan::VERSION`].
    pub version: u32,
    pub seed: u64,
    pub series: u32,
    pub interval_ms: i64,
    /// Scrape 0, before the targets' offsets.
    pub first_ms: i64,
    pub scrapes: u32,
    /// Samples in a request, about.
    pub per_request: u32,
    pub connections: u32,
    /// Of the series, in percent an hour: replaced by those of new pods.
    pub churn_percent: f64,
    pub protocol: Protocol,
}

/// A scrape's age cannot become larger than a series is old when the load begins, plus its scrapes.
const MAX_FIRST_AGE: u64 = 2_000;

/// Times within these take six bytes as a varint, so that they can be filled in afterwards: from 1971 to 2109.
const TIMES_MS: Range<i64> = 1 << 35..1 << 42;

impl Plan {
    /// Goes up when names or values change: an older journal then says nothing about what was sent.
    pub const VERSION: u32 = 1;

    /// # Errors
    /// `Invalid`, naming what cannot be.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(what));
        if self.version != Plan::VERSION {
            return wrong(format!(
                "this is a load of version {}, and this program makes version {}: verify it with the program that sent it",
                self.version,
                Plan::VERSION
            ));
        }
        for (name, value, max) in [
            ("series", self.series, 100_000_000),
            ("scrapes", self.scrapes, 100_000_000),
            ("samples in a request", self.per_request, 100_000),
        ] {
            if value == 0 || value > max {
                return wrong(format!("{value} {name}: there can be 1 to {max}"));
            }
        }
        if self.series < self.connections || self.connections > SLOTS as u32 {
            return wrong(format!(
                "{} connections for {} series: there can be 1 to {SLOTS}, each with a series",
                self.connections, self.series
            ));
        }
        if self.interval_ms < 1_000 || self.interval_ms > 3_600_000 {
            return wrong("the interval can be from 1s to 1h".to_owned());
        }
        if !(0.0..=1_000.0).contains(&self.churn_percent) {
            return wrong("the churn can be from 0 to 1000 percent an hour".to_owned());
        }
        let last = self.first_ms.checked_add(i64::from(self.scrapes) * self.interval_ms);
        if !TIMES_MS.contains(&self.first_ms) || !last.is_some_and(|last| TIMES_MS.contains(&last)) {
            return wrong("times can be from 1971 to 2109".to_owned());
        }
        Ok(())
    }

    pub fn targets(&self) -> u32 {
        self.series.div_ceil(SLOTS as u32)
    }

    /// Samples of the whole load.
    pub fn samples(&self) -> u64 {
        u64::from(self.series) * u64::from(self.scrapes)
    }

    /// How many of the catalogue's slots a target has: all, but for the last one.
    pub(crate) fn slots(&self, target: u32) -> usize {
        SLOTS.min((self.series - target * SLOTS as u32) as usize)
    }

    /// When in the interval a target is scraped.
    pub(crate) fn offset_ms(&self, target: u32) -> i64 {
        (mix(mix(self.seed) ^ u64::from(target) << 20) % self.interval_ms as u64) as i64
    }

    pub(crate) fn time_ms(&self, target: u32, scrape: u32) -> i64 {
        self.first_ms + i64::from(scrape) * self.interval_ms + self.offset_ms(target)
    }

    /// How many scrapes a pod lives; `None`: for ever.
    fn life(&self) -> Option<u64> {
        let scrapes_an_hour = 3_600_000.0 / self.interval_ms as f64;
        (self.churn_percent > 0.0).then(|| ((scrapes_an_hour * 100.0 / self.churn_percent) as u64).max(1))
    }

    /// The pod that stands at `target` at a scrape.
    pub(crate) fn pod(&self, target: u32, scrape: u32) -> Pod {
        let first_age = mix(mix(self.seed) ^ u64::from(target) << 24) % MAX_FIRST_AGE;
        let Some(life) = self.life() else {
            return Pod { generation: 0, ends: u64::from(self.scrapes), born: -(first_age as i64) };
        };
        // Spread, so that at each moment some are replaced.
        let phase = life * u64::from(target) / u64::from(self.targets());
        let generation = (u64::from(scrape) + phase) / life;
        let born = (generation * life) as i64 - phase as i64;
        let ends = u64::from(self.scrapes).min((generation + 1) * life - phase);
        let born = if generation == 0 { born - first_age as i64 } else { born };
        Pod { generation: generation as u32, ends, born }
    }

    /// Who sends a series.
    pub(crate) fn connection(&self, target: u32, slot: usize) -> u32 {
        (target + slot as u32) % self.connections
    }

    /// What one connection sends.
    pub(crate) fn shard(&self, connection: u32) -> Shard {
        let mut targets: Vec<u32> = (0..self.targets()).collect();
        targets.sort_by_key(|&target| (self.offset_ms(target), target));
        let mut own: Vec<(u32, u8)> = Vec::new();
        for target in targets {
            let slots = (0..self.slots(target)).filter(|&slot| self.connection(target, slot) == connection);
            own.extend(slots.map(|slot| (target, slot as u8)));
        }
        // Evenly, since a small rest would cost the server a whole request at each scrape.
        let count = (own.len() as f64 / f64::from(self.per_request)).round().max(1.0) as usize;
        let bound = |batch: usize| own.len() * batch / count;
        let batch = |batch: usize| {
            let series = &own[bound(batch)..bound(batch + 1)];
            let by_target = series.chunk_by(|a, b| a.0 == b.0);
            by_target.map(|all| Span { target: all[0].0, slots: all.iter().map(|s| s.1).collect() }).collect()
        };
        let batches = (0..count).map(batch).collect();
        Shard { batches }
    }
}

/// A pod's time at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) generation: u32,
    /// The scrape at which it is no more.
    pub(crate) ends: u64,
    /// The scrape at which it was 0 scrapes old; below 0 where it is older than the load.
    born: i64,
}

impl Pod {
    pub(crate) fn age(&self, scrape: u32) -> u64 {
        (i64::from(scrape) - self.born) as u64
    }
}

/// Series of one target that stand in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) target: u32,
    pub(crate) slots: Vec<u8>,
}

pub(crate) struct Shard {
    pub(crate) batches: Vec<Vec<Span>>,
}

impl Shard {
    /// Requests of so many scrapes.
    pub(crate) fn requests(&self, scrapes: u32) -> u64 {
        u64::from(scrapes) * self.batches.len() as u64
    }

    /// The scrape and the batch of a request.
    pub(crate) fn request(&self, number: u64) -> (u32, usize) {
        let batches = self.batches.len() as u64;
        ((number / batches) as u32, (number % batches) as usize)
    }

    pub(crate) fn number(&self, scrape: u32, batch: usize) -> u64 {
        u64::from(scrape) * self.batches.len() as u64 + batch as u64
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan(series: u32, scrapes: u32) -> Plan {
        Plan {
            version: Plan::VERSION,
            seed: 1,
            series,
            interval_ms: 15_000,
            first_ms: 1_700_000_000_000,
            scrapes,
            per_request: 2_000,
            connections: 1,
            churn_percent: 0.0,
            protocol: Protocol::V1,
        }
    }

    #[test]
    fn every_series_is_in_one_batch() {
        let plan = Plan { connections: 3, per_request: 130, ..plan(2_050, 4) };
        let mut seen = vec![0; 2_050];
        for connection in 0..3 {
            for batch in plan.shard(connection).batches {
                let samples: usize = batch.iter().map(|span| span.slots.len()).sum();
                assert!((128..=140).contains(&samples), "{samples}");
                assert!(batch.is_sorted_by_key(|span| plan.offset_ms(span.target)));
                for span in batch {
                    span.slots
                        .iter()
                        .for_each(|&slot| seen[span.target as usize * SLOTS + usize::from(slot)] += 1);
                }
            }
        }
        assert!(seen.iter().all(|&count| count == 1));
    }

    #[test]
    fn requests_have_numbers_in_the_order_of_time() {
        let shard = plan(10_000, 7).shard(0);
        assert_eq!(shard.requests(7), 35);
        assert!((0..35).all(|n| {
            let (scrape, batch) = shard.request(n);
            shard.number(scrape, batch) == n
        }));
    }

    #[test]
    fn offsets_are_spread_over_the_interval() {
        let plan = plan(1_000_000, 1);
        let early = (0..10_000).filter(|&target| plan.offset_ms(target) < 1_500).count();
        assert!((900..1_100).contains(&early), "{early}");
    }

    #[test]
    fn churn_replaces_its_part() {
        let plan = Plan { churn_percent: 10.0, ..plan(100_000, 4 * 240) };
        let replaced: u32 = (0..1_000).map(|t| plan.pod(t, 4 * 240 - 1).generation).sum();
        assert!((390..=410).contains(&replaced), "{replaced} of 1000 in four hours");
        for target in [0, 500, 999] {
            let mut scrape = 0;
            while scrape < plan.scrapes {
                let pod = plan.pod(target, scrape);
                assert!(pod.ends > u64::from(scrape));
                assert_eq!(plan.pod(target, pod.ends as u32 - 1), pod);
                scrape = pod.ends as u32;
            }
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert!(plan(1_000, 5).check().is_ok());
        for (bad, says) in [
            (Plan { series: 0, ..plan(1, 1) }, "0 series"),
            (Plan { connections: 9, ..plan(8, 1) }, "9 connections for 8 series"),
            (Plan { interval_ms: 1, ..plan(800, 1) }, "interval"),
            (Plan { churn_percent: f64::NAN, ..plan(800, 1) }, "churn"),
            (Plan { first_ms: 5, ..plan(800, 1) }, "1971"),
            (Plan { version: 0, ..plan(800, 1) }, "version 0"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

//! What a pod's series must look like, held against what a server answers.

use crate::plan::{Plan, Pod};
use crate::target::{self, Label};
use crate::value::Series;
use crate::verify::{Due, Row, VerifyReport};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

pub(crate) struct Expected<'a> {
    plan: &'a Plan,
    target: u32,
    pod: Pod,
    series: Vec<Series>,
    labels: Vec<Vec<Label>>,
    by_name: HashMap<&'static str, Vec<usize>>,
    /// Names of labels that some slot has. Others are the server's own, such as a tenant or a replica.
    names: HashSet<&'static str>,
}

impl<'a> Expected<'a> {
    pub(crate) fn new(plan: &'a Plan, target: u32, pod: Pod) -> Self {
        let key = target::key(plan.seed, target, pod.generation);
        let slots = 0..plan.slots(target);
        let labels: Vec<Vec<Label>> =
            slots.clone().map(|slot| target::labels_of(plan.seed, target, pod.generation, slot)).collect();
        let mut by_name: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for slot in slots.clone() {
            by_name.entry(crate::catalogue::CATALOGUE[slot].name).or_default().push(slot);
        }
        let names = labels.iter().flatten().map(|(name, _)| *name).collect();
        let series = slots.map(|slot| target::series(key, slot)).collect();
        Expected { plan, target, pod, series, labels, by_name, names }
    }

    /// Adds to `report` what the rows are, of which `due` says which must be there.
    pub(crate) fn compare(
        &self,
        rows: &[Row],
        scrapes: Range<u32>,
        tolerance: f64,
        due: &dyn Fn(usize, u32) -> Due,
        report: &mut VerifyReport,
    ) {
        let width = scrapes.len();
        let mut seen = vec![false; width * self.series.len()];
        for row in rows {
            let Some(slot) = self.slot(&row.metric) else {
                report.extra += row.values.len() as u64;
                report.example(|| format!("extra: series {:?} was never sent", row.metric));
                continue;
            };
            for (seconds, value) in &row.values {
                let t_ms = (seconds * 1_000.0).round() as i64;
                let scrape = self.scrape(t_ms, &scrapes).filter(|&scrape| due(slot, scrape) != Due::No);
                let first = scrape.filter(|&scrape| {
                    let mark = &mut seen[slot * width + (scrape - scrapes.start) as usize];
                    !std::mem::replace(mark, true)
                });
                let Some(scrape) = first else {
                    report.extra += 1;
                    report.example(|| format!("extra: {:?} at {t_ms} ms: {value}", row.metric));
                    continue;
                };
                let wanted = self.series[slot].at(self.pod.age(scrape));
                if !is_same(value, wanted, tolerance) {
                    report.wrong += 1;
                    report.example(|| format!("wrong: {:?} at {t_ms} ms: {value}, not {wanted}", row.metric));
                }
            }
        }
        for slot in 0..self.series.len() {
            for scrape in scrapes.clone() {
                let seen = seen[slot * width + (scrape - scrapes.start) as usize];
                self.count(slot, scrape, seen, due(slot, scrape), report);
            }
        }
    }

    fn count(&self, slot: usize, scrape: u32, seen: bool, due: Due, report: &mut VerifyReport) {
        if due == Due::Yes {
            report.acknowledged += 1;
            report.found += u64::from(seen);
            report.lost += u64::from(!seen);
            if !seen {
                let t_ms = self.plan.time_ms(self.target, scrape);
                report.example(|| format!("lost: {:?} at {t_ms} ms", self.labels[slot]));
            }
        } else {
            report.unanswered += u64::from(seen);
        }
    }

    fn scrape(&self, t_ms: i64, scrapes: &Range<u32>) -> Option<u32> {
        let since = t_ms - self.plan.time_ms(self.target, 0);
        let scrape = u32::try_from(since.div_euclid(self.plan.interval_ms)).ok()?;
        (since.rem_euclid(self.plan.interval_ms) == 0 && scrapes.contains(&scrape)).then_some(scrape)
    }

    /// The one slot with these labels, whatever the server adds.
    fn slot(&self, metric: &BTreeMap<String, String>) -> Option<usize> {
        let ours = metric.keys().filter(|name| self.names.contains(name.as_str())).count();
        let is = |slot: &&usize| {
            let labels = &self.labels[**slot];
            let has = |(name, value): &Label| metric.get(*name).is_some_and(|found| found == value.as_ref());
            labels.len() == ours && labels.iter().all(has)
        };
        self.by_name.get(metric.get("__name__")?.as_str())?.iter().find(is).copied()
    }
}

pub(crate) fn is_same(text: &str, wanted: f64, tolerance: f64) -> bool {
    text.parse::<f64>().is_ok_and(|found| {
        found.to_bits() == wanted.to_bits()
            || tolerance > 0.0 && (found - wanted).abs() <= tolerance * wanted.abs()
    })
}

//! `info()`: labels of info metrics (`target_info` and its kin) laid beside those of the series they
//! describe, found by `instance` and `job`.
//!
//! Which info series are needed is only known once the described ones are, so this task selects on its own.

use super::coarse::Coarse;
use super::flow::Flow;
use super::grid::Grid;
use super::sink::{SameLabels, SinkSpec};
use super::source::{Read, Source, What};
use super::table::{Cell, StepSeries, is_absent, same_labels_error};
use super::window::Place;
use super::{Context, Output, SlotId, Slots};
use crate::plan::aspect::Aspect;
use crate::plan::resolution::Resolution;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Error, Labels, LabelsBuilder, MatchKind, Matcher, Result, TimeRange};
use nilometer_storage::{Hints, Queryable, Select};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(crate) struct Info {
    pub(crate) base: SlotId,
    /// Where the described series are looked for is where the info series are, too.
    pub(crate) place: Place,
    /// The matchers of the second argument; `None` if there is none.
    pub(crate) matchers: Option<Vec<Matcher>>,
    pub(crate) grid: Grid,
}

impl Info {
    pub(crate) async fn run(
        self,
        queryable: &dyn Queryable,
        slots: &mut Slots,
        cx: &mut Context,
    ) -> Result<Output> {
        let base = slots.take_vector(self.base)?;
        let names = self.name_matchers()?;
        let is_info: Vec<bool> =
            base.iter().map(|s| names.iter().all(|m| m.matches(s.labels.metric_name()))).collect();
        let info = match self.select(&base, &is_info, &names, cx.options.resolution)? {
            Some(select) => self.fetch(select, queryable, slots, cx).await?,
            None => Vec::new(),
        };
        Ok(Output::Vector(self.combine(&base, &is_info, &info)?))
    }

    /// What the names of info metrics must match.
    fn name_matchers(&self) -> Result<Vec<Matcher>> {
        let Some(matchers) = &self.matchers else {
            return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
        };
        let mut names: Vec<Matcher> = matchers.iter().filter(|m| &*m.name == METRIC_NAME).cloned().collect();
        if names.is_empty() {
            return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
        }
        if !names.iter().any(|m| matches!(m.kind, MatchKind::Equal | MatchKind::Regex)) {
            names.insert(0, Matcher::new(MatchKind::Regex, METRIC_NAME, ".+_info")?);
        }
        Ok(names)
    }

    fn data_matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.matchers.iter().flatten().filter(|m| &*m.name != METRIC_NAME)
    }

    fn select(
        &self,
        base: &[StepSeries],
        is_info: &[bool],
        names: &[Matcher],
        resolution: Resolution,
    ) -> Result<Option<Select>> {
        let mut matchers: Vec<Matcher> = Vec::new();
        for label in IDENTIFYING {
            let described = base.iter().zip(is_info).filter(|(_, is_info)| !**is_info);
            let values: BTreeSet<&str> =
                described.map(|(s, _)| s.labels.get(label)).filter(|v| !v.is_empty()).collect();
            if !values.is_empty() {
                let any: Vec<String> = values.into_iter().map(quote_meta).collect();
                matchers.push(Matcher::new(MatchKind::Regex, label, &any.join("|"))?);
            }
        }
        if matchers.is_empty() {
            return Ok(None);
        }
        matchers.extend(self.data_matchers().cloned());
        matchers.extend(names.iter().cloned());
        let step_ms = if self.grid.len > 1 { self.grid.step_ms } else { 0 };
        Ok(Some(Select {
            matchers: matchers.into(),
            range: TimeRange::ALL,
            hints: Hints {
                func: Some("info"),
                step_ms: self.grid.step_ms,
                max_resolution_ms: resolution.allowed_ms(None, 0, step_ms),
                coarser_in_gaps: resolution == Resolution::Auto,
                aggregates: Some(Aspect::Average.aggregates()),
                ..Hints::default()
            },
        }))
    }

    /// The info series, with the time of the sample that each step sees as value.
    async fn fetch(
        &self,
        mut select: Select,
        queryable: &dyn Queryable,
        slots: &mut Slots,
        cx: &mut Context,
    ) -> Result<Vec<StepSeries>> {
        let span = self.place.span(self.grid);
        let min_ms = span.min_ms.saturating_sub(cx.options.lookback_ms).saturating_add(1);
        select.range = TimeRange::new(min_ms, span.max_ms);
        let read = Read::Newest { place: self.place, what: What::TimestampMs };
        let coarse = Coarse::of(Aspect::Average, &select.hints);
        let source = Source::Select { select, read, coarse, stats_only: false, grid: self.grid };
        let flow =
            Flow { source, stages: Vec::new(), sink: SinkSpec::Collect(SameLabels::Leave), grid: self.grid };
        match flow.run(queryable, slots, cx).await? {
            Output::Vector(series) => Ok(series),
            _ => Ok(Vec::new()),
        }
    }

    fn combine(&self, base: &[StepSeries], is_info: &[bool], info: &[StepSeries]) -> Result<Vec<StepSeries>> {
        let mut by_key: BTreeMap<(&str, [&str; 2]), Vec<usize>> = BTreeMap::new();
        for (at, series) in info.iter().enumerate() {
            let key = (series.labels.metric_name(), IDENTIFYING.map(|l| series.labels.get(l)));
            by_key.entry(key).or_default().push(at);
        }
        let names: BTreeSet<&str> = by_key.keys().map(|(name, _)| *name).collect();
        let may_be_bare = self.data_matchers().all(Matcher::matches_empty);
        let (mut out, mut found): (Vec<StepSeries>, HashMap<Labels, usize>) = (Vec::new(), HashMap::new());
        for step in 0..self.grid.len {
            for (series, is_info) in base.iter().zip(is_info) {
                let cell = series.cell(step);
                if matches!(cell, Cell::None) {
                    continue;
                }
                let labels = if *is_info {
                    series.labels.clone()
                } else {
                    let id = IDENTIFYING.map(|l| series.labels.get(l));
                    let candidates = names.iter().filter_map(|name| by_key.get(&(*name, id)));
                    let mut newest = Vec::new();
                    for of_name in candidates {
                        newest.extend(newest_at(info, of_name, step)?);
                    }
                    if newest.is_empty() && !may_be_bare {
                        continue;
                    }
                    self.enriched(&series.labels, &newest)?
                };
                let next = out.len();
                let at = *found.entry(labels.clone()).or_insert(next);
                if at == next {
                    let mut one = StepSeries::new(labels, self.grid.len);
                    one.drop_name = series.drop_name;
                    out.push(one);
                }
                if out[at].is_present(step) {
                    return Err(same_labels_error());
                }
                out[at].set(step, cell);
            }
        }
        Ok(out)
    }

    fn enriched(&self, base: &Labels, info: &[&Labels]) -> Result<Labels> {
        let wanted: BTreeSet<&str> = self.data_matchers().map(|m| &*m.name).collect();
        let mut added = LabelsBuilder::default();
        for (name, value) in info.iter().flat_map(|l| l.iter()) {
            if name == METRIC_NAME || !wanted.is_empty() && !wanted.contains(name) {
                continue;
            }
            if !matches!(added.get(name), "") && added.get(name) != value {
                return Err(Error::invalid(format!("conflicting label: {name}")));
            }
            if !base.has(name) {
                added.set(name, value);
            }
        }
        Ok(base.merged_with(&added.build()))
    }
}

/// Of the info series of one name and identity, the one whose sample is newest at the step.
fn newest_at<'a>(info: &'a [StepSeries], candidates: &[usize], step: usize) -> Result<Option<&'a Labels>> {
    let mut best: Option<(&StepSeries, f64)> = None;
    for series in candidates.iter().map(|at| &info[*at]) {
        let t = series.floats[step];
        match best {
            _ if is_absent(t) => {}
            Some((_, newest)) if newest > t => {}
            Some((other, newest)) if newest == t => {
                return Err(Error::invalid(format!(
                    "found duplicate series for info metric: existing {} @ {newest}, new {} @ {t}",
                    other.labels, series.labels
                )));
            }
            _ => best = Some((series, t)),
        }
    }
    Ok(best.map(|(series, _)| &series.labels))
}

/// As a regular expression that matches just this text.
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

//! Aggregations: many series to one of each group.

pub(crate) mod count_values;
pub(crate) mod fold;
mod histograms;
pub(crate) mod quantile;
pub(crate) mod select;

use crate::exec::table::{METADATA, StepSeries, is_metadata};
use nilometer_model::Labels;
use nilometer_model::labels::METRIC_NAME;
use nilometer_storage::Projection;
use std::collections::HashMap;

/// By which labels series fall together.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// Sorted.
    pub(crate) labels: Vec<String>,
    pub(crate) without: bool,
    /// Groups are put in the order of their labels, since series come in none; else they stand as they were met.
    pub(crate) sorts: bool,
}

impl Grouping {
    fn has(&self, name: &str) -> bool {
        self.labels.binary_search_by(|l| l.as_str().cmp(name)).is_ok()
    }

    /// To be called at the end.
    pub(crate) fn sort(&self, groups: &mut [StepSeries]) {
        if self.sorts {
            groups.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
    }

    /// The labels that tell the group, and with `metadata` those that say which metric it is.
    pub(crate) fn projection(&self, metadata: bool) -> Projection {
        let mut names = self.labels.clone();
        if self.without {
            names.retain(|name| !metadata || !is_metadata(name));
            names.extend((!metadata).then(|| METRIC_NAME.to_owned()));
            return Projection::AllBut(names.into());
        }
        if metadata {
            names.extend(METADATA.map(str::to_owned));
        }
        Projection::Only(names.into())
    }

    fn keeps(&self, name: &str) -> bool {
        if self.without { name != METRIC_NAME && !self.has(name) } else { self.has(name) }
    }

    /// The labels of the group that a series belongs to.
    pub(crate) fn labels_of(&self, labels: &Labels) -> Labels {
        if !self.without && self.labels.is_empty() {
            return Labels::empty();
        }
        labels.filter(|name| self.keeps(name))
    }
}

/// The groups met so far, in that order.
pub(crate) struct Groups {
    grouping: Grouping,
    indexes: HashMap<Labels, usize>,
    /// Group labels, and whether the name goes at the end.
    groups: Vec<(Labels, bool)>,
}

impl Groups {
    pub(crate) fn new(grouping: Grouping) -> Self {
        Groups { grouping, indexes: HashMap::new(), groups: Vec::new() }
    }

    /// The group of a series.
    pub(crate) fn of(&mut self, series: &StepSeries) -> usize {
        let labels = self.grouping.labels_of(&series.labels);
        let next = self.groups.len();
        let at = *self.indexes.entry(labels.clone()).or_insert(next);
        if at == next {
            self.groups.push((labels, false));
        }
        self.groups[at].1 |= series.drop_name;
        at
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// A series of each group, without values.
    pub(crate) fn into_series(self, steps: usize) -> Vec<StepSeries> {
        let series = self.groups.into_iter().map(|(labels, drop_name)| {
            let mut series = StepSeries::new(labels, steps);
            series.drop_name = drop_name;
            series
        });
        series.collect()
    }
}

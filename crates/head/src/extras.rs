//! What is kept beside samples, bounded per tenant: exemplars and metadata. Not in blocks.

use nilometer_model::{Exemplar, Labels, Matcher, Metadata, TimeRange};
use std::collections::{BTreeMap, VecDeque};

const MAX_EXEMPLARS: usize = 100_000;
const MAX_EXEMPLAR_BYTES: usize = 16 << 20;
const MAX_FAMILIES: usize = 10_000;
const MAX_METADATA_BYTES: usize = 16 << 20;

/// Prometheus' bound on the label text of one exemplar, in characters.
pub(crate) const MAX_EXEMPLAR_LABEL_CHARS: usize = 128;

#[derive(Default)]
pub(crate) struct Extras {
    /// Oldest first over all series: the first to leave.
    exemplars: VecDeque<(Labels, Exemplar)>,
    exemplar_bytes: usize,
    metadata: BTreeMap<String, Metadata>,
    metadata_bytes: usize,
}

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    New,
    Same,
    OutOfOrder,
}

impl Extras {
    /// Takes an exemplar of a series unless it is older than the series' newest one; the oldest of all leave
    /// when there is no room.
    pub(crate) fn add_exemplar(&mut self, series: &Labels, exemplar: Exemplar) -> Kept {
        if let Some((_, last)) = self.exemplars.iter().rev().find(|(labels, _)| labels == series) {
            if *last == exemplar {
                return Kept::Same;
            }
            if exemplar.t_ms < last.t_ms {
                return Kept::OutOfOrder;
            }
        }
        self.exemplar_bytes += bytes_of(series, &exemplar);
        self.exemplars.push_back((series.clone(), exemplar));
        while self.exemplars.len() > MAX_EXEMPLARS || self.exemplar_bytes > MAX_EXEMPLAR_BYTES {
            let Some((labels, oldest)) = self.exemplars.pop_front() else { break };
            self.exemplar_bytes -= bytes_of(&labels, &oldest);
        }
        Kept::New
    }

    /// By series, the exemplars in a range of those that any matcher set selects.
    pub(crate) fn exemplars(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> BTreeMap<Labels, Vec<Exemplar>> {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for (labels, exemplar) in &self.exemplars {
            let wanted = sets.iter().any(|set| set.iter().all(|m| m.matches_labels(labels)));
            if wanted && range.contains(exemplar.t_ms) {
                found.entry(labels.clone()).or_default().push(exemplar.clone());
            }
        }
        found
    }

    pub(crate) fn all_exemplars(&self) -> impl Iterator<Item = &(Labels, Exemplar)> {
        self.exemplars.iter()
    }

    /// Whether anything changed. A family beyond the bound is not kept.
    pub(crate) fn set_metadata(&mut self, family: &str, metadata: Metadata) -> bool {
        if self.metadata.get(family) == Some(&metadata) {
            return false;
        }
        let bytes = family.len() + metadata.help.len() + metadata.unit.len();
        let full = self.metadata.len() >= MAX_FAMILIES || self.metadata_bytes + bytes > MAX_METADATA_BYTES;
        if full && !self.metadata.contains_key(family) {
            return false;
        }
        self.metadata_bytes += bytes;
        if let Some(old) = self.metadata.insert(family.to_owned(), metadata) {
            self.metadata_bytes -= family.len() + old.help.len() + old.unit.len();
        }
        true
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.exemplar_bytes + self.metadata_bytes
    }
}

fn bytes_of(series: &Labels, exemplar: &Exemplar) -> usize {
    series.as_bytes().len() + exemplar.labels.as_bytes().len() + size_of::<(Labels, Exemplar)>()
}

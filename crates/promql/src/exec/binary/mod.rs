//! Operators between two vectors: series find each other by their labels.

pub(crate) mod arithmetic;
pub(crate) mod join;
pub(crate) mod set;

use crate::ast::VectorMatching;
use crate::exec::Context;
use crate::exec::grid::Grid;
use crate::exec::table::{StepSeries, join_same_labels};
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Labels, Result};
use std::collections::HashMap;

/// Numbers for the values of the labels that are compared, the same numbers on both sides. Computed once for
/// each series, not for each step.
pub(crate) struct Signatures {
    pub(crate) lhs: Vec<usize>,
    pub(crate) rhs: Vec<usize>,
    pub(crate) count: usize,
}

impl Signatures {
    pub(crate) fn new(matching: &VectorMatching, lhs: &[StepSeries], rhs: &[StepSeries]) -> Self {
        let mut found: HashMap<Vec<u8>, usize> = HashMap::with_capacity(lhs.len());
        let mut bytes = Vec::new();
        let mut number = |series: &StepSeries| {
            bytes.clear();
            for (name, value) in series.labels.iter().filter(|(name, _)| compares(matching, name)) {
                for part in [name, value] {
                    bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(part.as_bytes());
                }
            }
            if let Some(number) = found.get(&bytes) {
                return *number;
            }
            let next = found.len();
            found.insert(bytes.clone(), next);
            next
        };
        let lhs: Vec<usize> = lhs.iter().map(&mut number).collect();
        let rhs: Vec<usize> = rhs.iter().map(&mut number).collect();
        Signatures { lhs, rhs, count: found.len() }
    }
}

fn compares(matching: &VectorMatching, name: &str) -> bool {
    let named = matching.labels.iter().any(|l| l == name);
    if matching.on { named } else { !named && name != METRIC_NAME }
}

/// The labels by which a series is matched.
fn matched_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    labels.filter(|name| compares(matching, name))
}

/// The end of every operator between vectors: series that became the same are joined. An instant query with
/// delayed name removal leaves that to the end.
fn without_same_labels(series: Vec<StepSeries>, grid: Grid, cx: &Context) -> Result<Vec<StepSeries>> {
    if grid.len == 1 && cx.options.delayed_name_removal { Ok(series) } else { join_same_labels(series) }
}

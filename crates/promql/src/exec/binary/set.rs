//! `and`, `or`, `unless`.

use super::{Signatures, without_same_labels};
use crate::ast::{BinaryOp, VectorMatching};
use crate::exec::grid::Grid;
use crate::exec::table::{ABSENT, StepSeries};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use nilometer_model::Result;

pub(crate) struct SetBinary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: SlotId,
    pub(crate) rhs: SlotId,
    pub(crate) matching: VectorMatching,
    pub(crate) grid: Grid,
}

impl Operator for SetBinary {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output> {
        let (mut lhs, mut rhs) = (slots.take_vector(self.lhs)?, slots.take_vector(self.rhs)?);
        let signatures = Signatures::new(&self.matching, &lhs, &rhs);
        let steps = self.grid.len;
        if self.op == BinaryOp::Or {
            let present = Presence::of(&lhs, &signatures.lhs, signatures.count, steps);
            for (series, signature) in rhs.iter_mut().zip(&signatures.rhs) {
                present.keep(series, *signature, false);
            }
            lhs.append(&mut rhs);
        } else {
            let present = Presence::of(&rhs, &signatures.rhs, signatures.count, steps);
            for (series, signature) in lhs.iter_mut().zip(&signatures.lhs) {
                present.keep(series, *signature, self.op == BinaryOp::And);
            }
        }
        lhs.retain(StepSeries::has_any);
        Ok(Output::Vector(without_same_labels(lhs, self.grid, cx)?))
    }
}

/// At which steps each signature is present.
struct Presence(Vec<Option<Vec<bool>>>);

impl Presence {
    fn of(series: &[StepSeries], signatures: &[usize], count: usize, steps: usize) -> Self {
        let mut present: Vec<Option<Vec<bool>>> = vec![None; count];
        for (series, signature) in series.iter().zip(signatures) {
            let column = present[*signature].get_or_insert_with(|| vec![false; steps]);
            for (step, here) in column.iter_mut().enumerate() {
                *here |= series.is_present(step);
            }
        }
        Presence(present)
    }

    /// Keeps the steps at which the signature is present, or those at which it is not.
    fn keep(&self, series: &mut StepSeries, signature: usize, where_present: bool) {
        let column = self.0[signature].as_ref();
        for step in 0..series.floats.len() {
            if column.is_some_and(|c| c[step]) != where_present {
                series.floats[step] = ABSENT;
                if let Some(h) = series.histograms.get_mut(step) {
                    *h = None;
                }
            }
        }
    }
}

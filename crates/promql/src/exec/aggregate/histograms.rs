//! Sums and means of native histograms, beside those of floats. A group that has both at one step has no
//! result there.

use crate::annotations::{Note, Operation};
use crate::ast::{AggregateOp, PosRange};
use crate::exec::Context;
use crate::exec::table::{ABSENT, StepSeries, histogram_samples, is_absent};
use crate::func::over_time::HistogramMean;
use crate::histogram::{self, How, Incompatible, Wide};
use nilometer_model::{CounterReset, FloatHistogram};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Histograms {
    op: AggregateOp,
    pos: PosRange,
    /// By group and step. Rare, hence sparse.
    states: BTreeMap<(usize, usize), State>,
    bytes: usize,
}

struct State {
    sum: Total,
    /// Which hints about counter resets were seen.
    reset: bool,
    not_reset: bool,
    incompatible: bool,
}

enum Total {
    Sum(Box<Wide>),
    Mean(Box<HistogramMean>),
}

impl Histograms {
    pub(super) fn new(op: AggregateOp, pos: PosRange) -> Self {
        Histograms { op, pos, states: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a histogram was there already.
    pub(super) fn has(&self, key: (usize, usize)) -> bool {
        self.states.contains_key(&key)
    }

    /// There is a float already: there will be no result, and what else comes is not looked at.
    pub(super) fn add_behind_float(&mut self, key: (usize, usize)) {
        let sum = Total::Sum(Box::new(Wide::new(&FloatHistogram::default())));
        self.states.insert(key, State { sum, reset: false, not_reset: false, incompatible: true });
    }

    pub(super) fn add(&mut self, key: (usize, usize), h: &FloatHistogram, name: &str, cx: &mut Context) {
        let Some(state) = self.states.get_mut(&key) else {
            let sum = match self.op {
                AggregateOp::Avg => Total::Mean(Box::new(HistogramMean::new(h))),
                _ => Total::Sum(Box::new(Wide::new(h))),
            };
            let mut state = State { sum, reset: false, not_reset: false, incompatible: false };
            state.note_hint(h);
            self.states.insert(key, state);
            self.bytes += histogram_samples(h) * 16 * 2;
            return;
        };
        if state.incompatible {
            return;
        }
        state.note_hint(h);
        let reconciled = match &mut state.sum {
            Total::Sum(sum) => sum.add(h, How::Compensated).map(|done| done.bounds_reconciled),
            Total::Mean(mean) => mean.add(h),
        };
        match reconciled {
            Ok(true) => {
                cx.notes.add(&Note::MismatchedCustomBuckets { during: Operation::Aggregation }, self.pos)
            }
            Ok(false) => {}
            Err(Incompatible) => {
                cx.notes.add(&Note::MixedExponentialCustom { name }, self.pos);
                state.incompatible = true;
            }
        }
    }

    /// Puts the results beside those of floats.
    pub(super) fn finish(self, series: &mut [StepSeries], cx: &mut Context) {
        for ((group, step), state) in self.states {
            let out = &mut series[group];
            if !is_absent(out.floats[step]) {
                out.floats[step] = ABSENT;
                cx.notes.add(&Note::MixedFloatsHistogramsInAggregation, self.pos);
                continue;
            }
            if state.incompatible {
                continue;
            }
            if state.reset && state.not_reset {
                cx.notes.add(&Note::CounterResetCollision { during: Operation::Aggregation }, self.pos);
            }
            let mut h = match state.sum {
                Total::Sum(sum) => sum.into_histogram(),
                Total::Mean(mean) => mean.mean(),
            };
            histogram::compact(&mut h);
            out.set_histogram(step, Arc::new(h));
        }
    }
}

impl State {
    fn note_hint(&mut self, h: &FloatHistogram) {
        self.reset |= h.reset == CounterReset::Reset;
        self.not_reset |= h.reset == CounterReset::NotReset;
    }
}

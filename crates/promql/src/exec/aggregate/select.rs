//! Aggregations that pick series of each group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use super::{Grouping, Groups};
use crate::annotations::Note;
use crate::ast::{AggregateOp, PosRange};
use crate::exec::grid::Grid;
use crate::exec::sink::Sink;
use crate::exec::stage::ScalarRef;
use crate::exec::table::{Cell, StepSeries};
use crate::exec::{Context, Held, Output, Slots};
use crate::number::shortest;
use nilometer_model::{Error, Labels, Result};
use std::cmp::Ordering;

pub(crate) struct Spec {
    pub(crate) op: AggregateOp,
    pub(crate) grouping: Grouping,
    pub(crate) param: ScalarRef,
    pub(crate) param_pos: PosRange,
    /// Of the whole aggregation.
    pub(crate) pos: PosRange,
}

impl Spec {
    pub(crate) fn start(mut self, grid: Grid, slots: &mut Slots, _cx: &mut Context) -> Result<Box<dyn Sink>> {
        self.param.resolve(slots)?;
        let groups = Groups::new(self.grouping.clone());
        Ok(Box::new(Select {
            spec: self,
            grid,
            groups,
            series: Vec::new(),
            group_of: Vec::new(),
            held: Held::default(),
        }))
    }
}

struct Select {
    spec: Spec,
    grid: Grid,
    groups: Groups,
    series: Vec<StepSeries>,
    group_of: Vec<usize>,
    held: Held,
}

impl Sink for Select {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()> {
        self.held.grow(series.sample_count(), series.bytes(), cx)?;
        self.group_of.push(self.groups.of(&series));
        self.series.push(series);
        Ok(())
    }

    fn finish(self: Box<Self>, cx: &mut Context) -> Result<Output> {
        self.held.release(cx);
        if !self.check_param(cx)? {
            return Ok(Output::Vector(Vec::new()));
        }
        let mut picked: Vec<StepSeries> = Vec::with_capacity(self.series.len());
        for series in &self.series {
            let mut out = StepSeries::new(series.labels.clone(), self.grid.len);
            out.drop_name = series.drop_name;
            picked.push(out);
        }
        // The order in which an instant query shows what was picked.
        let mut order = Vec::new();
        for step in 0..self.grid.len {
            for at in self.pick(step, cx) {
                picked[at].set(step, self.series[at].cell(step));
                order.push(at);
            }
        }
        if self.grid.len > 1 {
            order.sort_unstable();
            order.dedup();
        }
        let mut picked: Vec<Option<StepSeries>> = picked.into_iter().map(Some).collect();
        Ok(Output::Vector(order.into_iter().filter_map(|at| picked[at].take()).collect()))
    }
}

impl Select {
    /// Whether anything can be picked at all.
    fn check_param(&self, cx: &mut Context) -> Result<bool> {
        let all: Vec<f64> = (0..self.grid.len).map(|step| self.spec.param.at(step)).collect();
        let number = |v: &&f64| !v.is_nan();
        let max = all.iter().filter(number).copied().fold(f64::NEG_INFINITY, f64::max);
        let min = all.iter().filter(number).copied().fold(f64::INFINITY, f64::min);
        let has_nan = all.iter().any(|v| v.is_nan());
        if self.spec.op == AggregateOp::LimitRatio {
            if max == 0.0 && min == 0.0 {
                return Ok(false);
            }
            if has_nan {
                return Err(Error::invalid("Ratio value is NaN"));
            }
            for (ratio, capped_to) in [(max, 1.0), (min, -1.0)] {
                if ratio.abs() > 1.0 && ratio.signum() == capped_to {
                    cx.notes.add(&Note::InvalidRatio { ratio, capped_to }, self.spec.param_pos);
                }
            }
            return Ok(true);
        }
        if max < 1.0 && !has_nan {
            return Ok(false);
        }
        if has_nan {
            return Err(Error::invalid("Parameter value is NaN"));
        }
        if min <= i64::MIN as f64 {
            return Err(Error::invalid(format!("Scalar value {} underflows int64", shortest(min))));
        }
        if max >= i64::MAX as f64 {
            return Err(Error::invalid(format!("Scalar value {} overflows int64", shortest(max))));
        }
        Ok(true)
    }

    /// The series picked at a step, group by group.
    fn pick(&self, step: usize, cx: &mut Context) -> Vec<usize> {
        let param = self.spec.param.at(step);
        let k = (param as i64).clamp(0, self.series.len() as i64) as usize;
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        for (at, series) in self.series.iter().enumerate() {
            let group = &mut groups[self.group_of[at]];
            match (self.spec.op, series.cell(step)) {
                (_, Cell::None) => {}
                (AggregateOp::LimitRatio, _) if in_ratio(param.clamp(-1.0, 1.0), &series.labels) => {
                    group.push(at)
                }
                (AggregateOp::LimitRatio, _) => {}
                (AggregateOp::Limitk, _) if group.len() < k => group.push(at),
                (AggregateOp::Limitk, _) => {}
                (op, Cell::Histogram(_)) if k > 0 => {
                    cx.notes.add(&Note::HistogramIgnored { aggregation: op.as_str() }, self.spec.pos);
                }
                (_, Cell::Float(_)) if k > 0 => group.push(at),
                _ => {}
            }
        }
        if matches!(self.spec.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            for group in &mut groups {
                let value = |at: usize| self.series[at].floats[step];
                *group = best(group, k, self.spec.op == AggregateOp::Topk, value);
            }
        }
        groups.concat()
    }
}

/// The `k` greatest or least, best first; NaN is worse than all. A heap with the worst on top, exactly as
/// Prometheus has it, since it decides who of several equal ones is kept.
fn best(all: &[usize], k: usize, greatest: bool, value: impl Fn(usize) -> f64) -> Vec<usize> {
    let worse = |a: usize, b: usize| {
        let (a, b) = (value(a), value(b));
        a.is_nan() || if greatest { a < b } else { a > b }
    };
    let mut heap: Vec<usize> = Vec::with_capacity(k.min(all.len()));
    for at in all {
        if heap.len() < k {
            heap.push(*at);
            rise(&mut heap, worse);
        } else if let Some(top) = heap.first_mut() {
            let (old, new) = (value(*top), value(*at));
            let better = if greatest { old < new } else { old > new };
            if better || old.is_nan() && !new.is_nan() {
                *top = *at;
                sink(&mut heap, worse);
            }
        }
    }
    heap.sort_by(|a, b| match (value(*a).is_nan(), value(*b).is_nan()) {
        (false, false) if worse(*a, *b) => Ordering::Greater,
        (false, false) if worse(*b, *a) => Ordering::Less,
        (false, false) => Ordering::Equal,
        (a, b) => a.cmp(&b),
    });
    heap
}

/// Moves the last element up to its place.
fn rise(heap: &mut [usize], worse: impl Fn(usize, usize) -> bool) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !worse(heap[at], heap[parent]) {
            return;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Moves the first element down to its place.
fn sink(heap: &mut [usize], worse: impl Fn(usize, usize) -> bool) {
    let mut at = 0;
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if left >= heap.len() {
            return;
        }
        let child = if right < heap.len() && worse(heap[right], heap[left]) { right } else { left };
        if !worse(heap[child], heap[at]) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

/// Whether a series belongs to the share of all that `ratio` names, from below, or from above if negative.
fn in_ratio(ratio: f64, labels: &Labels) -> bool {
    let place = crate::labels_hash::prometheus_hash(labels) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

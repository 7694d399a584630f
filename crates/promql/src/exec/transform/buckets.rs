//! Functions over histograms of both sorts: `histogram_quantile`, `histogram_quantiles`,
//! `histogram_fraction`.

use super::present_at;
use crate::annotations::{Monotonicity, Note};
use crate::ast::PosRange;
use crate::exec::grid::Grid;
use crate::exec::stage::{ScalarRef, drop_name};
use crate::exec::table::{Cell, StepSeries, join_same_labels};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use crate::func::classic::{self, Bucket};
use crate::histogram::quantile;
use crate::number::open_metrics;
use nilometer_model::{FloatHistogram, Labels, Result};
use std::collections::HashMap;

pub(crate) struct OverBuckets {
    pub(crate) input: SlotId,
    pub(crate) func: BucketFunc,
    /// Of the vector: notes point there.
    pub(crate) pos: PosRange,
    pub(crate) grid: Grid,
}

pub(crate) enum BucketFunc {
    Quantile {
        q: ScalarRef,
        pos: PosRange,
    },
    /// The quantile is also a label.
    Quantiles {
        label: String,
        qs: Vec<(ScalarRef, PosRange)>,
    },
    Fraction {
        lower: ScalarRef,
        upper: ScalarRef,
    },
}

/// One number asked of all histograms at one step.
#[derive(Clone, Copy)]
enum Ask {
    Quantile(f64),
    Fraction(f64, f64),
}

impl BucketFunc {
    fn resolve(&self, slots: &mut Slots) -> Result<Self> {
        let of = |scalar: &ScalarRef, slots: &mut Slots| {
            let mut scalar = scalar.clone();
            scalar.resolve(slots).map(|()| scalar)
        };
        Ok(match self {
            BucketFunc::Quantile { q, pos } => BucketFunc::Quantile { q: of(q, slots)?, pos: *pos },
            BucketFunc::Quantiles { label, qs } => {
                let qs = qs.iter().map(|(q, pos)| Ok((of(q, slots)?, *pos))).collect::<Result<_>>()?;
                BucketFunc::Quantiles { label: label.clone(), qs }
            }
            BucketFunc::Fraction { lower, upper } => {
                BucketFunc::Fraction { lower: of(lower, slots)?, upper: of(upper, slots)? }
            }
        })
    }

    /// What is asked at a step, with the label that says it.
    fn asks(&self, step: usize, cx: &mut Context) -> Vec<(Ask, Option<(String, String)>)> {
        let mut check = |q: f64, pos: PosRange| {
            if q.is_nan() || !(0.0..=1.0).contains(&q) {
                cx.notes.add(&Note::InvalidQuantile(q), pos);
            }
            Ask::Quantile(q)
        };
        match self {
            BucketFunc::Quantile { q, pos } => vec![(check(q.at(step), *pos), None)],
            BucketFunc::Quantiles { label, qs } => {
                let ask = |(q, pos): &(ScalarRef, PosRange)| {
                    let q = q.at(step);
                    (check(q, *pos), Some((label.clone(), open_metrics(q))))
                };
                qs.iter().map(ask).collect()
            }
            BucketFunc::Fraction { lower, upper } => {
                vec![(Ask::Fraction(lower.at(step), upper.at(step)), None)]
            }
        }
    }
}

/// What becomes of one input series.
enum Part {
    /// Bucket of a classic histogram: the histogram's number, and the upper bound.
    Bucket { of: usize, upper: f64 },
    /// The bound cannot be read.
    Bad,
}

impl Operator for OverBuckets {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output> {
        let func = self.func.resolve(slots)?;
        let input = slots.take_vector(self.input)?;
        let (parts, classic) = self.parts(&input);
        let by_labels: HashMap<&Labels, usize> = classic.iter().enumerate().map(|(i, s)| (&s.0, i)).collect();
        let mut out = Results { series: Vec::new(), indexes: HashMap::new(), steps: self.grid.len };
        for step in 0..self.grid.len {
            let asks = func.asks(step, cx);
            let mut buckets: Vec<Vec<Bucket>> = vec![Vec::new(); classic.len()];
            let mut native: Vec<(usize, &FloatHistogram)> = Vec::new();
            for (at, cell) in present_at(&input, step) {
                match (cell, &parts[at]) {
                    (Cell::Histogram(h), _) => native.push((at, h)),
                    (Cell::Float(count), Part::Bucket { of, upper }) => {
                        buckets[*of].push(Bucket { upper: *upper, count });
                    }
                    _ => self.note_bad_bound(&input[at], cx),
                }
            }
            // A histogram that is there in both forms is an error of the data.
            native.retain(|(at, _)| match by_labels.get(&input[*at].labels) {
                Some(of) if !buckets[*of].is_empty() => {
                    let name = self.shown_name(&input[*at].labels, cx);
                    cx.notes.add(&Note::MixedClassicNative { name }, self.pos);
                    buckets[*of].clear();
                    false
                }
                _ => true,
            });
            for (ask, label) in &asks {
                for (at, h) in &native {
                    let v = self.ask_native(*ask, h, &input[*at].labels, cx);
                    out.put((*at, label), (&input[*at].labels, input[*at].drop_name), step, v, cx);
                }
                for (of, buckets) in buckets.iter_mut().enumerate().filter(|(_, b)| !b.is_empty()) {
                    let v = self.ask_classic(*ask, buckets, (&classic[of].0, step), cx);
                    out.put((input.len() + of, label), (&classic[of].0, classic[of].1), step, v, cx);
                }
            }
        }
        let mut series = out.series;
        series.retain(StepSeries::has_any);
        let leave = self.grid.len == 1 && cx.options.delayed_name_removal;
        Ok(Output::Vector(if leave { series } else { join_same_labels(series)? }))
    }
}

type Classic = Vec<(Labels, bool)>;

impl OverBuckets {
    /// Which series is a bucket of which classic histogram; and those histograms.
    fn parts(&self, input: &[StepSeries]) -> (Vec<Part>, Classic) {
        let (mut classic, mut numbers) = (Classic::new(), HashMap::new());
        let part = |series: &StepSeries| {
            let Some(upper) = parse_bound(series.labels.get("le")) else { return Part::Bad };
            let labels = series.labels.without("le");
            let of = *numbers.entry(labels.clone()).or_insert_with(|| {
                classic.push((labels, series.drop_name));
                classic.len() - 1
            });
            Part::Bucket { of, upper }
        };
        let parts = input.iter().map(part).collect();
        (parts, classic)
    }

    /// The name in notes: only where it would not have gone yet.
    fn shown_name<'a>(&self, labels: &'a Labels, cx: &Context) -> &'a str {
        if cx.options.delayed_name_removal { labels.metric_name() } else { "" }
    }

    fn note_bad_bound(&self, series: &StepSeries, cx: &mut Context) {
        let name = self.shown_name(&series.labels, cx);
        cx.notes.add(&Note::BadBucketLabel { name, label: series.labels.get("le") }, self.pos);
    }

    fn ask_native(&self, ask: Ask, h: &FloatHistogram, labels: &Labels, cx: &mut Context) -> f64 {
        let name = self.shown_name(labels, cx);
        let (v, note) = match ask {
            Ask::Quantile(q) => quantile::quantile(q, h, name),
            Ask::Fraction(lower, upper) => quantile::fraction((lower, upper), h, name),
        };
        if let Some(note) = note {
            cx.notes.add(&note, self.pos);
        }
        v
    }

    fn ask_classic(
        &self,
        ask: Ask,
        buckets: &mut Vec<Bucket>,
        (labels, step): (&Labels, usize),
        cx: &mut Context,
    ) -> f64 {
        match ask {
            Ask::Fraction(lower, upper) => classic::fraction((lower, upper), buckets),
            Ask::Quantile(q) => {
                let (v, forced) = classic::quantile(q, buckets);
                if let Some(forced) = forced {
                    let note = Note::ForcedMonotonicity(Monotonicity {
                        name: self.shown_name(labels, cx),
                        t_ms: self.grid.time(step),
                        min_bucket: forced.min_bucket,
                        max_bucket: forced.max_bucket,
                        max_diff: forced.max_diff,
                    });
                    cx.notes.add(&note, self.pos);
                }
                v
            }
        }
    }
}

/// As Go reads a float: `+Inf`, hexadecimal and underscores aside.
fn parse_bound(text: &str) -> Option<f64> {
    let bound: f64 = text.parse().ok()?;
    Some(bound)
}

/// Results by what they are of, and which label they carry.
struct Results {
    series: Vec<StepSeries>,
    indexes: HashMap<(usize, Option<String>), usize>,
    steps: usize,
}

impl Results {
    fn put(
        &mut self,
        (of, label): (usize, &Option<(String, String)>),
        (labels, drop): (&Labels, bool),
        step: usize,
        v: f64,
        cx: &mut Context,
    ) {
        let key = (of, label.as_ref().map(|(_, value)| value.clone()));
        let (series, steps) = (&mut self.series, self.steps);
        let at = *self.indexes.entry(key).or_insert_with(|| {
            let mut out = StepSeries::new(labels.clone(), steps);
            out.drop_name = drop;
            drop_name(&mut out, cx);
            if let Some((name, value)) = label {
                let mut labels = out.labels.to_builder();
                labels.set(name, value);
                out.labels = labels.build();
            }
            series.push(out);
            series.len() - 1
        });
        self.series[at].floats[step] = v;
    }
}

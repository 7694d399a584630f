//! Operators: what a plan is computed with.
//!
//! A [`Program`] is a list of tasks, each writing one slot that a later task reads, so evaluation is a loop
//! and its stack does not grow with the query. There are two sorts of tasks:
//!
//! - A [`flow`]: series come from storage (or a slot) one by one, are decoded once, pass the stages of the
//!   flow (range function, arithmetic, …) and end in a sink that collects or aggregates them. Only what the
//!   sink keeps is in memory. Stages look at one series only, so that series can be split over cores; sinks
//!   take them in order.
//! - An [`Operator`]: what needs all of its input, such as joining two vectors.
//!
//! Only flows wait, and only between the batches of storage.

pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod build;
pub(crate) mod coarse;
mod decode;
pub(crate) mod flow;
pub(crate) mod grid;
pub(crate) mod info;
pub(crate) mod matrix;
pub(crate) mod pipeline;
pub(crate) mod range;
pub(crate) mod result;
pub(crate) mod samples;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod table;
pub(crate) mod tally;
pub(crate) mod transform;
pub(crate) mod window;

#[cfg(test)]
mod tests;

use crate::annotations::Annotations;
use crate::budget::Budget;
use crate::explain::{Stopwatch, TaskProfile};
use crate::plan::resolution::Resolution;
use crate::value::StepSamples;
use nilometer_env::CpuPool;
use nilometer_model::{Error, Result};
use nilometer_storage::Queryable;
use std::sync::Arc;
use std::time::Duration;
use table::{Scalars, StepSeries};
use tally::{ScopeId, Scopes, Tally};

/// What a task leaves behind.
#[derive(Debug)]
pub(crate) enum Output {
    Vector(Vec<StepSeries>),
    Scalar(Scalars),
    Matrix(Vec<crate::value::MatrixSeries>),
    String(Vec<u8>),
}

/// Where a task's output lies. Each is read by one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(usize);

/// A computation over whole vectors.
pub(crate) trait Operator: Send + Sync {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output>;

    /// For whoever looks where the time went.
    fn name(&self) -> &'static str {
        let whole = std::any::type_name::<Self>();
        whole.rsplit("::").next().unwrap_or(whole)
    }
}

pub(crate) enum Task {
    Flow(flow::Flow),
    Info(info::Info),
    Matrix(matrix::MatrixScan),
    Op(Box<dyn Operator>),
}

impl Task {
    fn name(&self) -> String {
        match self {
            Task::Flow(flow) => flow.name(),
            Task::Info(_) => "Info".to_owned(),
            Task::Matrix(_) => "MatrixScan".to_owned(),
            Task::Op(op) => op.name().to_owned(),
        }
    }
}

/// Everything an evaluation carries along.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) notes: Annotations,
    pub(crate) budget: Budget,
    /// Samples that the task at hand looked at.
    pub(crate) tally: Tally,
    /// Series that selectors found.
    pub(crate) series: u64,
    /// A series lost a type or a unit together with its name.
    pub(crate) lost_types: bool,
    /// What measures tasks, and what it measured.
    pub(crate) profile: Option<(Stopwatch, Vec<TaskProfile>)>,
    /// Other threads that may help.
    pub(crate) pool: Option<Arc<dyn CpuPool>>,
}

impl Context {
    /// That of a part which is computed on its own, to be added when its turn comes.
    fn of_part(options: Options, budget: Budget, tally: Tally) -> Context {
        let notes = Annotations::default();
        Context { options, notes, budget, tally, series: 0, lost_types: false, profile: None, pool: None }
    }

    fn add_part(&mut self, part: Context) -> Result<()> {
        self.notes.extend(part.notes);
        self.lost_types |= part.lost_types;
        self.tally.add(&part.tally);
        self.series += part.series;
        self.budget.check(part.budget.peak_samples, part.budget.peak_bytes)
    }

    /// When and with what a task begins, where that is wanted.
    fn begin(&self, task: &Task) -> Option<(String, Duration)> {
        let (watch, _) = self.profile.as_ref()?;
        Some((task.name(), watch()))
    }

    fn end(&mut self, begun: Option<(String, Duration)>) {
        let (held_samples, held_bytes) = self.budget.held();
        let (Some((watch, tasks)), Some((name, began))) = (&mut self.profile, begun) else { return };
        tasks.push(TaskProfile {
            name,
            took: watch().saturating_sub(began),
            total_samples: self.tally.looked_at,
            held_samples: held_samples as u64,
            held_bytes: held_bytes as u64,
        });
    }
}

/// What changes results, from the engine's options and the query's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) lookback_ms: i64,
    pub(crate) resolution: Resolution,
    pub(crate) delayed_name_removal: bool,
    pub(crate) type_and_unit_labels: bool,
    /// Series of one name may differ in type or unit, which go with the name. Where they do not, no two become the
    /// same, and nobody has to look.
    pub(crate) typed: bool,
    pub(crate) start_timestamps: bool,
}

/// The outputs that are still to be read.
#[derive(Default)]
pub(crate) struct Slots {
    outputs: Vec<Option<(Output, Held)>>,
    /// Read, but still in use by the task that runs.
    in_use: Held,
}

/// What something holds, counted in the budget.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    samples: usize,
    bytes: usize,
}

impl Held {
    pub(crate) fn grow(&mut self, samples: usize, bytes: usize, cx: &mut Context) -> Result<()> {
        self.samples += samples;
        self.bytes += bytes;
        cx.budget.take(samples, bytes)
    }

    /// Whoever takes it over counts it again.
    pub(crate) fn release(self, cx: &mut Context) {
        cx.budget.release(self.samples, self.bytes);
    }
}

impl Slots {
    pub(crate) fn take_vector(&mut self, id: SlotId) -> Result<Vec<StepSeries>> {
        match self.take(id) {
            Some(Output::Vector(series)) => Ok(series),
            _ => Err(bug("a vector")),
        }
    }

    pub(crate) fn take_scalar(&mut self, id: SlotId) -> Result<Scalars> {
        match self.take(id) {
            Some(Output::Scalar(scalars)) => Ok(scalars),
            _ => Err(bug("a scalar")),
        }
    }

    pub(crate) fn take(&mut self, id: SlotId) -> Option<Output> {
        let (output, held) = self.outputs.get_mut(id.0)?.take()?;
        self.in_use.samples += held.samples;
        self.in_use.bytes += held.bytes;
        Some(output)
    }

    fn put(&mut self, output: Output, cx: &mut Context) -> Result<()> {
        let held = match &output {
            Output::Vector(series) => Held {
                samples: series.iter().map(StepSeries::sample_count).sum(),
                bytes: series.iter().map(StepSeries::bytes).sum(),
            },
            _ => Held::default(),
        };
        cx.budget.take(held.samples, held.bytes)?;
        cx.budget.release(self.in_use.samples, self.in_use.bytes);
        self.in_use = Held::default();
        self.outputs.push(Some((output, held)));
        Ok(())
    }
}

fn bug(wanted: &str) -> Error {
    Error::invalid(format!("the query's plan is wrong: {wanted} is missing; please report this query"))
}

/// The tasks of a query, in an order in which each finds its inputs.
pub(crate) struct Program {
    tasks: Vec<(Task, ScopeId)>,
    root: SlotId,
    scopes: Scopes,
}

impl Program {
    /// Computes the answer, and counts the samples of all steps.
    pub(crate) async fn run(
        mut self,
        queryable: Arc<dyn Queryable>,
        cx: &mut Context,
    ) -> Result<(Output, Option<StepSamples>)> {
        let mut slots = Slots::default();
        // Held until the answer is written, so never released.
        cx.budget.take(0, self.scopes.bytes())?;
        for (task, scope) in self.tasks {
            cx.budget.check_interrupt()?;
            cx.tally = self.scopes.tally(scope).emptied();
            cx.budget.check(0, cx.tally.bytes())?;
            let begun = cx.begin(&task);
            let output = match task {
                Task::Flow(flow) => flow.run(&*queryable, &mut slots, cx).await?,
                Task::Info(info) => info.run(&*queryable, &mut slots, cx).await?,
                Task::Matrix(scan) => scan.run(&*queryable, cx).await?,
                Task::Op(op) => op.run(&mut slots, cx)?,
            };
            slots.put(output, cx)?;
            cx.end(begun);
            self.scopes.tally(scope).add(&cx.tally);
        }
        let (whole, grid) = self.scopes.whole();
        cx.tally = whole;
        let output = slots.take(self.root).ok_or_else(|| bug("the result"))?;
        let steps = cx.tally.steps.take();
        Ok((output, steps.map(|steps| steps.with_times(grid))))
    }
}

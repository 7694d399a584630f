//! The engine: queries in, answers out.

use crate::annotations::{Annotations, Level};
use crate::ast::{Expr, ValueType};
use crate::budget::{Budget, Interrupt, Limits};
use crate::exec::grid::Grid;
use crate::exec::tally::Tally;
use crate::exec::{Context, Options, build, result};
use crate::explain::{PlanNode, Stopwatch, explain};
use crate::parse::{ParseOptions, parse_expr};
use crate::plan::Node;
use crate::plan::lower::{Times, lower};
use crate::plan::resolution::Resolution;
use crate::plan::{aspect, fold, hints, invariant, stats};
use crate::value::{QueryResult, QueryStats, Value};
use nilometer_env::CpuPool;
use nilometer_model::{Error, Result};
use nilometer_storage::Queryable;
use std::sync::Arc;

/// How an engine answers. The defaults are Prometheus'.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How old the newest sample of a series may be to count at a step.
    pub lookback_ms: i64,
    /// The step of subqueries that name none: Prometheus' global evaluation interval.
    pub subquery_step_ms: i64,
    pub limits: Limits,
    /// Experimental parts of the language.
    pub parse: ParseOptions,
    /// `promql-delayed-name-removal`: metric names are taken off at the end of the query only.
    pub delayed_name_removal: bool,
    /// `type-and-unit-labels`: `__type__` tells what a counter is.
    pub type_and_unit_labels: bool,
    /// `use-start-timestamps`: counters begin where their samples say so.
    pub start_timestamps: bool,
    /// `promql-per-step-stats`: samples are counted for each step where a query asks for it.
    pub per_step_stats: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            lookback_ms: 5 * 60_000,
            subquery_step_ms: 60_000,
            limits: Limits::default(),
            parse: ParseOptions::default(),
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            per_step_stats: false,
        }
    }
}

/// Evaluates queries. Holds no state but its options, so that one serves all.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
}

/// What a query is asked of, and until when.
#[derive(Clone)]
pub struct Source {
    pub queryable: Arc<dyn Queryable>,
    /// Instead of the engine's.
    pub lookback_ms: Option<i64>,
    /// Which downsampled samples may be looked at.
    pub resolution: Resolution,
    /// Ends the query; dropping its future does so too.
    pub interrupt: Option<Arc<dyn Interrupt>>,
    /// Measures each task, where that is wanted.
    pub stopwatch: Option<Stopwatch>,
    /// Counts samples for each step, where the engine does that.
    pub per_step_stats: bool,
    /// Other threads that may help. Results do not depend on them.
    pub pool: Option<Arc<dyn CpuPool>>,
}

impl Source {
    pub fn new(queryable: Arc<dyn Queryable>) -> Self {
        Source {
            queryable,
            lookback_ms: None,
            resolution: Resolution::RAW,
            interrupt: None,
            stopwatch: None,
            per_step_stats: false,
            pool: None,
        }
    }
}

/// The times of a range query, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        Engine { options }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub fn parse(&self, query: &str) -> Result<Expr> {
        Ok(parse_expr(query, self.options.parse)?)
    }

    /// The value of `query` at one time.
    ///
    /// # Errors
    /// `Invalid` where the query is wrong or its result contradicts itself, `Limit` and `Canceled` where it
    /// was ended, else what storage said.
    pub async fn instant(&self, source: &Source, query: &str, t_ms: i64) -> Result<QueryResult> {
        let expr = self.parse(query)?;
        self.instant_expr(source, (query, &expr), t_ms).await
    }

    /// As [`instant`](Engine::instant), with the text parsed already.
    pub async fn instant_expr(
        &self,
        source: &Source,
        (query, expr): (&str, &Expr),
        t_ms: i64,
    ) -> Result<QueryResult> {
        let times = Times {
            start_ms: t_ms,
            end_ms: t_ms,
            step_ms: 0,
            subquery_step_ms: self.options.subquery_step_ms,
        };
        let of = expr.value_type();
        self.evaluate(source, (query, expr), (times, Grid::single(t_ms)), move |output, cx| {
            result::instant(output, of, t_ms, cx)
        })
        .await
    }

    /// The values of `query` at each step of `range`.
    ///
    /// # Errors
    /// As [`instant`](Engine::instant).
    pub async fn range(&self, source: &Source, query: &str, range: Range) -> Result<QueryResult> {
        let expr = self.parse(query)?;
        self.range_expr(source, (query, &expr), range).await
    }

    /// As [`range`](Engine::range), with the text parsed already.
    pub async fn range_expr(
        &self,
        source: &Source,
        (query, expr): (&str, &Expr),
        range: Range,
    ) -> Result<QueryResult> {
        if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
            return Err(Error::invalid(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.value_type().documented()
            )));
        }
        if range.step_ms <= 0 {
            return Err(Error::invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if range.end_ms < range.start_ms {
            return Err(Error::invalid("end timestamp must not be before start time"));
        }
        let grid = Grid::new(range.start_ms, range.end_ms, range.step_ms);
        let times = Times {
            start_ms: range.start_ms,
            end_ms: range.end_ms,
            step_ms: range.step_ms,
            subquery_step_ms: self.options.subquery_step_ms,
        };
        self.evaluate(source, (query, expr), (times, grid), move |output, cx| result::range(output, grid, cx))
            .await
    }

    /// What would be computed for `range`, or with a step of 0 for its start.
    ///
    /// # Errors
    /// `Invalid` where the query is wrong for these times.
    pub fn explain(&self, expr: &Expr, range: Range) -> Result<PlanNode> {
        let Range { start_ms, end_ms, step_ms } = range;
        let subquery_step_ms = self.options.subquery_step_ms;
        Ok(explain(&plan(expr, Times { start_ms, end_ms, step_ms, subquery_step_ms })?))
    }

    async fn evaluate(
        &self,
        source: &Source,
        (query, expr): (&str, &Expr),
        (times, grid): (Times, Grid),
        answer: impl FnOnce(crate::exec::Output, &Context) -> Result<Value>,
    ) -> Result<QueryResult> {
        let mut cx = self.context(source, self.options.type_and_unit_labels);
        cx.budget.check_steps(grid.len)?;
        let plan = plan(expr, times)?;
        let grid = (grid, self.options.per_step_stats && source.per_step_stats);
        let mut program = build::build(&plan, grid, cx.options, self.options.limits)?;
        let (mut output, mut steps) = program.run(source.queryable.clone(), &mut cx).await?;
        if cx.lost_types && !cx.options.typed {
            // Types are rare where the feature is off: that nothing differs in them alone is taken for granted first.
            cx = self.context(source, true);
            program = build::build(&plan, grid, cx.options, self.options.limits)?;
            (output, steps) = program.run(source.queryable.clone(), &mut cx).await?;
        }
        let value = answer(output, &cx)?;
        let stats = QueryStats {
            total_samples: cx.tally.looked_at,
            samples_read: cx.tally.read,
            peak_samples: cx.budget.peak_samples as u64,
            peak_bytes: cx.budget.peak_bytes as u64,
            series: cx.series,
        };
        Ok(QueryResult {
            value,
            warnings: cx.notes.texts(Level::Warning, query),
            infos: cx.notes.texts(Level::Info, query),
            stats,
            steps,
            profile: cx.profile.map(|(_, tasks)| tasks).unwrap_or_default(),
        })
    }

    fn context(&self, source: &Source, typed: bool) -> Context {
        Context {
            options: Options {
                lookback_ms: source.lookback_ms.unwrap_or(self.options.lookback_ms),
                resolution: source.resolution,
                delayed_name_removal: self.options.delayed_name_removal,
                type_and_unit_labels: self.options.type_and_unit_labels,
                typed,
                start_timestamps: self.options.start_timestamps,
            },
            notes: Annotations::default(),
            budget: Budget::new(self.options.limits, source.interrupt.clone()),
            tally: Tally::default(),
            series: 0,
            lost_types: false,
            profile: source.stopwatch.clone().map(|watch| (watch, Vec::new())),
            pool: source.pool.clone(),
        }
    }
}

fn plan(expr: &Expr, times: Times) -> Result<Node> {
    let mut plan = lower(expr, times)?;
    fold::fold(&mut plan);
    invariant::mark(&mut plan);
    hints::propagate(&mut plan);
    aspect::mark(&mut plan);
    stats::mark(&mut plan);
    Ok(plan)
}

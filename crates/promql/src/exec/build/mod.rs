//! From logical nodes to tasks.
//!
//! A vector is built as an open flow, to which the node above adds a stage or gives an end; only where all
//! series are needed at once is it closed into a slot.

mod calls;
mod scalars;

use super::aggregate::{Grouping, count_values, fold, quantile, select};
use super::binary::join::VectorBinary;
use super::binary::set::SetBinary;
use super::coarse::Coarse;
use super::flow::Flow;
use super::grid::Grid;
use super::matrix::{MatrixScan, SubqueryMatrix};
use super::sink::{SameLabels, SinkSpec};
use super::source::{Read, Source, What};
use super::stage::{ScalarRef, Stage, WithScalar};
use super::table::is_metadata;
use super::tally::{ScopeId, Scopes};
use super::transform::Repeat;
use super::window::RangeSpec;
use super::{Operator, Options, Program, SlotId, Task};
use crate::ast::{AggregateOp, PosRange, RangeMode, ValueType};
use crate::budget::Limits;
use crate::plan::resolution::Resolution;
use crate::plan::{Aggregate, Binary, Kind, Matrix, Node, Selector, Subquery};
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Error, MatchKind, Result, TimeRange};
use nilometer_storage::{Hints, Select};

/// The tasks that compute `node` on `grid`; with `per_step`, samples are counted for each step.
pub(crate) fn build(
    node: &Node,
    (grid, per_step): (Grid, bool),
    options: Options,
    limits: Limits,
) -> Result<Program> {
    let scopes = Scopes::new(grid, per_step);
    let mut builder = Builder { tasks: Vec::new(), scopes, scope: Scopes::WHOLE, options, limits };
    let root = match node.value_type() {
        ValueType::Scalar => match builder.scalar(node, grid)? {
            ScalarRef::Slot(id) => id,
            known => builder.push(Task::Op(Box::new(scalars::Known(known)))),
        },
        ValueType::Vector => {
            let flow = builder.vector(node, grid)?;
            builder.close(flow)
        }
        ValueType::String => builder.push(Task::Op(Box::new(scalars::Text(string(node)?)))),
        ValueType::Matrix => builder.matrix(node, grid)?,
    };
    Ok(Program { tasks: builder.tasks, root, scopes: builder.scopes })
}

struct Builder {
    tasks: Vec<(Task, ScopeId)>,
    scopes: Scopes,
    /// Of what is being built.
    scope: ScopeId,
    options: Options,
    limits: Limits,
}

/// A flow that has no end yet.
struct Open {
    source: Source,
    stages: Vec<Stage>,
    grid: Grid,
    names: Names,
    /// What becomes of series that the stages made the same.
    same_labels: SameLabels,
}

/// What is known of the metric names of a flow's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// All the same, so that taking it off makes no two series equal.
    One,
    Any,
    /// Taken off, and no two series are equal.
    Gone,
}

impl Builder {
    fn push(&mut self, task: Task) -> SlotId {
        self.tasks.push((task, self.scope));
        SlotId(self.tasks.len() - 1)
    }

    fn op(&mut self, op: impl Operator + 'static) -> SlotId {
        self.push(Task::Op(Box::new(op)))
    }

    fn end(&mut self, open: Box<Open>, mut sink: SinkSpec) -> SlotId {
        let mut open = *open;
        if let Source::Select { select, read, .. } = &mut open.source
            && let Some(labels) = sink.project(matches!(read, Read::Newest { .. }))
        {
            (select.hints.unsorted, select.hints.projection) = (true, Some(labels));
        }
        self.push(Task::Flow(Flow { source: open.source, stages: open.stages, sink, grid: open.grid }))
    }

    /// All series of a vector in a slot.
    fn closed(&mut self, node: &Node, grid: Grid) -> Result<SlotId> {
        let open = self.vector(node, grid)?;
        Ok(self.close(open))
    }

    #[inline(never)]
    fn close(&mut self, open: Box<Open>) -> SlotId {
        match open.source {
            Source::Slot(id) if open.stages.is_empty() && open.same_labels == SameLabels::Leave => id,
            _ => {
                let same_labels = open.same_labels;
                self.end(open, SinkSpec::Collect(same_labels))
            }
        }
    }

    #[inline(never)]
    fn slot(&self, id: SlotId, grid: Grid, names: Names) -> Box<Open> {
        Box::new(Open {
            source: Source::Slot(id),
            stages: Vec::new(),
            grid,
            names,
            same_labels: SameLabels::Leave,
        })
    }

    /// Accounts for names that were just taken off.
    #[inline(never)]
    fn names_dropped(&mut self, mut open: Box<Open>, same_labels: SameLabels) -> Box<Open> {
        if self.options.delayed_name_removal || open.names == Names::Gone {
            return open;
        }
        if open.names == Names::One {
            open.names = Names::Gone;
            return open;
        }
        open.same_labels = same_labels;
        let grid = open.grid;
        let id = self.close(open);
        self.slot(id, grid, Names::Gone)
    }

    #[inline(never)]
    fn with_stage(&mut self, mut open: Box<Open>, stage: Stage) -> Box<Open> {
        if !stage.drops_name() {
            open.stages.push(stage);
            return open;
        }
        let types_left = stage.keeps_type() && self.options.typed && open.names != Names::Gone;
        open.stages.push(stage);
        let mut open = self.names_dropped(open, SameLabels::Join);
        if types_left {
            open.names = Names::Any;
        }
        open
    }

    fn vector(&mut self, node: &Node, grid: Grid) -> Result<Box<Open>> {
        match &node.kind {
            Kind::Vector(selector) => Ok(self.selector(selector, node.pos, What::Value, grid)),
            Kind::Negate(e) => {
                let open = self.vector(e, grid)?;
                Ok(self.with_stage(open, Stage::Negate))
            }
            Kind::Invariant(e) => self.invariant(e, grid),
            Kind::Binary(b) => self.binary(b, node.pos, grid),
            Kind::Aggregate(a) => self.aggregate(a, node.pos, grid),
            Kind::Call(call) => self.call(call, node.pos, grid),
            _ => Err(super::bug("a vector")),
        }
    }

    fn select(&self, selector: &Selector, range: TimeRange, (range_ms, grid): (i64, Grid)) -> Select {
        let (resolution, step_ms) = (self.options.resolution, if grid.len > 1 { grid.step_ms } else { 0 });
        let hints = Hints {
            func: selector.func,
            grouping: selector.grouping.clone(),
            range_ms,
            step_ms,
            max_resolution_ms: resolution.allowed_ms(selector.func, range_ms, step_ms),
            coarser_in_gaps: resolution == Resolution::Auto,
            aggregates: Some(selector.aspect.aggregates()),
            ..Hints::default()
        };
        Select { matchers: selector.matchers.clone(), range, hints }
    }

    #[inline(never)]
    fn selector(&self, selector: &Selector, pos: PosRange, what: What, grid: Grid) -> Box<Open> {
        // Of a time there is nothing to smooth.
        let smoothed = selector.mode == Some(RangeMode::Smoothed) && what == What::Value;
        let place = selector.place;
        let mut range = place.span(grid);
        range.min_ms = range.min_ms.saturating_sub(self.options.lookback_ms).saturating_add(1);
        let read = if smoothed {
            range.max_ms = range.max_ms.saturating_add(self.options.lookback_ms);
            Read::Smoothed { place, pos }
        } else {
            Read::Newest { place, what }
        };
        let mut select = self.select(selector, range, (0, grid));
        select.hints.newest =
            grid.len == 1 && matches!(read, Read::Newest { .. }) && what != What::StartTimestamp;
        let coarse = Coarse::of(selector.aspect, &select.hints);
        let source = Source::Select { select, read, coarse, stats_only: selector.stats_only, grid };
        let names = self.names_of(selector);
        Box::new(Open { source, stages: Vec::new(), grid, names, same_labels: SameLabels::Leave })
    }

    fn names_of(&self, selector: &Selector) -> Names {
        let one = selector.matchers.iter().any(|m| &*m.name == METRIC_NAME && m.kind == MatchKind::Equal);
        if one && !self.options.typed { Names::One } else { Names::Any }
    }

    /// `least_windows` as in [`RangeSpec`].
    fn range_spec(&self, matrix: &Matrix, least_windows: usize) -> RangeSpec {
        RangeSpec {
            place: matrix.selector.place,
            range_ms: matrix.range_ms,
            mode: matrix.selector.mode,
            lookback_ms: self.options.lookback_ms,
            least_windows: if matrix.selector.mode.is_none() { least_windows } else { 0 },
        }
    }

    /// The steps at which a subquery is evaluated, for all of `grid`: multiples of its own step.
    fn subquery_grid(&self, subquery: &Subquery, grid: Grid) -> Result<Grid> {
        let span = subquery.place.span(grid);
        let step_ms = subquery.step_ms;
        if step_ms <= 0 {
            return Err(Error::invalid("zero or negative subquery step"));
        }
        let oldest = span.min_ms.saturating_sub(subquery.range_ms);
        let mut start_ms = step_ms * (oldest / step_ms);
        if start_ms <= oldest {
            start_ms = start_ms.saturating_add(step_ms);
        }
        let inner = Grid::new(start_ms, span.max_ms, step_ms);
        // One column of it has to fit.
        let max_steps = match self.limits.max_memory_bytes {
            0 => u32::MAX as usize,
            bytes => bytes / size_of::<f64>(),
        };
        if inner.len > max_steps {
            return Err(Error::limit(
                "query.max-memory",
                self.limits.max_memory_bytes as u64,
                "a subquery has too many steps to fit into memory: make its step larger or its range shorter",
            ));
        }
        Ok(inner)
    }

    /// What `build` builds, counted in `scope`.
    fn within<T>(&mut self, scope: ScopeId, build: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let around = std::mem::replace(&mut self.scope, scope);
        let built = build(self)?;
        self.scope = around;
        Ok(built)
    }

    /// The inside of a subquery, in a slot; `is_windowed` where a function looks at it.
    fn subquery(&mut self, subquery: &Subquery, grid: Grid, is_windowed: bool) -> Result<(SlotId, Grid)> {
        let inner = self.subquery_grid(subquery, grid)?;
        if inner.len == 0 {
            // Operators rely on there being a step.
            return Ok((self.op(calls::Nothing), inner));
        }
        let scope = if is_windowed {
            self.scopes.windowed(self.scope, inner, (subquery.place, subquery.range_ms))
        } else {
            self.scopes.once(self.scope, inner)
        };
        let id = self.within(scope, |this| this.closed(&subquery.expr, inner))?;
        Ok((id, inner))
    }

    fn matrix(&mut self, node: &Node, grid: Grid) -> Result<SlotId> {
        match &node.kind {
            Kind::Matrix(matrix) => {
                let spec = self.range_spec(matrix, 0);
                let select = self.select(&matrix.selector, spec.span(grid), (matrix.range_ms, grid));
                let coarse = Coarse::of(matrix.selector.aspect, &select.hints);
                Ok(self.push(Task::Matrix(MatrixScan { select, coarse, spec, grid })))
            }
            Kind::Subquery(subquery) => {
                let (input, grid) = self.subquery(subquery, grid, false)?;
                Ok(self.op(SubqueryMatrix { input, grid }))
            }
            Kind::Invariant(e) => self.matrix(e, grid),
            _ => Err(super::bug("a matrix")),
        }
    }

    fn invariant(&mut self, node: &Node, grid: Grid) -> Result<Box<Open>> {
        if grid.len <= 1 {
            return self.vector(node, grid);
        }
        let once = Grid::single(grid.start_ms);
        let scope = self.scopes.once(self.scope, once);
        let (input, names) = self.within(scope, |this| {
            let open = this.vector(node, once)?;
            let names = open.names;
            Ok((this.close(open), names))
        })?;
        let id = self.op(Repeat { input, grid });
        Ok(self.slot(id, grid, names))
    }

    fn binary(&mut self, b: &Binary, pos: PosRange, grid: Grid) -> Result<Box<Open>> {
        if b.lhs.is_scalar() || b.rhs.is_scalar() {
            let scalar_left = b.lhs.is_scalar();
            let (scalar, vector) = if scalar_left { (&b.lhs, &b.rhs) } else { (&b.rhs, &b.lhs) };
            let scalar = self.scalar(scalar, grid)?;
            let open = self.vector(vector, grid)?;
            let with = WithScalar { op: b.op, scalar, scalar_left, return_bool: b.return_bool, pos };
            return Ok(self.with_stage(open, Stage::WithScalar(with)));
        }
        let lhs = self.closed(&b.lhs, grid)?;
        let rhs = self.closed(&b.rhs, grid)?;
        self.between_vectors(b, (lhs, rhs), pos, grid)
    }

    #[inline(never)]
    fn between_vectors(
        &mut self,
        b: &Binary,
        (lhs, rhs): (SlotId, SlotId),
        pos: PosRange,
        grid: Grid,
    ) -> Result<Box<Open>> {
        let matching = b.matching.clone().ok_or_else(|| super::bug("how vectors match"))?;
        let (op, return_bool) = (b.op, b.return_bool);
        let id = if op.is_set() {
            self.op(SetBinary { op, lhs, rhs, matching, grid })
        } else {
            let delayed_name_removal = self.options.delayed_name_removal;
            self.op(VectorBinary { op, lhs, rhs, matching, return_bool, pos, grid, delayed_name_removal })
        };
        Ok(self.slot(id, grid, Names::Any))
    }

    fn aggregate(&mut self, a: &Aggregate, pos: PosRange, grid: Grid) -> Result<Box<Open>> {
        let param = match &a.param {
            Some(param) if a.op != AggregateOp::CountValues => Some(self.scalar(param, grid)?),
            _ => None,
        };
        let input = self.vector(&a.expr, grid)?;
        self.aggregated(a, param, input, pos)
    }

    #[inline(never)]
    fn aggregated(
        &mut self,
        a: &Aggregate,
        param: Option<ScalarRef>,
        mut input: Box<Open>,
        pos: PosRange,
    ) -> Result<Box<Open>> {
        let grid = input.grid;
        let grouping = Grouping { labels: a.grouping.clone(), without: a.without, sorts: false };
        let may_be_told =
            if a.without { self.options.typed } else { a.grouping.iter().any(|label| is_metadata(label)) };
        let mut names = if may_be_told { Names::Any } else { Names::Gone };
        let param_pos = a.param.as_ref().map_or(pos, |p| p.pos);
        let param = param.ok_or_else(|| super::bug("a parameter"));
        let sink = match a.op {
            AggregateOp::CountValues => {
                names = Names::Any;
                let label = a.param.as_ref().ok_or_else(|| super::bug("a label"))?;
                let label = label_name(string(label)?)
                    .map_err(|quoted| Error::invalid(format!("invalid label name {quoted}")))?;
                SinkSpec::CountValues(count_values::Spec { grouping, label })
            }
            AggregateOp::Quantile => {
                let (q, q_pos) = (param?, param_pos);
                SinkSpec::Quantile(quantile::Spec { grouping, q, q_pos, pos: a.expr.pos })
            }
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                names = Names::Any;
                SinkSpec::Select(select::Spec { op: a.op, grouping, param: param?, param_pos, pos })
            }
            _ => SinkSpec::Fold(fold::Spec { op: a.op, grouping, pos: a.expr.pos }),
        };
        if input.same_labels != SameLabels::Leave {
            let id = self.close(input);
            input = self.slot(id, grid, Names::Any);
        }
        let id = self.end(input, sink);
        Ok(self.slot(id, grid, names))
    }
}

/// A label's name; else the text in quotes, for a message.
fn label_name(bytes: Vec<u8>) -> Result<String, String> {
    let quoted = |bytes: &[u8]| {
        let mut out = String::new();
        crate::quote::push_quoted(&mut out, bytes);
        out
    };
    match String::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name),
        Ok(_) => Err(quoted(b"")),
        Err(e) => Err(quoted(e.as_bytes())),
    }
}

/// A string argument.
fn string(node: &Node) -> Result<Vec<u8>> {
    match &node.kind {
        Kind::String(v) => Ok(v.clone()),
        Kind::Invariant(e) => string(e),
        _ => Err(super::bug("a string")),
    }
}

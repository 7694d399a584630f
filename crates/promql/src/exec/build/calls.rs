//! Function calls that give a vector.

use super::super::coarse::Coarse;
use super::super::info::Info;
use super::super::range::{RangeCall, RangeFunc};
use super::super::sink::SameLabels;
use super::super::source::{Read, Source, What};
use super::super::stage::{ScalarRef, Stage};
use super::super::table::Scalars;
use super::super::transform::buckets::{BucketFunc, OverBuckets};
use super::super::transform::labels::{How, Relabel};
use super::super::transform::{Absent, Sort, SortBy, VectorOf, date_of_steps};
use super::super::window::{Place, RangeSpec};
use super::super::{SlotId, Task, bug, table};
use super::{Builder, Grid, Names, Open, string};
use crate::ast::{PosRange, RangeMode, ValueType};
use crate::func::histogram_stats::Stat;
use crate::func::{absent, math, time};
use crate::plan::{Call, Kind, Node};
use nilometer_model::{Error, Result};

impl Builder {
    pub(super) fn call(&mut self, call: &Call, pos: PosRange, grid: Grid) -> Result<Box<Open>> {
        let name = call.func.name;
        if let Some(func) = RangeFunc::by_name(name) {
            return self.range_call(call, func, grid);
        }
        if let Some(stage) = self.stage(call, grid)? {
            let open = self.vector(arg(call, 0)?, grid)?;
            return Ok(self.with_stage(open, stage));
        }
        if let Some(part) = time::Part::by_name(name) {
            // With an argument it is a stage.
            return Ok(self.one_series(ScalarRef::Known(date_of_steps(part, grid)), grid));
        }
        match name {
            "vector" => {
                let input = self.scalar(arg(call, 0)?, grid)?;
                Ok(self.one_series(input, grid))
            }
            "timestamp" | "start_timestamp" => self.timestamp(call, grid),
            "absent" => self.absent(call, grid),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(call, pos, grid),
            "label_replace" | "label_join" => self.relabel(call, grid),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => self.buckets(call, grid),
            "info" => self.info(call, grid),
            _ => Err(Error::invalid(format!("the function {name}() is not supported yet"))),
        }
    }

    /// Functions of one sample at a time.
    #[inline(never)]
    fn stage(&mut self, call: &Call, grid: Grid) -> Result<Option<Stage>> {
        let name = call.func.name;
        if let Some(f) = math::by_name(name) {
            return Ok(Some(Stage::Math(f)));
        }
        if let Some(stat) = Stat::by_name(name) {
            return Ok(Some(Stage::HistogramStat(stat)));
        }
        if let (Some(part), false) = (time::Part::by_name(name), call.args.is_empty()) {
            return Ok(Some(Stage::Date(part)));
        }
        let same = |v| ScalarRef::Known(Scalars::Same(v));
        Ok(Some(match (name, &call.args[..]) {
            ("clamp", [_, min, max]) => {
                Stage::Clamp { min: self.scalar(min, grid)?, max: self.scalar(max, grid)? }
            }
            ("clamp_min", [_, min]) => {
                Stage::Clamp { min: self.scalar(min, grid)?, max: same(f64::INFINITY) }
            }
            ("clamp_max", [_, max]) => {
                Stage::Clamp { min: same(f64::NEG_INFINITY), max: self.scalar(max, grid)? }
            }
            ("round", [_]) => Stage::Round { to: same(1.0) },
            ("round", [_, to]) => Stage::Round { to: self.scalar(to, grid)? },
            _ => return Ok(None),
        }))
    }

    fn input(&mut self, call: &Call, at: usize, grid: Grid) -> Result<SlotId> {
        self.closed(arg(call, at)?, grid)
    }

    fn one_series(&mut self, input: ScalarRef, grid: Grid) -> Box<Open> {
        let id = self.op(VectorOf { input, grid });
        self.slot(id, grid, Names::Gone)
    }

    #[inline(never)]
    fn absent(&mut self, call: &Call, grid: Grid) -> Result<Box<Open>> {
        let input = self.input(call, 0, grid)?;
        let labels = absent::labels_of(&arg(call, 0)?.kind);
        let id = self.op(Absent { input, labels, grid, drop_name: false });
        Ok(self.slot(id, grid, Names::Gone))
    }

    fn range_call(&mut self, call: &Call, func: RangeFunc, grid: Grid) -> Result<Box<Open>> {
        let over =
            call.args.iter().find(|a| a.value_type() == ValueType::Matrix).ok_or_else(|| bug("a range"))?;
        let over = if let Kind::Invariant(e) = &over.kind { e } else { over };
        let mut scalars = Vec::new();
        for arg in call.args.iter().filter(|a| a.value_type() == ValueType::Scalar) {
            scalars.push(self.scalar(arg, grid)?);
        }
        let inside = match &over.kind {
            Kind::Subquery(subquery) => Some(self.subquery(subquery, grid, true)?),
            _ => None,
        };
        let open = self.range_source(call, func, (over, inside, scalars), grid)?;
        Ok(self.range_result(call, over, open))
    }

    #[inline(never)]
    fn range_source(
        &mut self,
        call: &Call,
        func: RangeFunc,
        (over, inside, scalars): (&Node, Option<(SlotId, Grid)>, Vec<ScalarRef>),
        grid: Grid,
    ) -> Result<Box<Open>> {
        let check_counter = matches!(call.func.name, "rate" | "increase");
        let first = arg(call, 0)?;
        // Prometheus forgets where a subquery stood as soon as it is evaluated: its notes point at the start.
        let pos = if matches!(first.kind, Kind::Subquery(_)) { PosRange::default() } else { first.pos };
        let (source, names) = match (&over.kind, inside) {
            (Kind::Matrix(matrix), _) => {
                let spec = self.range_spec(matrix, func.least_windows());
                check_mode(call.func.name, spec.mode)?;
                let select = self.select(&matrix.selector, spec.span(grid), (matrix.range_ms, grid));
                let call = RangeCall { func, spec, scalars, pos, check_counter };
                let names = self.names_of(&matrix.selector);
                let coarse = Coarse::of(matrix.selector.aspect, &select.hints);
                let stats_only = matrix.selector.stats_only;
                (Source::Select { select, read: Read::Range(call), coarse, stats_only, grid }, names)
            }
            (Kind::Subquery(subquery), Some((slot, inner))) => {
                let (place, range_ms) = (subquery.place, subquery.range_ms);
                let lookback_ms = self.options.lookback_ms;
                let spec = RangeSpec { place, range_ms, mode: None, lookback_ms, least_windows: 0 };
                let call = RangeCall { func, spec, scalars, pos, check_counter };
                (Source::Subquery { slot, inner, call, grid }, Names::Any)
            }
            _ => return Err(bug("a range")),
        };
        Ok(Box::new(Open { source, stages: Vec::new(), grid, names, same_labels: SameLabels::Leave }))
    }

    #[inline(never)]
    fn range_result(&mut self, call: &Call, over: &Node, open: Box<Open>) -> Box<Open> {
        match call.func.name {
            "absent_over_time" => {
                let grid = open.grid;
                let input = self.close(open);
                let labels = absent::labels_of(&over.kind);
                let drop_name = self.options.delayed_name_removal;
                let id = self.op(Absent { input, labels, grid, drop_name });
                self.slot(id, grid, Names::Gone)
            }
            "first_over_time" | "last_over_time" => open,
            _ => self.names_dropped(open, SameLabels::Refuse),
        }
    }

    #[inline(never)]
    fn timestamp(&mut self, call: &Call, grid: Grid) -> Result<Box<Open>> {
        let starts = call.func.name == "start_timestamp";
        let of = arg(call, 0)?;
        if let Kind::Vector(selector) = &of.kind {
            let what = if starts { What::StartTimestamp } else { What::Timestamp };
            let mut open = self.selector(selector, of.pos, what, grid);
            if starts && !self.options.start_timestamps {
                open.source = self.nothing();
            }
            open.stages.push(Stage::DropName);
            return Ok(self.names_dropped(open, SameLabels::Join));
        }
        let open = self.vector(of, grid)?;
        if starts {
            // Only selectors know when a series began.
            self.close(open);
            let source = self.nothing();
            let same_labels = SameLabels::Leave;
            return Ok(Box::new(Open { source, stages: Vec::new(), grid, names: Names::Gone, same_labels }));
        }
        Ok(self.with_stage(open, Stage::StepTime))
    }

    /// A source without series.
    fn nothing(&mut self) -> Source {
        Source::Slot(self.op(Nothing))
    }

    #[inline(never)]
    fn sort(&mut self, call: &Call, pos: PosRange, grid: Grid) -> Result<Box<Open>> {
        let input = self.input(call, 0, grid)?;
        let by = if call.func.name.starts_with("sort_by_label") {
            SortBy::Labels(call.args[1..].iter().map(text).collect::<Result<_>>()?)
        } else {
            SortBy::Value
        };
        let descending = call.func.name.ends_with("_desc");
        let id = self.op(Sort { input, by, descending, pos, grid });
        Ok(self.slot(id, grid, Names::Any))
    }

    #[inline(never)]
    fn relabel(&mut self, call: &Call, grid: Grid) -> Result<Box<Open>> {
        check_label_names(call)?;
        let texts: Vec<String> = call.args[1..].iter().map(text).collect::<Result<_>>()?;
        let (target, how) = match (call.func.name, &texts[..]) {
            ("label_replace", [target, replacement, source, regex]) => {
                (target, How::replace(source, regex, replacement)?)
            }
            ("label_join", [target, separator, sources @ ..]) => {
                (target, How::Join { separator: separator.clone(), sources: sources.to_vec() })
            }
            _ => return Err(bug("arguments")),
        };
        let input = self.input(call, 0, grid)?;
        let id = self.op(Relabel { input, target: target.clone(), how });
        Ok(self.slot(id, grid, Names::Any))
    }

    #[inline(never)]
    fn buckets(&mut self, call: &Call, grid: Grid) -> Result<Box<Open>> {
        let at = match call.func.name {
            "histogram_quantile" => 1,
            "histogram_fraction" => 2,
            _ => 0,
        };
        let func = match (call.func.name, &call.args[..]) {
            ("histogram_quantile", [q, _]) => BucketFunc::Quantile { q: self.scalar(q, grid)?, pos: q.pos },
            ("histogram_fraction", [lower, upper, _]) => {
                BucketFunc::Fraction { lower: self.scalar(lower, grid)?, upper: self.scalar(upper, grid)? }
            }
            (_, [_, label, qs @ ..]) => {
                let label = text(label)?;
                let qs = qs.iter().map(|q| Ok((self.scalar(q, grid)?, q.pos))).collect::<Result<_>>()?;
                BucketFunc::Quantiles { label, qs }
            }
            _ => return Err(bug("arguments")),
        };
        let input = self.input(call, at, grid)?;
        let id = self.op(OverBuckets { input, func, pos: arg(call, at)?.pos, grid });
        Ok(self.slot(id, grid, Names::Any))
    }

    #[inline(never)]
    fn info(&mut self, call: &Call, grid: Grid) -> Result<Box<Open>> {
        let base = self.input(call, 0, grid)?;
        let matchers = match call.args.get(1).map(|a| &a.kind) {
            Some(Kind::Vector(selector)) => Some(selector.matchers.to_vec()),
            _ => None,
        };
        let place = first_place(arg(call, 0)?).unwrap_or(Place { at_ms: None, offset_ms: 0 });
        let id = self.push(Task::Info(Info { base, place, matchers, grid }));
        Ok(self.slot(id, grid, Names::Any))
    }
}

/// Without any series.
pub(super) struct Nothing;

impl super::Operator for Nothing {
    fn run(
        &self,
        _slots: &mut super::super::Slots,
        _cx: &mut super::super::Context,
    ) -> Result<super::super::Output> {
        Ok(super::super::Output::Vector(Vec::<table::StepSeries>::new()))
    }
}

fn arg(call: &Call, at: usize) -> Result<&Node> {
    call.args.get(at).ok_or_else(|| bug("an argument"))
}

fn text(node: &Node) -> Result<String> {
    Ok(String::from_utf8_lossy(&string(node)?).into_owned())
}

/// Whether what `label_replace` and `label_join` take as labels' names can be any.
fn check_label_names(call: &Call) -> Result<()> {
    let name = call.func.name;
    let sources = if name == "label_join" { 3..call.args.len() } else { 0..0 };
    for (what, at) in sources.map(|at| ("source", at)).chain([("destination", 1)]) {
        let label = string(arg(call, at)?)?;
        if label.is_empty() || std::str::from_utf8(&label).is_err() {
            let label = String::from_utf8_lossy(&label);
            return Err(Error::invalid(format!("invalid {what} label name in {name}(): {label}")));
        }
    }
    Ok(())
}

/// Where the first selector of a tree looks, subqueries around it included.
fn first_place(node: &Node) -> Option<Place> {
    match &node.kind {
        Kind::Number(_) | Kind::String(_) => None,
        Kind::Vector(s) => Some(s.place),
        Kind::Matrix(m) => Some(m.selector.place),
        Kind::Subquery(s) => first_place(&s.expr).map(|inner| match inner.at_ms {
            Some(_) => inner,
            None => Place { at_ms: s.place.at_ms, offset_ms: inner.offset_ms + s.place.offset_ms },
        }),
        Kind::Negate(e) | Kind::Invariant(e) => first_place(e),
        Kind::Binary(b) => first_place(&b.lhs).or_else(|| first_place(&b.rhs)),
        Kind::Aggregate(a) => first_place(&a.expr),
        Kind::Call(c) => c.args.iter().find_map(first_place),
    }
}

/// The experimental modes give samples outside of the range, which only some functions can handle.
fn check_mode(name: &str, mode: Option<RangeMode>) -> Result<()> {
    let Some(mode) = mode else { return Ok(()) };
    let allowed: &[&str] = match mode {
        RangeMode::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        RangeMode::Smoothed => &["delta", "increase", "rate"],
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} modifier can only be used with: {} - not with {name}",
        mode.as_str(),
        allowed.join(", ")
    )))
}

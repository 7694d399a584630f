//! Arithmetic and comparison between two vectors.
//!
//! Series of both sides are brought together by signature. Where a signature has one series on each side,
//! which is the rule, columns are combined as a whole. Otherwise steps are looked at one by one: series may
//! share a signature as long as they are never there at the same time.

use super::arithmetic::{BinaryNote, Computation, Operands, arithmetic, binary_op, comparison};
use super::{Signatures, matched_labels, without_same_labels};
use crate::ast::{BinaryOp, Cardinality, PosRange, VectorMatching};
use crate::exec::grid::Grid;
use crate::exec::stage::changes_metric;
use crate::exec::table::{ABSENT, Cell, StepSeries, is_absent, is_metadata};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use nilometer_model::{Error, Labels, Result};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) struct VectorBinary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: SlotId,
    pub(crate) rhs: SlotId,
    pub(crate) matching: VectorMatching,
    pub(crate) return_bool: bool,
    pub(crate) pos: PosRange,
    pub(crate) grid: Grid,
    pub(crate) delayed_name_removal: bool,
}

impl Operator for VectorBinary {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output> {
        let (lhs, rhs) = (slots.take_vector(self.lhs)?, slots.take_vector(self.rhs)?);
        let signatures = Signatures::new(&self.matching, &lhs, &rhs);
        // The side whose series may have several partners is "many"; with one-to-one it is the left.
        let swapped = self.matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        let (many_signatures, one_signatures) =
            if swapped { (signatures.rhs, signatures.lhs) } else { (signatures.lhs, signatures.rhs) };
        let mut parties = vec![Party::default(); signatures.count];
        for (at, signature) in many_signatures.iter().enumerate() {
            parties[*signature].many.push(at);
        }
        for (at, signature) in one_signatures.iter().enumerate() {
            parties[*signature].one.push(at);
        }
        let mut join = Join {
            binary: self,
            many: &many,
            one: &one,
            swapped,
            active: Vec::new(),
            found: HashMap::new(),
            notes: BTreeMap::new(),
            failed: None,
        };
        for party in &parties {
            join.run(party);
        }
        if let Some((_, error)) = join.failed {
            return Err(error);
        }
        for (_, note) in join.notes.values() {
            note.add_to(&mut cx.notes, self.op, self.pos);
        }
        let mut found: Vec<_> = join.found.into_iter().collect();
        found.sort_unstable_by_key(|(pair, _)| pair.order());
        let series = found.into_iter().map(|(_, series)| series).filter(StepSeries::has_any).collect();
        Ok(Output::Vector(without_same_labels(series, self.grid, cx)?))
    }
}

/// The series of both sides with one signature.
#[derive(Clone, Default)]
struct Party {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// Which series make a result; at least one is there, for the other a fill value stands in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    many: Option<usize>,
    one: Option<usize>,
}

impl Pair {
    /// In the order of the many side, and those without it at the end.
    fn order(self) -> (usize, usize) {
        (self.many.unwrap_or(usize::MAX), self.one.map_or(0, |one| one + 1))
    }
}

struct Join<'a> {
    binary: &'a VectorBinary,
    many: &'a [StepSeries],
    one: &'a [StepSeries],
    swapped: bool,
    /// Steps at which anything can match at all: Prometheus looks for contradictions only there. Found when
    /// first needed.
    active: Vec<bool>,
    found: HashMap<Pair, StepSeries>,
    /// What there is to say of each step: of several things, as in Prometheus, the last.
    notes: BTreeMap<usize, ((usize, usize), BinaryNote)>,
    /// The error of the earliest step.
    failed: Option<((usize, u8), Error)>,
}

impl Join<'_> {
    fn active_steps(&self) -> Vec<bool> {
        let any = |side: &[StepSeries], step| side.iter().any(|s| s.is_present(step));
        let fill = self.binary.matching.fill.is_set();
        let active = |step| {
            let (many, one) = (any(self.many, step), any(self.one, step));
            many && one || fill && (many || one)
        };
        (0..self.binary.grid.len).map(active).collect()
    }

    fn run(&mut self, party: &Party) {
        if let [one] = party.one[..]
            && !self.binary.matching.fill.is_set()
            && self.never_collides(party, one)
        {
            for many in &party.many {
                self.columns(*many, one);
            }
            return;
        }
        let several = party.one.len() > 1;
        if party.many.is_empty() && !several && !self.binary.matching.fill.is_set() {
            return;
        }
        if self.active.is_empty() {
            self.active = self.active_steps();
        }
        for step in 0..self.binary.grid.len {
            if self.active[step]
                && let Err((phase, error)) = self.step(party, step)
            {
                if self.failed.as_ref().is_none_or(|(first, _)| (step, phase) < *first) {
                    self.failed = Some(((step, phase), error));
                }
                return;
            }
        }
    }

    /// Whether the results of all partners of one series are different series.
    fn never_collides(&self, party: &Party, one: usize) -> bool {
        if self.binary.matching.card == Cardinality::OneToOne {
            return party.many.len() <= 1;
        }
        let mut seen = HashSet::new();
        party
            .many
            .iter()
            .all(|many| seen.insert(self.labels(&self.many[*many].labels, &self.one[one].labels)))
    }

    fn columns(&mut self, many: usize, one: usize) {
        let pair = Pair { many: Some(many), one: Some(one) };
        let mut out = self.result(pair);
        let (lhs, rhs) = if self.swapped {
            (&self.one[one], &self.many[many])
        } else {
            (&self.many[many], &self.one[one])
        };
        let op = self.binary.op;
        let plain = lhs.histograms.is_empty() && rhs.histograms.is_empty();
        if plain && op.is_comparison() {
            let compare = comparison(op);
            for ((out, a), b) in out.floats.iter_mut().zip(&lhs.floats).zip(&rhs.floats) {
                if !is_absent(*a) && !is_absent(*b) {
                    let keep = compare(*a, *b);
                    *out = match (self.binary.return_bool, keep) {
                        (true, _) => f64::from(keep),
                        (false, true) => *a,
                        (false, false) => ABSENT,
                    };
                }
            }
        } else if plain && changes_metric(op) {
            let compute = arithmetic(op);
            for ((out, a), b) in out.floats.iter_mut().zip(&lhs.floats).zip(&rhs.floats) {
                if !is_absent(*a) && !is_absent(*b) {
                    *out = compute(*a, *b);
                }
            }
        } else {
            for step in 0..out.floats.len() {
                if let Some(operands) = Operands::new(lhs.cell(step), rhs.cell(step)) {
                    self.compute(&operands, (step, pair.order()), &mut out);
                }
            }
        }
        self.found.insert(pair, out);
    }

    /// Whether there is a result, be it one that a comparison filters out.
    fn compute(
        &mut self,
        operands: &Operands<'_>,
        (step, order): (usize, (usize, usize)),
        out: &mut StepSeries,
    ) -> bool {
        let (result, note) = binary_op(self.binary.op, operands);
        if let Some(note) = note {
            let of_step = self.notes.entry(step).or_insert((order, note));
            if order >= of_step.0 {
                *of_step = (order, note);
            }
        }
        let Some(result) = result else { return false };
        if self.binary.return_bool {
            out.floats[step] = f64::from(result.keep);
        } else if result.keep {
            match &result.value {
                Computation::Float(v) => out.floats[step] = *v,
                Computation::Histogram(h) => out.set_histogram(step, h.clone()),
            }
        }
        true
    }

    /// One step of series that share a signature. Errors come with their phase, for their order.
    fn step(&mut self, party: &Party, step: usize) -> Result<(), (u8, Error)> {
        let mut present = party.one.iter().copied().filter(|one| self.one[*one].is_present(step));
        let one = present.next();
        if let (Some(a), Some(b)) = (one, present.next()) {
            return Err((0, self.duplicate(a, b)));
        }
        // As in Prometheus the right fill stands in on the "one" side, and the left one on the "many" side,
        // also where the sides are swapped.
        let fill = self.binary.matching.fill;
        let mut matched: HashSet<Labels> = HashSet::new();
        for many in party.many.iter().copied().filter(|many| self.many[*many].is_present(step)) {
            let partner = match one {
                Some(one) => self.one[one].cell(step),
                None => match fill.rhs {
                    Some(v) => Cell::Float(v),
                    None => continue,
                },
            };
            let cells = (self.many[many].cell(step), partner);
            self.pair(Pair { many: Some(many), one }, cells, step, &mut matched)?;
        }
        if let (Some(one), Some(v), true) = (one, fill.lhs, matched.is_empty()) {
            let cells = (Cell::Float(v), self.one[one].cell(step));
            self.pair(Pair { many: None, one: Some(one) }, cells, step, &mut matched)?;
        }
        Ok(())
    }

    fn pair(
        &mut self,
        pair: Pair,
        (many, one): (Cell<'_>, Cell<'_>),
        step: usize,
        matched: &mut HashSet<Labels>,
    ) -> Result<(), (u8, Error)> {
        let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
        let Some(operands) = Operands::new(lhs, rhs) else { return Ok(()) };
        let mut out = match self.found.remove(&pair) {
            Some(out) => out,
            None => self.result(pair),
        };
        let done = self.compute(&operands, (step, pair.order()), &mut out);
        let labels = out.labels.clone();
        self.found.insert(pair, out);
        if !done {
            return Ok(());
        }
        let one_to_one = self.binary.matching.card == Cardinality::OneToOne;
        if one_to_one && !matched.is_empty() {
            return Err((
                1,
                Error::invalid(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ),
            ));
        }
        if !matched.insert(labels) {
            return Err((
                1,
                Error::invalid("multiple matches for labels: grouping labels must ensure unique matches"),
            ));
        }
        Ok(())
    }

    fn duplicate(&self, a: usize, b: usize) -> Error {
        let group = matched_labels(&self.binary.matching, &self.one[b].labels);
        let (mut a, mut b) = (self.one[a].labels.to_string(), self.one[b].labels.to_string());
        if a > b {
            std::mem::swap(&mut a, &mut b);
        }
        let side = if self.swapped { "left" } else { "right" };
        Error::invalid(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// The result of a pair, without values yet.
    fn result(&self, pair: Pair) -> StepSeries {
        let matching = &self.binary.matching;
        let many = pair.many.map(|at| &self.many[at].labels);
        let one = pair.one.map(|at| &self.one[at].labels);
        let stand_in = |other: Option<&Labels>| matched_labels(matching, other.unwrap_or(&Labels::empty()));
        let many = many.cloned().unwrap_or_else(|| stand_in(one));
        let one = one.cloned().unwrap_or_else(|| stand_in(Some(&many)));
        let mut out = StepSeries::new(self.labels(&many, &one), self.binary.grid.len);
        out.drop_name = self.binary.return_bool && self.binary.delayed_name_removal;
        out
    }

    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.binary.matching;
        let drop_name = changes_metric(self.binary.op) || self.drops_name_now();
        let named = |name: &str| matching.labels.iter().any(|l| l == name);
        let kept = many.filter(|name| {
            (!drop_name || !is_metadata(name))
                && (matching.card != Cardinality::OneToOne || matching.on == named(name))
        });
        if matching.include.is_empty() {
            return kept;
        }
        let mut labels = kept.to_builder();
        for name in &matching.include {
            labels.set(name, one.get(name));
        }
        labels.build()
    }

    fn drops_name_now(&self) -> bool {
        self.binary.return_bool && !self.binary.delayed_name_removal
    }
}

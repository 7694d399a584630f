//! How values are matched: the cheapest way that gives the automaton's answer.

use super::cursor::too_large;
use super::expand::{Sequence, expand, is_any_char};
use super::glob::Glob;
use super::limits::{MAX_CACHE_BYTES, MAX_PROGRAM_BYTES, MAX_SET_MATCHES};
use super::literals::outline;
use crate::{Error, Result};
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Dot, Hir, HirKind, Look, Repetition};
use std::collections::HashSet;
use std::fmt;

/// More alternatives than this are tried faster by the automaton than one by one.
const MAX_FEW: usize = 6;
/// Up to so many values, comparing them all is faster than hashing.
const MAX_COMPARED_VALUES: usize = 4;

pub(super) enum Strategy {
    /// `a|b|c`.
    Set(Set),
    /// `.*`, `.+`, `a.*|.*b.+c|d`: any of them.
    Few(Vec<Alternative>),
    /// `.*(a|b|c).*`.
    AnySubstring(meta::Regex),
    /// Everything else; values that do not fit the outline are not shown to the automaton.
    Automaton { outline: Option<Glob>, automaton: meta::Regex },
}

impl Strategy {
    pub(super) fn choose(hir: Hir) -> Result<Self> {
        match expand(&hir).and_then(|all| Self::without_automaton(&all)) {
            Some(simple) => simple,
            None => Ok(Strategy::Automaton { outline: outline(&hir), automaton: anchored(hir)? }),
        }
    }

    fn without_automaton(alternatives: &[Sequence]) -> Option<Result<Self>> {
        if let Some(values) = alternatives.iter().map(Sequence::as_value).collect::<Option<Vec<_>>>() {
            return Some(Ok(Strategy::Set(Set::new(&values))));
        }
        if alternatives.len() > MAX_SET_MATCHES {
            return None;
        }
        let mut few = alternatives.iter().map(Alternative::new).collect::<Option<Vec<_>>>()?;
        if let Some(all) = few.iter().position(|one| one.least_chars() == Some(0)) {
            return Some(Ok(Strategy::Few(vec![few.swap_remove(all)])));
        }
        match few.iter().map(Alternative::substring).collect::<Option<Vec<_>>>() {
            Some(texts) if texts.len() > 1 => {
                let any = Hir::alternation(texts.into_iter().map(Hir::literal).collect());
                Some(compile(&any).map(Strategy::AnySubstring))
            }
            _ => (few.len() <= MAX_FEW).then_some(Ok(Strategy::Few(few))),
        }
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        match self {
            Strategy::Set(set) => set.contains(value),
            Strategy::Few(few) => few.iter().any(|one| one.is_match(value)),
            Strategy::AnySubstring(any) => any.is_match(value),
            Strategy::Automaton { outline, automaton } => {
                outline.as_ref().is_none_or(|glob| glob.is_match(value)) && automaton.is_match(value)
            }
        }
    }

    /// At most about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Strategy::Set(set) => set.bytes(),
            Strategy::Few(few) => size_of_val(&**few),
            Strategy::AnySubstring(automaton) | Strategy::Automaton { automaton, .. } => {
                automaton.memory_usage() + MAX_CACHE_BYTES
            }
        }
    }

    /// Where any value of so many characters matches, and no other.
    pub(super) fn least_chars(&self) -> Option<u32> {
        match self {
            Strategy::Few(few) if few.len() == 1 => few[0].least_chars(),
            _ => None,
        }
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Set(set) => write!(f, "Set({})", set.len()),
            Strategy::Few(few) => write!(f, "Few({})", few.len()),
            Strategy::AnySubstring(_) => f.write_str("AnySubstring"),
            Strategy::Automaton { .. } => f.write_str("Automaton"),
        }
    }
}

/// What can be tried without an automaton.
pub(super) enum Alternative {
    Value(Box<str>),
    Glob(Glob),
}

impl Alternative {
    fn new(sequence: &Sequence) -> Option<Self> {
        match sequence.as_value() {
            Some(value) => Some(Alternative::Value(value.into())),
            None => sequence.to_glob().map(Alternative::Glob),
        }
    }

    fn is_match(&self, value: &str) -> bool {
        match self {
            Alternative::Value(only) => **only == *value,
            Alternative::Glob(glob) => glob.is_match(value),
        }
    }

    fn glob(&self) -> Option<&Glob> {
        match self {
            Alternative::Value(_) => None,
            Alternative::Glob(glob) => Some(glob),
        }
    }

    fn least_chars(&self) -> Option<u32> {
        self.glob()?.least_chars()
    }

    fn substring(&self) -> Option<&[u8]> {
        self.glob()?.only_inner()
    }
}

/// The values of an expression that has finitely many.
pub(super) struct Set {
    /// Sorted; empty where there are too many to be shown.
    sorted: Vec<String>,
    /// Empty where comparing is faster.
    hashed: HashSet<Box<str>>,
}

impl Set {
    fn new(values: &[&str]) -> Self {
        let mut sorted: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let hashed = match sorted.len() {
            0..=MAX_COMPARED_VALUES => HashSet::new(),
            _ => sorted.iter().map(|value| value.as_str().into()).collect(),
        };
        if sorted.len() > MAX_SET_MATCHES {
            sorted = Vec::new();
        }
        Set { sorted, hashed }
    }

    fn len(&self) -> usize {
        self.sorted.len().max(self.hashed.len())
    }

    fn bytes(&self) -> usize {
        let (sorted, hashed) = (self.sorted.iter(), self.hashed.iter());
        sorted.map(|one| size_of_val(one) + one.len()).sum::<usize>()
            + hashed.map(|one| size_of_val(one) * 2 + one.len()).sum::<usize>()
    }

    fn contains(&self, value: &str) -> bool {
        if self.hashed.is_empty() {
            self.sorted.iter().any(|one| one == value)
        } else {
            self.hashed.contains(value)
        }
    }

    pub(super) fn values(&self) -> Option<&[String]> {
        (self.len() == self.sorted.len()).then_some(&self.sorted)
    }
}

fn anchored(hir: Hir) -> Result<meta::Regex> {
    // In the middle of a character `\B` would hold.
    let may_widen = !hir.properties().look_set().contains(Look::WordAsciiNegate);
    let hir = if may_widen { widened(hir) } else { hir };
    compile(&Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]))
}

/// `.*` as any bytes, a tenth of the program that any characters are.
///
/// A value is valid UTF-8, and nothing but another `.*` can go on from the middle of a character: no
/// text, no class, and of the assertions only `\B` holds there.
fn widened(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Capture(capture) => widened(*capture.sub),
        HirKind::Concat(subs) => Hir::concat(subs.into_iter().map(widened).collect()),
        HirKind::Alternation(subs) => Hir::alternation(subs.into_iter().map(widened).collect()),
        HirKind::Repetition(mut rep) if rep.max.is_none() && is_any_char(&rep.sub) => {
            let bytes = Repetition { min: 0, max: None, greedy: true, sub: Box::new(Hir::dot(Dot::AnyByte)) };
            rep.max = Some(rep.min);
            Hir::concat(vec![Hir::repetition(rep), Hir::repetition(bytes)])
        }
        HirKind::Repetition(mut rep) => {
            rep.sub = Box::new(widened(*rep.sub));
            Hir::repetition(rep)
        }
    }
}

fn compile(hir: &Hir) -> Result<meta::Regex> {
    // A lazy DFA only: building a whole one, or one-pass tables, took longer than matching 10,000 values.
    let config = meta::Config::new()
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_PROGRAM_BYTES))
        .hybrid_cache_capacity(MAX_CACHE_BYTES)
        .utf8_empty(false)
        .dfa(false)
        .onepass(false);
    meta::Builder::new().configure(config).build_from_hir(hir).map_err(|e| match e.size_limit() {
        Some(_) => too_large("regex_program_bytes", MAX_PROGRAM_BYTES as u64),
        None => Error::invalid(format!("error parsing regexp: the expression cannot be compiled: {e}")),
    })
}

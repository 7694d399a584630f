//! A tree written out as alternatives without choices in them, where those are few.
//!
//! `a(b|c)d` is `abd` or `acd`; `(foo|bar).*` is `foo` and a gap, or `bar` and a gap. What cannot be
//! written so is left to the automaton.

use super::glob::{Gap, Glob};
use super::limits::MAX_SET_MATCHES;
use super::literals::literal;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Look, Repetition};

/// One alternative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequence(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Any characters: `min`, or with `or_more` at least so many.
    Any {
        min: u32,
        or_more: bool,
    },
    Start,
    End,
}

/// Most parts of sequences made, and 16-byte runs of their text copied, before the automaton is chosen.
const MAX_STEPS: usize = 1 << 17;
/// More texts in a row are left to the automaton.
const MAX_INNER_TEXTS: usize = 16;

/// `None` where there would be too many, or where one has something else in it than text and gaps.
pub(super) fn expand(hir: &Hir) -> Option<Vec<Sequence>> {
    let mut all = Expansion { steps: 0 }.sequences(hir)?;
    for sequence in &mut all {
        sequence.drop_anchors();
    }
    Some(all)
}

struct Expansion {
    steps: usize,
}

impl Expansion {
    fn spend(&mut self, steps: usize) -> Option<()> {
        self.steps = self.steps.saturating_add(steps);
        (self.steps <= MAX_STEPS).then_some(())
    }

    fn one(&mut self, part: Part) -> Option<Vec<Sequence>> {
        self.spend(part.steps())?;
        Some(vec![Sequence(vec![part])])
    }

    fn sequences(&mut self, hir: &Hir) -> Option<Vec<Sequence>> {
        match hir.kind() {
            HirKind::Empty => Some(vec![Sequence::default()]),
            HirKind::Literal(_) => self.one(Part::Text(literal(hir)?.to_owned())),
            HirKind::Class(_) if is_any_char(hir) => self.one(Part::Any { min: 1, or_more: false }),
            HirKind::Class(Class::Unicode(class)) => self.characters(class),
            HirKind::Class(Class::Bytes(class)) => class.ranges().is_empty().then(Vec::new),
            HirKind::Look(Look::Start) => self.one(Part::Start),
            HirKind::Look(Look::End) => self.one(Part::End),
            HirKind::Look(_) => None,
            HirKind::Capture(capture) => self.sequences(&capture.sub),
            HirKind::Repetition(rep) => self.repeated(rep),
            HirKind::Concat(subs) => {
                let mut all = vec![Sequence::default()];
                for sub in subs {
                    let next = self.sequences(sub)?;
                    self.append_each(&mut all, &next)?;
                }
                Some(all)
            }
            HirKind::Alternation(subs) => {
                let mut all = Vec::with_capacity(subs.len());
                for sub in subs {
                    all.append(&mut self.sequences(sub)?);
                }
                Some(all)
            }
        }
    }

    fn characters(&mut self, class: &ClassUnicode) -> Option<Vec<Sequence>> {
        let count: usize = class.ranges().iter().map(|range| range.len()).sum();
        if count > MAX_SET_MATCHES {
            return None;
        }
        self.spend(count)?;
        let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
        Some(chars.map(|c| Sequence(vec![Part::Text(c.into())])).collect())
    }

    fn repeated(&mut self, rep: &Repetition) -> Option<Vec<Sequence>> {
        if is_any_char(&rep.sub) && (rep.max.is_none() || rep.max == Some(rep.min)) {
            return self.one(Part::Any { min: rep.min, or_more: rep.max.is_none() });
        }
        let max = rep.max?;
        let once = self.sequences(&rep.sub)?;
        let mut copies = vec![Sequence::default()];
        let mut all = Vec::new();
        for count in 0..=max {
            if count > 0 {
                self.append_each(&mut copies, &once)?;
            }
            if count >= rep.min {
                self.spend(copies.iter().map(Sequence::steps).sum())?;
                all.extend_from_slice(&copies);
            }
            if all.len() > MAX_SET_MATCHES {
                return None;
            }
        }
        Some(all)
    }

    /// Each of `heads` followed by each of `tails`.
    fn append_each(&mut self, heads: &mut Vec<Sequence>, tails: &[Sequence]) -> Option<()> {
        self.spend(tails.iter().map(Sequence::steps).sum::<usize>().saturating_mul(heads.len()))?;
        if let [tail] = tails {
            // In place, so that a long row of parts does not cost quadratic time.
            heads.iter_mut().for_each(|head| head.append(tail));
            return Some(());
        }
        if heads.len() > 1 && heads.len().saturating_mul(tails.len()) > MAX_SET_MATCHES {
            return None;
        }
        self.spend(heads.iter().map(Sequence::steps).sum::<usize>().saturating_mul(tails.len()))?;
        let mut all = Vec::with_capacity(heads.len() * tails.len());
        for head in heads.iter() {
            for tail in tails {
                let mut joined = head.clone();
                joined.append(tail);
                all.push(joined);
            }
        }
        *heads = all;
        Some(())
    }
}

/// `.`, where it matches a newline too.
pub(super) fn is_any_char(hir: &Hir) -> bool {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else { return false };
    matches!(class.ranges(), [range] if range.start() == '\0' && range.end() == char::MAX)
}

impl Part {
    fn steps(&self) -> usize {
        if let Part::Text(text) = self { 1 + text.len() / 16 } else { 1 }
    }
}

impl Sequence {
    fn steps(&self) -> usize {
        1 + self.0.iter().map(Part::steps).sum::<usize>()
    }

    fn append(&mut self, tail: &Sequence) {
        tail.0.iter().cloned().for_each(|part| self.push(part));
    }

    fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (Some(Part::Any { min, or_more }), Part::Any { min: more, or_more: open }) => {
                *min = min.saturating_add(more);
                *or_more |= open;
            }
            (_, part) => self.0.push(part),
        }
    }

    /// `^` where a value begins and `$` where it ends say nothing.
    fn drop_anchors(&mut self) {
        let starts = self.0.iter().take_while(|part| **part == Part::Start).count();
        self.0.drain(..starts);
        while self.0.last() == Some(&Part::End) {
            self.0.pop();
        }
    }

    /// The only value that matches.
    pub(super) fn as_value(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// `None` where a gap of a fixed length is not the only one, or an anchor is left.
    pub(super) fn to_glob(&self) -> Option<Glob> {
        let (prefix, mut parts) = match self.0.split_first() {
            Some((Part::Text(text), rest)) => (text.as_str(), rest),
            _ => ("", self.0.as_slice()),
        };
        let suffix = match parts.split_last() {
            Some((Part::Text(text), rest)) => {
                parts = rest;
                text.as_str()
            }
            _ => "",
        };
        let mut inner = Vec::new();
        let mut gap: Option<Gap> = None;
        for part in parts {
            match part {
                Part::Any { min, or_more } => gap = Some(Gap { min_chars: *min, or_more: *or_more }),
                Part::Text(text) => inner.push((gap.take().filter(|gap| gap.or_more)?, text.as_str())),
                Part::Start | Part::End => return None,
            }
        }
        let last = gap.filter(|gap| gap.or_more || inner.is_empty())?;
        if inner.len() > MAX_INNER_TEXTS {
            return None;
        }
        Some(Glob::new(prefix, inner, last, suffix))
    }
}

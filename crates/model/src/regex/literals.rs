//! Text that every match has to begin or end with, or to contain: the index seeks with it, and values
//! without it need not be shown to the automaton.

use super::glob::{Gap, Glob};
use regex_syntax::hir::{Hir, HirKind};

/// Longer requirements exclude hardly more values.
const MAX_AFFIX_BYTES: usize = 256;
/// Looking for a shorter text costs about as much as the automaton does.
const MIN_INNER_BYTES: usize = 3;

/// The longest text that is easily seen to begin every match.
pub(super) fn prefix(hir: &Hir) -> String {
    affix(hir, Side::Front).text
}

/// What is necessary for a match, but not always sufficient; `None` where no text is.
pub(super) fn outline(hir: &Hir) -> Option<Glob> {
    let elements = match hir.kind() {
        HirKind::Concat(subs) => subs.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let (prefix, taken) = affix_of(elements, Side::Front);
    // No element may count on both sides: the two texts could overlap in it.
    let rest = elements.get(taken..).unwrap_or_default();
    let (suffix, taken) = affix_of(rest, Side::Back);
    let middle = &rest[..rest.len().saturating_sub(taken)];
    let texts = middle.iter().filter_map(literal).filter(|text| text.len() >= MIN_INNER_BYTES);
    // With a prefix the automaton gives up early enough by itself.
    let longest = texts.max_by_key(|text| text.len()).filter(|_| prefix.text.is_empty());
    let inner = longest.map(|text| (Gap::ANY, text));
    let glob = Glob::new(&prefix.text, inner, Gap::ANY, &suffix.text);
    glob.least_chars().is_none().then_some(glob)
}

pub(super) fn literal(hir: &Hir) -> Option<&str> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok(),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Front,
    Back,
}

impl Side {
    fn join(self, near: &str, far: &str) -> String {
        match self {
            Side::Front => format!("{near}{far}"),
            Side::Back => format!("{far}{near}"),
        }
    }

    /// What two texts share at this side.
    fn common<'a>(self, a: &'a str, b: &str) -> &'a str {
        match self {
            Side::Front => {
                let same = a.chars().zip(b.chars()).take_while(|(x, y)| x == y);
                &a[..same.map(|(c, _)| c.len_utf8()).sum()]
            }
            Side::Back => {
                let same = a.chars().rev().zip(b.chars().rev()).take_while(|(x, y)| x == y);
                &a[a.len() - same.map(|(c, _)| c.len_utf8()).sum::<usize>()..]
            }
        }
    }

    fn cut(self, text: &str) -> &str {
        let mut at = MAX_AFFIX_BYTES.min(text.len());
        match self {
            Side::Front => {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                &text[..at]
            }
            Side::Back => {
                let mut from = text.len() - at;
                while !text.is_char_boundary(from) {
                    from += 1;
                }
                &text[from..]
            }
        }
    }
}

struct Affix {
    text: String,
    /// Nothing but this text matches, so that what is beside it continues it.
    exact: bool,
}

impl Affix {
    fn none() -> Self {
        Affix { text: String::new(), exact: false }
    }

    fn exact(text: &str, side: Side) -> Self {
        let cut = side.cut(text);
        Affix { text: cut.to_owned(), exact: cut.len() == text.len() }
    }
}

fn affix(hir: &Hir, side: Side) -> Affix {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Affix { text: String::new(), exact: true },
        HirKind::Literal(_) => literal(hir).map_or_else(Affix::none, |text| Affix::exact(text, side)),
        HirKind::Class(_) => Affix::none(),
        HirKind::Capture(capture) => affix(&capture.sub, side),
        HirKind::Concat(subs) => affix_of(subs, side).0,
        HirKind::Repetition(rep) if rep.min == 0 => Affix::none(),
        HirKind::Repetition(rep) => {
            let inner = affix(&rep.sub, side);
            if !inner.exact || inner.text.is_empty() {
                return Affix { exact: false, ..inner };
            }
            let copies = (rep.min as usize).min(MAX_AFFIX_BYTES / inner.text.len() + 1);
            let all = Affix::exact(&inner.text.repeat(copies), side);
            Affix { exact: all.exact && copies == rep.min as usize && rep.max == Some(rep.min), ..all }
        }
        HirKind::Alternation(subs) => {
            let mut subs = subs.iter();
            let Some(mut shared) = subs.next().map(|sub| affix(sub, side)) else { return Affix::none() };
            for sub in subs {
                if shared.text.is_empty() {
                    return Affix::none();
                }
                let other = affix(sub, side);
                shared.exact &= other.exact && other.text == shared.text;
                shared.text = side.common(&shared.text, &other.text).to_owned();
            }
            shared
        }
    }
}

/// The affix of a sequence, and how many of its elements have a part in it.
fn affix_of(elements: &[Hir], side: Side) -> (Affix, usize) {
    let mut all = Affix { text: String::new(), exact: true };
    for nth in 0..elements.len() {
        let at = if side == Side::Front { nth } else { elements.len() - 1 - nth };
        let next = affix(&elements[at], side);
        let joined = Affix::exact(&side.join(&all.text, &next.text), side);
        all = Affix { exact: next.exact && joined.exact, ..joined };
        if !all.exact {
            return (all, nth + 1);
        }
    }
    (all, elements.len())
}

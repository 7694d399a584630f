//! Character classes: `[...]`, `\d` and its like, `[:alpha:]`, `\pL`, `\p{Greek}`.
//!
//! Under `(?i)` a class holds every case variant of its members; what is negated is the class so closed.

use super::cursor::{Cursor, Fault};
use super::unicode;
use crate::Result;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// What one named class adds to the cost of a pattern, whatever its size: its table has to be looked up.
const NAMED_STEPS: u64 = 64;

/// A class, and what it cost to build in steps of [`super::limits::MAX_BUILD_STEPS`].
pub(super) struct Built {
    pub(super) class: ClassUnicode,
    pub(super) steps: u64,
}

/// A character in upper and lower case, and what else folds to the same.
pub(super) fn case_variants(c: char) -> ClassUnicode {
    folded(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
}

/// `[...]`, with the cursor at the bracket. `no_posix` is kept between the brackets of a pattern: there is
/// no `:]` in the rest of it, so that hostile ones do not make us look for it again and again.
pub(super) fn bracket(cursor: &mut Cursor<'_>, fold: bool, no_posix: &mut bool) -> Result<Built> {
    let start = *cursor;
    cursor.next();
    let is_negated = cursor.eat("^");
    let mut set = Set { fold, ..Set::default() };
    let mut first = true;
    // A bracket that closes nothing yet stands for itself.
    while first || cursor.peek() != Some(']') {
        first = false;
        if let Some(built) = posix(cursor, fold, no_posix)? {
            set.add_closed(&built);
        } else if let Some(built) = escaped(cursor, fold)? {
            set.add_closed(&built);
        } else {
            set.add_range(cursor, start)?;
        }
    }
    cursor.next();
    Ok(set.finish(is_negated))
}

/// `\d`, `\pL` and their like; `None` where something else comes next.
pub(super) fn escaped(cursor: &mut Cursor<'_>, fold: bool) -> Result<Option<Built>> {
    let mut ahead = *cursor;
    if !ahead.eat("\\") {
        return Ok(None);
    }
    let (name, is_negated) = match ahead.next() {
        Some('d') => ("digit", false),
        Some('D') => ("digit", true),
        Some('s') => ("perl space", false),
        Some('S') => ("perl space", true),
        Some('w') => ("word", false),
        Some('W') => ("word", true),
        Some('p') => return named(cursor, false, fold).map(Some),
        Some('P') => return named(cursor, true, fold).map(Some),
        _ => return Ok(None),
    };
    *cursor = ahead;
    Ok(ascii(name).map(|class| closed(class, is_negated, fold)))
}

/// `[:alpha:]` or `[:^alpha:]` within a class.
fn posix(cursor: &mut Cursor<'_>, fold: bool, no_posix: &mut bool) -> Result<Option<Built>> {
    let start = *cursor;
    let mut ahead = *cursor;
    if *no_posix || !ahead.eat("[:") {
        return Ok(None);
    }
    let Some(inner) = ahead.until(":]") else {
        *no_posix = true;
        return Ok(None);
    };
    let (name, is_negated) = match inner.strip_prefix('^') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let class = ascii(name).filter(|_| name != "perl space");
    let class = class.ok_or_else(|| Fault::ClassRange.at(ahead.since(start)))?;
    *cursor = ahead;
    Ok(Some(closed(class, is_negated, fold)))
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`, with the cursor at the backslash.
fn named(cursor: &mut Cursor<'_>, is_negated: bool, fold: bool) -> Result<Built> {
    let start = *cursor;
    cursor.next();
    cursor.next();
    let after_p = *cursor;
    let name = match cursor.next() {
        Some('{') => cursor.until("}").ok_or_else(|| Fault::ClassRange.at(start.rest()))?,
        Some(_) => cursor.since(after_p),
        None => "",
    };
    let (name, is_negated) = match name.strip_prefix('^') {
        Some(name) => (name, !is_negated),
        None => (name, is_negated),
    };
    let class = unicode::class(name).ok_or_else(|| Fault::ClassRange.at(cursor.since(start)))?;
    let mut built = closed(class, is_negated, fold);
    built.steps += NAMED_STEPS;
    Ok(built)
}

/// ASCII classes by their POSIX names, and Perl's `\s`, which lacks the vertical tab.
fn ascii(name: &str) -> Option<ClassUnicode> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7F')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1F'), ('\x7F', '\x7F')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "perl space" => &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some(ClassUnicode::new(ranges.iter().map(|&(lo, hi)| ClassUnicodeRange::new(lo, hi))))
}

/// A named class with its case variants, then negated.
fn closed(class: ClassUnicode, is_negated: bool, fold: bool) -> Built {
    let class = if fold { folded(class) } else { class };
    let class = if is_negated { negated(&class) } else { class };
    let steps = class.ranges().len() as u64 + 1;
    Built { class, steps }
}

fn folded(mut class: ClassUnicode) -> ClassUnicode {
    // The tables are compiled in, so this cannot fail.
    let _ = class.try_case_fold_simple();
    class
}

/// The members of a bracket, gathered so that they are sorted only once.
#[derive(Default)]
struct Set {
    fold: bool,
    /// Still without their case variants.
    plain: Vec<ClassUnicodeRange>,
    closed: Vec<ClassUnicodeRange>,
    steps: u64,
}

impl Set {
    fn add_closed(&mut self, built: &Built) {
        self.closed.extend_from_slice(built.class.ranges());
        self.steps += built.steps;
    }

    /// A character, or a range of them. `whole` is where the class began.
    fn add_range(&mut self, cursor: &mut Cursor<'_>, whole: Cursor<'_>) -> Result<()> {
        let start = *cursor;
        let lo = member(cursor, whole)?;
        let mut hi = lo;
        let mut ahead = *cursor;
        // In `[a-]` the dash stands for itself.
        if ahead.eat("-") && ahead.peek().is_some_and(|c| c != ']') {
            *cursor = ahead;
            hi = member(cursor, whole)?;
            if hi < lo {
                return Err(Fault::ClassRange.at(cursor.since(start)));
            }
        }
        self.steps += 1;
        self.plain.extend(without_surrogates(lo, hi));
        Ok(())
    }

    fn finish(self, is_negated: bool) -> Built {
        let mut class = ClassUnicode::new(self.plain);
        if self.fold {
            class = folded(class);
        }
        if !self.closed.is_empty() {
            class.union(&ClassUnicode::new(self.closed));
        }
        if is_negated {
            class = negated(&class);
        }
        let steps = self.steps + class.ranges().len() as u64 + 1;
        Built { class, steps }
    }
}

fn member(cursor: &mut Cursor<'_>, whole: Cursor<'_>) -> Result<u32> {
    match cursor.peek() {
        Some('\\') => cursor.escape(),
        Some(c) => {
            cursor.next();
            Ok(c as u32)
        }
        None => Err(Fault::MissingBracket.at(whole.rest())),
    }
}

/// The code points from `lo` to `hi` that can be in a valid string.
fn without_surrogates(lo: u32, hi: u32) -> Option<ClassUnicodeRange> {
    let lo = if is_surrogate(lo) { 0xE000 } else { lo };
    let hi = if is_surrogate(hi) { 0xD7FF } else { hi };
    let (first, last) = (char::from_u32(lo)?, char::from_u32(hi)?);
    (first <= last).then(|| ClassUnicodeRange::new(first, last))
}

fn is_surrogate(code: u32) -> bool {
    (0xD800..=0xDFFF).contains(&code)
}

/// What is not in `class`. Ranges that meet at the surrogates are joined first: what is between them would
/// otherwise be taken for a range in reverse.
pub(super) fn negated(class: &ClassUnicode) -> ClassUnicode {
    let mut ranges: Vec<ClassUnicodeRange> = Vec::with_capacity(class.ranges().len());
    for &range in class.ranges() {
        match ranges.last_mut() {
            Some(before) if before.end() == '\u{D7FF}' && range.start() == '\u{E000}' => {
                *before = ClassUnicodeRange::new(before.start(), range.end());
            }
            _ => ranges.push(range),
        }
    }
    let mut class = ClassUnicode::new(ranges);
    class.negate();
    class
}

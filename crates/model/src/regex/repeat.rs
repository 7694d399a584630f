//! Repetition operators: `*`, `+`, `?`, `{2}`, `{2,}`, `{2,5}`.

use super::cursor::{Cursor, Fault};
use super::limits::MAX_REPEAT;
use crate::Result;

/// How often; no `max` means without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    /// Written in braces: only these count towards the limit of nested repeats.
    pub(super) braces: bool,
}

impl Counts {
    /// Reads the operator that comes next. `None` where a brace does not begin one: it stands for itself.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Option<Counts>> {
        let start = *cursor;
        let mut ahead = *cursor;
        let counts = match ahead.next() {
            Some('*') => Some((0, None)),
            Some('+') => Some((1, None)),
            Some('?') => Some((0, Some(1))),
            Some('{') => braces(&mut ahead),
            _ => None,
        };
        let Some((min, max)) = counts else { return Ok(None) };
        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
            return Err(Fault::RepeatCount.at(ahead.since(start)));
        }
        *cursor = ahead;
        Ok(Some(Counts { min, max, braces: start.peek() == Some('{') }))
    }

    /// The largest number of copies that nesting this around something repeated `inner` times makes.
    pub(super) fn times(self, inner: u32) -> u32 {
        match (self.braces, self.max, self.min) {
            (false, ..) => inner,
            // Go does not look into what is repeated zero times.
            (true, Some(0), _) => 1,
            (true, Some(max), _) => inner.saturating_mul(max),
            (true, None, min) => inner.saturating_mul(min.max(1)),
        }
    }

    /// Go looks at nested repeats only here.
    pub(super) fn is_checked(self) -> bool {
        self.braces && (self.min >= 2 || self.max.is_some_and(|max| max >= 2))
    }
}

/// The inside of braces, up to the closing one.
fn braces(ahead: &mut Cursor<'_>) -> Option<(u32, Option<u32>)> {
    let min = ahead.number()?;
    let max = if !ahead.eat(",") {
        Some(min)
    } else if ahead.peek() == Some('}') {
        None
    } else {
        Some(ahead.number()?)
    };
    ahead.eat("}").then_some((min, max))
}

//! From matchers to the series that can match: which postings lists to read, and in which order.
//!
//! A series matches if all matchers do, where a missing label is empty. So a matcher that refuses the empty
//! value picks from the lists of the values it takes; one that takes it removes what the lists of the other
//! values have. What names its values comes first, smallest list first; what has to look through all values
//! comes last. Where so few series are left that it is cheaper, their labels are looked at instead.

use super::offsets::{Name, Offsets};
use super::{Index, is_corrupt, postings};
use crate::source::Window;
use nilometer_model::{Error, MatchKind, Matcher, Result};
use std::ops::ControlFlow;

/// So many references of a list are read in the time that the labels of one series take.
const REFS_PER_ENTRY: u64 = 64;

/// How long a list is taken to be before it is read: ten thousand series.
const LIST_BYTES: u64 = 40 << 10;

/// Series that can match, as rising references.
pub(crate) struct Plan {
    pub(crate) refs: Vec<u32>,
    /// What is still to be checked on the labels of each.
    pub(crate) filter: Vec<Matcher>,
    /// Damage that was read around.
    pub(crate) warnings: Vec<Error>,
}

pub(crate) fn plan(index: &Index, matchers: &[Matcher]) -> Result<Plan> {
    let offsets = match &index.offsets {
        Ok(offsets) => offsets,
        Err(damage) => {
            let mut warnings = vec![damage.clone()];
            let refs = index.all_series_by_walk(&mut warnings)?;
            return Ok(Plan { refs, filter: matchers.to_vec(), warnings });
        }
    };
    let mut planner = Planner {
        index,
        offsets,
        window: Window::default(),
        refs: None,
        filter: Vec::new(),
        warnings: Vec::new(),
        exact: Vec::new(),
        scans: Vec::new(),
    };
    for matcher in matchers {
        if planner.add(matcher)?.is_break() {
            return Ok(Plan { refs: Vec::new(), filter: Vec::new(), warnings: planner.warnings });
        }
    }
    planner.run()
}

struct Planner<'a> {
    index: &'a Index,
    offsets: &'a Offsets,
    window: Window,
    /// What is left so far; nothing yet is all.
    refs: Option<Vec<u32>>,
    filter: Vec<Matcher>,
    warnings: Vec<Error>,
    exact: Vec<Exact<'a>>,
    scans: Vec<Scan<'a>>,
}

/// A matcher that names its values.
struct Exact<'a> {
    matcher: &'a Matcher,
    lists: Vec<u64>,
    /// Whether the lists are picked from or removed.
    pick: bool,
    size: u64,
}

/// A matcher whose values have to be looked for among all.
struct Scan<'a> {
    matcher: &'a Matcher,
    name: &'a Name,
    pick: bool,
}

impl<'a> Planner<'a> {
    /// Breaks where nothing can match.
    fn add(&mut self, matcher: &'a Matcher) -> Result<ControlFlow<()>> {
        let takes_empty = matcher.matches_empty();
        let Some(name) = self.offsets.name(&matcher.name).filter(|n| !n.name.is_empty()) else {
            // No series has this label.
            return Ok(if takes_empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        };
        let anything = matcher.regex().is_some() && &*matcher.value == ".*";
        if anything {
            return Ok(if takes_empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        }
        let named = named_values(matcher, takes_empty);
        let Some(values) = named else {
            self.scans.push(Scan { matcher, name, pick: !takes_empty });
            return Ok(ControlFlow::Continue(()));
        };
        match self.lists_of(name, &values) {
            Ok((lists, _)) if lists.is_empty() && !takes_empty => return Ok(ControlFlow::Break(())),
            Ok((lists, size)) => self.exact.push(Exact { matcher, lists, pick: !takes_empty, size }),
            Err(e) => self.look_at_labels(matcher, e)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn lists_of(&mut self, name: &Name, values: &[&str]) -> Result<(Vec<u64>, u64)> {
        let (mut lists, mut size) = (Vec::new(), 0);
        let mut heads = Window::default();
        for value in values {
            if let Some(list) = name.find(&mut self.window, &self.index.source, value)? {
                size += u64::from(postings::count(&mut heads, &self.index.source, list)?);
                lists.push(list);
            }
        }
        Ok((lists, size))
    }

    fn run(mut self) -> Result<Plan> {
        self.exact.sort_by_key(|e| e.size);
        self.scans.sort_by_key(|s| s.name.values);
        let (exact_picks, exact_removes) = std::mem::take(&mut self.exact).into_iter().partition(|e| e.pick);
        let (scan_picks, scan_removes) = std::mem::take(&mut self.scans).into_iter().partition(|s| s.pick);
        self.run_exact(exact_picks)?;
        self.run_scans(scan_picks)?;
        if self.refs.is_none() {
            self.refs = Some(self.all_series()?);
        }
        self.run_exact(exact_removes)?;
        self.run_scans(scan_removes)?;
        Ok(Plan { refs: self.refs.unwrap_or_default(), filter: self.filter, warnings: self.warnings })
    }

    fn run_exact(&mut self, steps: Vec<Exact<'_>>) -> Result<()> {
        for step in steps {
            // Whoever has few series left need not read that almost all of them are in one cluster.
            if self.refs.as_ref().is_some_and(|refs| REFS_PER_ENTRY * refs.len() as u64 <= step.size) {
                self.filter.push(step.matcher.clone());
                continue;
            }
            match self.read_lists(step.lists) {
                Ok(refs) => self.apply(&refs, step.pick),
                Err(e) => self.look_at_labels(step.matcher, e)?,
            }
        }
        Ok(())
    }

    fn run_scans(&mut self, steps: Vec<Scan<'_>>) -> Result<()> {
        for step in steps {
            // Each value costs about as much as the labels of a series do.
            if self.refs.as_ref().is_some_and(|refs| refs.len() <= 2 * step.name.values) {
                self.filter.push(step.matcher.clone());
                continue;
            }
            match self.scan(&step).and_then(|lists| self.read_lists(lists)) {
                Ok(refs) => self.apply(&refs, step.pick),
                Err(e) => self.look_at_labels(step.matcher, e)?,
            }
        }
        Ok(())
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<u64>> {
        let mut lists = Vec::new();
        let prefix = match (scan.pick, scan.matcher.kind, scan.matcher.regex()) {
            (true, MatchKind::Regex, Some(regex)) => regex.prefix(),
            _ => "",
        };
        self.index.values(scan.name, prefix, |value, list| {
            if scan.matcher.matches(value) == scan.pick {
                lists.push(list);
            }
            ControlFlow::Continue(())
        })?;
        Ok(lists)
    }

    fn read_lists(&mut self, mut lists: Vec<u64>) -> Result<Vec<u32>> {
        // In the order of the file, so that reading goes ahead.
        lists.sort_unstable();
        self.index.source.will_need(lists.iter().map(|list| *list..list + LIST_BYTES));
        let mut refs = Vec::new();
        for list in lists {
            postings::read(&mut self.window, &self.index.source, list, &mut refs)?;
        }
        postings::unite(&mut refs);
        Ok(refs)
    }

    fn apply(&mut self, lists: &[u32], pick: bool) {
        match (&mut self.refs, pick) {
            (Some(refs), true) => postings::intersect(refs, lists),
            (Some(refs), false) => postings::subtract(refs, lists),
            (none, _) => *none = Some(lists.to_vec()),
        }
    }

    fn all_series(&mut self) -> Result<Vec<u32>> {
        match self.index.all_series(&mut self.window) {
            Err(damage) if is_corrupt(&damage) => {
                self.warnings.push(damage);
                self.index.all_series_by_walk(&mut self.warnings)
            }
            all => all,
        }
    }

    /// A damaged list costs time, not the answer: the labels of the series say the same.
    fn look_at_labels(&mut self, matcher: &Matcher, damage: Error) -> Result<()> {
        if !is_corrupt(&damage) {
            return Err(damage);
        }
        self.warnings.push(damage);
        self.filter.push(matcher.clone());
        Ok(())
    }
}

/// The values that a matcher takes, or where it takes the empty one those that it refuses, if it names them.
fn named_values(matcher: &Matcher, takes_empty: bool) -> Option<Vec<&str>> {
    match matcher.kind {
        // `a=""` refuses, and `a!=""` takes, more than can be named.
        MatchKind::Equal | MatchKind::NotEqual if matcher.value.is_empty() => None,
        MatchKind::Equal | MatchKind::NotEqual => Some(vec![&*matcher.value]),
        MatchKind::Regex | MatchKind::NotRegex => {
            let negated = matcher.kind == MatchKind::NotRegex;
            let set = matcher.regex()?.set_matches()?;
            // What is named must be what is picked (positive) or removed (negative).
            (negated == takes_empty).then(|| set.iter().map(String::as_str).collect())
        }
    }
}

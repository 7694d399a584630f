//! From matchers to slots.

use super::{Index, Slot};
use nilometer_model::{MatchKind, Matcher};
use std::collections::BTreeSet;

impl Index {
    /// The slots that match all of `matchers`, as in Prometheus: a matcher that matches `""` also takes
    /// series without the label, so it is answered by taking away what does not match.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> Vec<Slot> {
        let (must, may): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| !m.matches_empty());
        let mut found: Option<Vec<Slot>> = None;
        for matcher in must {
            let slots = self.having(matcher, |value| matcher.matches(value));
            found = Some(match found {
                Some(so_far) => intersect(&so_far, &slots),
                None => slots,
            });
            if found.as_ref().is_some_and(Vec::is_empty) {
                return Vec::new();
            }
        }
        let mut found = found.unwrap_or_else(|| (0..self.len() as Slot).collect());
        for matcher in may {
            if found.is_empty() {
                break;
            }
            found = subtract(&found, &self.having(matcher, |value| !matcher.matches(value)));
        }
        found
    }

    /// The slots that have the label of `matcher` with a value that `wanted` takes.
    fn having(&self, matcher: &Matcher, wanted: impl Fn(&str) -> bool) -> Vec<Slot> {
        let Some(name) = self.symbols.find(&matcher.name) else { return Vec::new() };
        if matcher.kind == MatchKind::Equal && !matcher.value.is_empty() {
            return self.with_values(name, &[&matcher.value]);
        }
        if let (MatchKind::Regex, Some(set), false) =
            (matcher.kind, matcher.regex().and_then(|r| r.set_matches()), matcher.matches_empty())
        {
            return self.with_values(name, &set.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let has = |pair: &&u32| wanted(self.symbols.get(self.pairs.symbols(**pair).1));
        self.union(self.pairs.of_name(name).iter().filter(has).copied())
    }

    fn with_values(&self, name: u32, values: &[&str]) -> Vec<Slot> {
        let found = |value: &&str| self.pairs.find(name, self.symbols.find(value)?);
        self.union(values.iter().filter_map(found))
    }

    /// The slots that have one of some pairs of one name.
    fn union(&self, pairs: impl Iterator<Item = u32>) -> Vec<Slot> {
        let lists: Vec<_> = pairs.map(|pair| self.pairs.list(pair)).collect();
        let mut all: Vec<Slot> = Vec::with_capacity(lists.iter().map(|l| l.len()).sum());
        for list in &lists {
            all.extend(list.iter());
        }
        // Lists of one name never share a slot, so there is nothing to remove.
        if lists.len() > 1 {
            all.sort_unstable();
        }
        all
    }

    /// All names, sorted; of only some slots where given.
    pub(crate) fn label_names(&self, of: Option<&[Slot]>) -> Vec<String> {
        let symbols: BTreeSet<u32> = match of {
            None => self.pairs.names().collect(),
            Some(slots) => {
                let pairs = slots.iter().flat_map(|&slot| self.rows.get(slot));
                pairs.map(|&pair| self.pairs.symbols(pair).0).collect()
            }
        };
        self.sorted_text(symbols)
    }

    /// All values of a name, sorted; of only some slots where given.
    pub(crate) fn label_values(&self, name: &str, of: Option<&[Slot]>) -> Vec<String> {
        let Some(name) = self.symbols.find(name) else { return Vec::new() };
        let symbols: BTreeSet<u32> = match of {
            None => self.values(name).collect(),
            Some(slots) => {
                let pairs = |&slot: &Slot| self.rows.get(slot).iter().map(|&pair| self.pairs.symbols(pair));
                let value = |slot: &Slot| pairs(slot).find(|(n, _)| *n == name).map(|(_, v)| v);
                slots.iter().filter_map(value).collect()
            }
        };
        self.sorted_text(symbols)
    }

    fn sorted_text(&self, symbols: BTreeSet<u32>) -> Vec<String> {
        let mut text: Vec<String> = symbols.into_iter().map(|s| self.symbols.get(s).to_owned()).collect();
        text.sort_unstable();
        text
    }

    /// The values of a name, as symbols.
    fn values(&self, name: u32) -> impl Iterator<Item = u32> {
        self.pairs.of_name(name).iter().map(|&pair| self.pairs.symbols(pair).1)
    }

    /// For each name: how many values, and the bytes of their text.
    pub(crate) fn values_by_name(&self) -> Vec<(String, u64, u64)> {
        let of = |name: u32| {
            let bytes = self.values(name).map(|value| self.symbols.get(value).len() as u64);
            (self.symbols.get(name).to_owned(), self.values(name).count() as u64, bytes.sum())
        };
        self.pairs.names().map(of).collect()
    }

    /// For each pair of name and value: how many series have it.
    pub(crate) fn series_by_pair(&self) -> Vec<(String, String, u64)> {
        let of = |pair: u32| {
            let (name, value) = self.texts_of(pair);
            (name.to_owned(), value.to_owned(), self.pairs.list(pair).len() as u64)
        };
        (0..self.pairs.len() as u32).map(of).collect()
    }
}

fn intersect(a: &[Slot], b: &[Slot]) -> Vec<Slot> {
    let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let mut rest = many;
    let mut out = Vec::with_capacity(few.len());
    for &slot in few {
        rest = &rest[gallop(rest, slot)..];
        if rest.first() == Some(&slot) {
            out.push(slot);
        }
    }
    out
}

fn subtract(a: &[Slot], b: &[Slot]) -> Vec<Slot> {
    let mut rest = b;
    let mut out = Vec::with_capacity(a.len());
    for &slot in a {
        rest = &rest[gallop(rest, slot)..];
        if rest.first() != Some(&slot) {
            out.push(slot);
        }
    }
    out
}

/// Where the first element not below `slot` stands, found in steps that double.
fn gallop(slots: &[Slot], slot: Slot) -> usize {
    let mut end = 1;
    while end < slots.len() && slots[end] < slot {
        end *= 2;
    }
    let from = end / 2;
    from + slots[from..slots.len().min(end + 1)].partition_point(|&s| s < slot)
}

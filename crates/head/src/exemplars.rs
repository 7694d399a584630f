//! The newest exemplars of a tenant, bounded in number and bytes.
//!
//! All of them stand in one tree, by series and time, so that a series may have one or all: whether one is
//! there already, and which of a series is the oldest, costs the same in either case. The one that came first
//! of all leaves first, or rather the oldest of its series.

use nilometer_model::{Exemplar, Labels, Matcher, TimeRange};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

const MAX_EXEMPLARS: usize = 100_000;
const MAX_EXEMPLAR_BYTES: usize = 16 << 20;

/// Prometheus' bound on the label text of one exemplar, in characters.
pub(crate) const MAX_EXEMPLAR_LABEL_CHARS: usize = 128;

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    New,
    Same,
    OutOfOrder,
}

pub(crate) struct Exemplars {
    series: HashMap<Labels, Held>,
    tree: BTreeSet<Entry>,
    /// The series of each, as they came.
    came: VecDeque<Labels>,
    next_series: u64,
    bytes: usize,
    max: usize,
    max_bytes: usize,
}

/// What is held of one series.
struct Held {
    /// By which the tree knows it.
    number: u64,
    newest_ms: i64,
    count: usize,
}

struct Entry {
    series: u64,
    exemplar: Exemplar,
}

impl Default for Exemplars {
    fn default() -> Self {
        Exemplars::bounded(MAX_EXEMPLARS, MAX_EXEMPLAR_BYTES)
    }
}

impl Exemplars {
    fn bounded(max: usize, max_bytes: usize) -> Self {
        Exemplars {
            series: HashMap::new(),
            tree: BTreeSet::new(),
            came: VecDeque::new(),
            next_series: 0,
            bytes: 0,
            max,
            max_bytes,
        }
    }

    /// Takes an exemplar of a series unless it is older than the series' newest one, as Prometheus does. One
    /// that is there already is there, whatever came since.
    pub(crate) fn add(&mut self, series: &Labels, exemplar: Exemplar) -> Kept {
        let t_ms = exemplar.t_ms;
        let (held, is_new) = match self.series.get_mut(series) {
            Some(held) => (held, false),
            None => {
                let held = Held { number: self.next_series, newest_ms: t_ms, count: 0 };
                self.next_series += 1;
                (self.series.entry(series.clone()).or_insert(held), true)
            }
        };
        let entry = Entry { series: held.number, exemplar };
        if self.tree.contains(&entry) {
            return Kept::Same;
        }
        if t_ms < held.newest_ms {
            return Kept::OutOfOrder;
        }
        held.newest_ms = t_ms;
        held.count += 1;
        self.bytes += entry.bytes() + if is_new { series_bytes(series) } else { 0 };
        self.tree.insert(entry);
        self.came.push_back(series.clone());
        while self.tree.len() > self.max || self.bytes > self.max_bytes {
            self.drop_oldest();
        }
        Kept::New
    }

    fn drop_oldest(&mut self) {
        let labels = self.came.pop_front().expect("each exemplar came");
        let held = self.series.get_mut(&labels).expect("a series with exemplars is held");
        let oldest = self.tree.range(Entry::first(held.number, i64::MIN)..).next();
        let oldest = oldest.map(|e| Entry { series: e.series, exemplar: e.exemplar.clone() });
        let oldest = oldest.expect("each that came is there");
        self.tree.remove(&oldest);
        self.bytes -= oldest.bytes();
        held.count -= 1;
        if held.count == 0 {
            self.series.remove(&labels);
            self.bytes -= series_bytes(&labels);
        }
    }

    /// By series, the exemplars in a range of those that any matcher set selects.
    pub(crate) fn matching(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> BTreeMap<Labels, Vec<Exemplar>> {
        let mut found = BTreeMap::new();
        for (labels, held) in &self.series {
            if !sets.iter().any(|set| set.iter().all(|m| m.matches_labels(labels))) {
                continue;
            }
            let of_series = self.tree.range(Entry::first(held.number, range.min_ms)..);
            let wanted = |e: &&Entry| e.series == held.number && e.exemplar.t_ms <= range.max_ms;
            let exemplars: Vec<_> = of_series.take_while(wanted).map(|e| e.exemplar.clone()).collect();
            if !exemplars.is_empty() {
                found.insert(labels.clone(), exemplars);
            }
        }
        found
    }

    /// Oldest first, so that whoever takes them again keeps the newest.
    pub(crate) fn all(&self) -> Vec<(&Labels, &Exemplar)> {
        let labels: HashMap<u64, &Labels> = self.series.iter().map(|(l, held)| (held.number, l)).collect();
        let mut all: Vec<_> = self.tree.iter().map(|e| (labels[&e.series], &e.exemplar)).collect();
        all.sort_by_key(|(_, exemplar)| exemplar.t_ms);
        all
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes
    }
}

/// The label text of a series is held once for all its exemplars.
fn series_bytes(labels: &Labels) -> usize {
    labels.as_bytes().len() + 2 * size_of::<(Labels, Held)>()
}

impl Entry {
    /// Before all of a series that are not before a time.
    fn first(series: u64, t_ms: i64) -> Entry {
        // Of all floats none is before this one in the total order.
        Entry { series, exemplar: Exemplar { labels: Labels::empty(), t_ms, v: f64::from_bits(u64::MAX) } }
    }

    fn bytes(&self) -> usize {
        self.exemplar.labels.as_bytes().len() + 2 * (size_of::<Entry>() + size_of::<Labels>())
    }
}

/// Two exemplars are equal where they are the same to the bit.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.exemplar, &other.exemplar);
        self.series
            .cmp(&other.series)
            .then(a.t_ms.cmp(&b.t_ms))
            .then_with(|| a.v.total_cmp(&b.v))
            .then_with(|| a.labels.cmp(&b.labels))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(n: usize) -> Labels {
        Labels::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())])
    }

    fn exemplar(t_ms: i64, v: f64, trace: usize) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace", trace.to_string())]), t_ms, v }
    }

    fn same(a: &Exemplar, b: &Exemplar) -> bool {
        a.labels == b.labels && a.t_ms == b.t_ms && a.v.to_bits() == b.v.to_bits()
    }

    fn arrivals() -> impl Strategy<Value = Vec<(usize, Exemplar)>> {
        let v = prop_oneof![Just(1.0), Just(-0.0), Just(0.0), Just(f64::NAN)];
        let one = (0..4usize, 0..8i64, v, 0..2usize);
        prop::collection::vec(one.prop_map(|(n, t, v, trace)| (n, exemplar(t, v, trace))), 0..60)
    }

    fn sorted(all: &[(usize, Exemplar)], of: usize, range: TimeRange) -> Vec<Exemplar> {
        let wanted = all.iter().filter(|(n, e)| *n == of && range.contains(e.t_ms));
        let mut entries: Vec<Entry> = wanted.map(|(_, e)| Entry { series: 0, exemplar: e.clone() }).collect();
        entries.sort();
        entries.into_iter().map(|e| e.exemplar).collect()
    }

    /// It was quadratic once: then this takes minutes.
    #[test]
    fn many_series_with_one_each_or_one_with_many() {
        for series in [MAX_EXEMPLARS, 1] {
            let mut exemplars = Exemplars::default();
            for n in 0..MAX_EXEMPLARS {
                // At one time and descending: the worst order that there is.
                let exemplar = exemplar(7, -(n as f64), 0);
                assert_eq!(exemplars.add(&labels(n % series), exemplar), Kept::New);
                assert!(exemplars.heap_bytes() <= MAX_EXEMPLAR_BYTES);
            }
            assert!(exemplars.all().len() > MAX_EXEMPLARS / 4, "{}", exemplars.all().len());
        }
    }

    #[test]
    fn bytes_bound_and_come_back() {
        let mut exemplars = Exemplars::bounded(usize::MAX, 10_000);
        for n in 0..1_000 {
            exemplars.add(&labels(n % 37), exemplar(n as i64, 1.0, n));
            assert!(exemplars.heap_bytes() <= 10_000);
        }
        assert!(exemplars.all().iter().all(|(_, e)| e.t_ms > 900), "the newest stay");
        while !exemplars.came.is_empty() {
            exemplars.drop_oldest();
        }
        assert_eq!((exemplars.heap_bytes(), exemplars.series.len(), exemplars.tree.len()), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn equals_the_naive_one(arrivals in arrivals(), max in 1..20usize) {
            let mut exemplars = Exemplars::bounded(max, usize::MAX);
            let (mut naive, mut came) = (Vec::<(usize, Exemplar)>::new(), Vec::new());
            for (n, exemplar) in arrivals {
                let of_series = || naive.iter().filter(|(m, _)| *m == n).map(|(_, e)| e);
                let want = if of_series().any(|e| same(e, &exemplar)) {
                    Kept::Same
                } else if of_series().any(|e| e.t_ms > exemplar.t_ms) {
                    Kept::OutOfOrder
                } else {
                    Kept::New
                };
                prop_assert_eq!(exemplars.add(&labels(n), exemplar.clone()), want);
                if want == Kept::New {
                    naive.push((n, exemplar));
                    came.push(n);
                }
                if naive.len() > max {
                    let first = came.remove(0);
                    let oldest = sorted(&naive, first, TimeRange::ALL).remove(0);
                    naive.retain(|(n, e)| *n != first || !same(e, &oldest));
                }
            }
            for n in 0..4 {
                let only = vec![vec![Matcher::equal("n", n.to_string().as_str())]];
                let range = TimeRange::new(2, 6);
                let found = exemplars.matching(&only, range).remove(&labels(n)).unwrap_or_default();
                let want = sorted(&naive, n, range);
                prop_assert_eq!(found.len(), want.len());
                prop_assert!(found.iter().zip(&want).all(|(a, b)| same(a, b)));
            }
            prop_assert_eq!(exemplars.all().len(), naive.len());
            prop_assert!(exemplars.all().is_sorted_by_key(|(_, e)| e.t_ms));
        }
    }
}

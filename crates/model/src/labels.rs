//! A set of labels: what makes a series that series.
//!
//! Packed into one shared slice, so that a clone is a counter and a comparison is one `memcmp`:
//!
//! ```text
//! ┌────────────────┬──────┬─────────────────┬───────┬───
//! │ len(name) <uv> │ name │ len(value) <uv> │ value │ …    sorted by name, names unique, no value empty
//! └────────────────┴──────┴─────────────────┴───────┴───
//! ```
//!
//! The encoding is canonical (`<uv>` is a minimal LEB128 varint), so equal sets have equal bytes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

pub const METRIC_NAME: &str = "__name__";

/// An immutable, sorted set of labels. Invariant: every name and value is valid UTF-8, since the only
/// ways in take `&str`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    pub fn empty() -> Self {
        Labels(Arc::from([]))
    }

    /// From pairs in any order; of two pairs with one name the later wins, an empty value removes.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// From pairs that are already sorted by name, unique and not empty.
    ///
    /// # Panics
    /// In tests, if they are not: that is the caller's bug, outside input is checked before.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut bytes = Vec::with_capacity(512);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|l| l < name), "labels are not sorted: {last:?} before {name:?}");
            debug_assert!(!value.is_empty(), "label {name:?} is empty");
            push_str(&mut bytes, name);
            push_str(&mut bytes, value);
            last = Some(name);
        }
        Labels(Arc::from(bytes))
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The value of `name`; `""` where there is none, as everywhere in Prometheus.
    pub fn get(&self, name: &str) -> &str {
        self.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n == name)
    }

    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// The packed form drawn in the module's head, equal for equal sets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// These labels, to be changed.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Only the labels for which `keep` says so.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        Labels::from_sorted(self.iter().filter(|(n, _)| keep(n)))
    }

    #[must_use]
    pub fn without(&self, name: &str) -> Labels {
        if self.has(name) { self.filter(|n| n != name) } else { self.clone() }
    }

    /// These labels with `over` laid on top: on a clash `over` wins.
    #[must_use]
    pub fn merged_with(&self, over: &Labels) -> Labels {
        let mut bytes = Vec::with_capacity(self.0.len() + over.0.len());
        // What stands between the names of `over` is copied as it is.
        let mut rest = self.iter();
        for (name, value) in over {
            let from = rest.0;
            let mut next = rest.clone();
            while next.next().is_some_and(|(own, _)| own < name) {
                rest = next.clone();
            }
            bytes.extend_from_slice(&from[..from.len() - rest.0.len()]);
            let mut next = rest.clone();
            if next.next().is_some_and(|(own, _)| own == name) {
                rest = next;
            }
            push_str(&mut bytes, name);
            push_str(&mut bytes, value);
        }
        bytes.extend_from_slice(rest.0);
        Labels(Arc::from(bytes))
    }
}

/// Prometheus' order: pair by pair, name before value, a shorter set before its extension.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.iter().cmp(other.iter()) }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    /// As Prometheus prints a series: `{__name__="up", job="a"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks the packed form.
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some((take_str(&mut self.0), take_str(&mut self.0)))
    }
}

/// Labels while they are being put together; small, so a sorted vector.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets `name`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(i) if value.is_empty() => drop(self.pairs.remove(i)),
            Ok(i) => value.clone_into(&mut self.pairs[i].1),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

fn push_str(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn take_str<'a>(bytes: &mut &'a [u8]) -> &'a str {
    // Nearly all are short.
    if let Some((&len, rest)) = bytes.split_first().filter(|(len, _)| **len < 0x80) {
        let (text, rest) = rest.split_at(usize::from(len));
        *bytes = rest;
        return as_str(text);
    }
    let (mut len, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    let text = &bytes[at..at + len];
    *bytes = &bytes[at + len..];
    as_str(text)
}

#[allow(unsafe_code)]
fn as_str(text: &[u8]) -> &str {
    // SAFETY: `text` is a whole string that `push_str` wrote from a `&str`: the packed bytes are private,
    // made only by `push_str`, and walked only from their start by `take_str`.
    unsafe { std::str::from_utf8_unchecked(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorts_and_drops_empty() {
        let labels = Labels::from_pairs([("z", "1"), ("a", "2"), ("m", "")]);
        assert_eq!(labels.to_string(), r#"{a="2", z="1"}"#);
        assert_eq!((labels.get("z"), labels.get("m"), labels.len()), ("1", "", 2));
    }

    #[test]
    fn long_values_survive() {
        let long = "x".repeat(70_000);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "y")]);
        assert_eq!((labels.get("a"), labels.get("b")), (long.as_str(), "y"));
    }

    #[test]
    fn order_is_pairwise() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(l(&[("a", "1")]) < l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "1"), ("c", "1")]) > l(&[("a", "1"), ("b", "2")]));
        assert!(l(&[("a", "10")]) < l(&[("a", "2")]), "values compare as bytes, not by length");
    }

    #[test]
    fn merge_lets_the_upper_win() {
        let low = Labels::from_pairs([("a", "1"), ("c", "1")]);
        let over = Labels::from_pairs([("b", "2"), ("c", "2")]);
        assert_eq!(low.merged_with(&over).to_string(), r#"{a="1", b="2", c="2"}"#);
    }

    proptest! {
        #[test]
        fn merging_is_setting_each(own in some_labels(), over in some_labels()) {
            let mut builder = own.to_builder();
            for (name, value) in &over {
                builder.set(name, value);
            }
            prop_assert_eq!(own.merged_with(&over), builder.build());
        }
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        let value = prop_oneof!["[a-c]{1,2}", Just("long ".repeat(40))];
        prop::collection::btree_map("[a-h]", value, 0..6).prop_map(Labels::from_pairs)
    }
}

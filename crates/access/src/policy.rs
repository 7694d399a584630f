//! Labels that a tenant's series must carry.
//!
//! A Workload Cluster says of itself which cluster it is, by an external label. A [`LabelPolicy`] makes that
//! true: it *stamps* the label, or *checks* that it is there and right. Only a series seen for the first time
//! is judged; what the judgement was is remembered by the head, until [`LabelPolicy::generation`] changes.

use nilometer_model::Labels;
use std::fmt;
use std::sync::Arc;

/// What happens to a series that does not carry the label as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelMode {
    /// It gets the label. Another value that it had under this name is kept as `exported_<name>`, as
    /// Prometheus does for a scraped label that clashes with a target's: nothing is lost, no two series
    /// become one, and nobody can claim to be another cluster.
    Stamp,
    /// It is refused.
    Check,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRule {
    pub name: Arc<str>,
    pub value: Arc<str>,
    pub mode: LabelMode,
}

/// The rules of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPolicy {
    rules: Box<[LabelRule]>,
    generation: u64,
}

/// What became of the labels of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Unchanged,
    Stamped(Labels),
    Refused(LabelRefusal),
}

/// A series lacks a label that is checked, or has another value there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRefusal {
    pub name: Arc<str>,
    pub want: Arc<str>,
    pub got: Option<String>,
}

/// Of a wrong value, so much is repeated in the answer.
const MAX_SHOWN_CHARS: usize = 128;

impl LabelPolicy {
    /// The generation of policies without rules, of tenants that are in no file.
    pub(crate) const NO_RULES: u64 = 0;

    /// `generation` must differ from that of every policy with other rules that the same tenant had.
    pub fn new(rules: impl Into<Box<[LabelRule]>>, generation: u64) -> Self {
        LabelPolicy { rules: rules.into(), generation }
    }

    /// A number that changes when the rules do. What was remembered of judgements under another number is
    /// void.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn rules(&self) -> &[LabelRule] {
        &self.rules
    }

    /// True where every series passes as it is, so that nobody needs to ask.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The labels under which to store a series.
    pub fn admit(&self, labels: Labels) -> Result<Labels, LabelRefusal> {
        match self.apply(labels.iter()) {
            Verdict::Unchanged => Ok(labels),
            Verdict::Stamped(labels) => Ok(labels),
            Verdict::Refused(why) => Err(why),
        }
    }

    /// Judges labels that are sorted by name. A label with an empty value counts as missing.
    pub fn apply<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Verdict {
        let value_of = |name: &str| labels.clone().find(|(n, v)| *n == name && !v.is_empty()).map(|(_, v)| v);
        let mut stamps: Vec<(&LabelRule, Option<&str>)> = Vec::new();
        for rule in &self.rules {
            let got = value_of(&rule.name);
            match rule.mode {
                _ if got == Some(&*rule.value) => {}
                LabelMode::Stamp => stamps.push((rule, got)),
                LabelMode::Check => {
                    let got = got.map(|v| v.chars().take(MAX_SHOWN_CHARS).collect());
                    return Verdict::Refused(LabelRefusal {
                        name: rule.name.clone(),
                        want: rule.value.clone(),
                        got,
                    });
                }
            }
        }
        if stamps.is_empty() {
            return Verdict::Unchanged;
        }
        let mut out = Labels::from_pairs(labels).to_builder();
        // All rules first: a value that is moved away must not land under a name that a rule owns.
        for (rule, _) in &stamps {
            out.set(&rule.name, &rule.value);
        }
        for (rule, moved) in stamps {
            let Some(moved) = moved else { continue };
            let mut name = format!("exported_{}", rule.name);
            while !out.get(&name).is_empty() {
                name.insert_str(0, "exported_");
            }
            out.set(&name, moved);
        }
        Verdict::Stamped(out.build())
    }
}

impl fmt::Display for LabelRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.got {
            None => write!(f, "label {} is missing", self.name)?,
            Some(got) => write!(f, "label {}={got:?} is another's", self.name)?,
        }
        write!(f, ": series of this tenant must carry {}={:?}", self.name, self.want)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &[(&str, &str, LabelMode)], labels: &[(&str, &str)]) -> String {
        let rule = |&(name, value, mode): &(&str, &str, LabelMode)| LabelRule {
            name: name.into(),
            value: value.into(),
            mode,
        };
        let policy = LabelPolicy::new(rules.iter().map(rule).collect::<Vec<_>>(), 1);
        let labels = Labels::from_pairs(labels.iter().copied());
        match policy.apply(labels.iter()) {
            Verdict::Unchanged => "unchanged".into(),
            Verdict::Stamped(labels) => labels.to_string(),
            Verdict::Refused(why) => why.to_string(),
        }
    }

    use LabelMode::{Check, Stamp};

    #[test]
    fn stamps() {
        let rule = &[("cluster", "wc-1", Stamp)];
        assert_eq!(judge(rule, &[("a", "b")]), r#"{a="b", cluster="wc-1"}"#);
        assert_eq!(judge(rule, &[("cluster", "wc-1"), ("z", "1")]), "unchanged");
        assert_eq!(judge(rule, &[]), r#"{cluster="wc-1"}"#);
        assert_eq!(judge(&[], &[("cluster", "x")]), "unchanged");
    }

    #[test]
    fn a_differing_value_is_kept_aside() {
        let rule = &[("cluster", "wc-1", Stamp)];
        assert_eq!(judge(rule, &[("cluster", "es")]), r#"{cluster="wc-1", exported_cluster="es"}"#);
        assert_eq!(
            judge(rule, &[("cluster", "es"), ("exported_cluster", "x")]),
            r#"{cluster="wc-1", exported_cluster="x", exported_exported_cluster="es"}"#
        );
        let both = &[("cluster", "wc-1", Stamp), ("exported_cluster", "fixed", Stamp)];
        assert_eq!(
            judge(both, &[("cluster", "es")]),
            r#"{cluster="wc-1", exported_cluster="fixed", exported_exported_cluster="es"}"#
        );
    }

    #[test]
    fn checks() {
        let rules = &[("cluster", "wc-1", Check), ("env", "prod", Stamp)];
        assert_eq!(judge(rules, &[("cluster", "wc-1")]), r#"{cluster="wc-1", env="prod"}"#);
        assert_eq!(
            judge(rules, &[("env", "prod")]),
            r#"label cluster is missing: series of this tenant must carry cluster="wc-1""#
        );
        let long = "x".repeat(100_000);
        let refusal = judge(rules, &[("cluster", &long)]);
        assert!(refusal.len() < 300, "a huge value is not echoed whole: {} bytes", refusal.len());
        assert!(
            refusal.contains("is another's: series of this tenant must carry cluster=\"wc-1\""),
            "{refusal}"
        );
    }

    #[test]
    fn an_empty_value_counts_as_missing() {
        let rules = LabelRule { name: "c".into(), value: "v".into(), mode: Stamp };
        let policy = LabelPolicy::new(vec![rules], 1);
        let verdict = policy.apply([("c", "")].into_iter());
        assert_eq!(verdict, Verdict::Stamped(Labels::from_pairs([("c", "v")])));
    }
}

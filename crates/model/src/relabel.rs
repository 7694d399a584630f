//! Relabelling: rules that rename, change and drop labels, or whole series; Prometheus' `relabel_config`.
//!
//! The same rules shard blocks by their external labels and rewrite the series of a block.
//!
//! Source: Prometheus' `model/relabel`.

use crate::regex::Captures;
use crate::{Error, Labels, LabelsBuilder, Result};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Rules in order. Empty: everything stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Relabel(Vec<Rule>);

impl Relabel {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An error if there is a rule of another action than those.
    pub fn check_actions(&self, allowed: &[RelabelAction]) -> Result<()> {
        match self.0.iter().find(|rule| !allowed.contains(&rule.0.action)) {
            None => Ok(()),
            Some(rule) => {
                let names: Vec<_> = allowed.iter().map(|action| action.as_str()).collect();
                let text = format!(
                    "action {} is not possible here: {} are",
                    rule.0.action.as_str(),
                    names.join(", ")
                );
                Err(Error::invalid(text))
            }
        }
    }

    /// The labels that come of these; `None`: the series, or whatever has them, is dropped.
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = labels.to_builder();
        self.0.iter().all(|rule| rule.apply(&mut builder)).then(|| builder.build())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    #[default]
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl RelabelAction {
    fn as_str(self) -> &'static str {
        match self {
            RelabelAction::Replace => "replace",
            RelabelAction::Keep => "keep",
            RelabelAction::Drop => "drop",
            RelabelAction::KeepEqual => "keepequal",
            RelabelAction::DropEqual => "dropequal",
            RelabelAction::HashMod => "hashmod",
            RelabelAction::LabelMap => "labelmap",
            RelabelAction::LabelDrop => "labeldrop",
            RelabelAction::LabelKeep => "labelkeep",
            RelabelAction::Lowercase => "lowercase",
            RelabelAction::Uppercase => "uppercase",
        }
    }

    fn needs_target(self) -> bool {
        use RelabelAction as A;
        matches!(self, A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual)
    }
}

/// One rule that was found to be in order.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "Config", into = "Config")]
struct Rule(Config, std::sync::Arc<Captures>);

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    separator: String,
    regex: String,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    replacement: String,
    #[serde(deserialize_with = "any_case")]
    action: RelabelAction,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            action: RelabelAction::Replace,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Prometheus takes `Drop` for `drop`.
fn any_case<'de, D: serde::Deserializer<'de>>(from: D) -> Result<RelabelAction, D::Error> {
    let name = String::deserialize(from)?;
    RelabelAction::deserialize(serde::de::value::StringDeserializer::new(name.to_ascii_lowercase()))
}

impl TryFrom<Config> for Rule {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self> {
        use RelabelAction as A;
        let (action, usual) = (config.action, Config::default());
        let wrong = |what: &str| Err(Error::invalid(format!("a rule of action {}: {what}", action.as_str())));
        if action == A::HashMod && config.modulus == 0 {
            return wrong("modulus has to be more than 0");
        }
        if action.needs_target() && config.target_label.is_empty() {
            return wrong("target_label is missing");
        }
        if action == A::LabelMap && config.replacement.is_empty() {
            return wrong("replacement is empty: labels would have no name");
        }
        let sets_replacement = config.replacement != usual.replacement;
        if matches!(action, A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual) && sets_replacement {
            return wrong("replacement means nothing here");
        }
        let others = Config {
            source_labels: config.source_labels.clone(),
            target_label: config.target_label.clone(),
            action,
            ..usual.clone()
        };
        if matches!(action, A::KeepEqual | A::DropEqual) && config != others {
            return wrong("only source_labels and target_label mean something");
        }
        let others = Config { regex: config.regex.clone(), action, ..usual };
        if matches!(action, A::LabelDrop | A::LabelKeep) && config != others {
            return wrong("only regex means something");
        }
        let regex =
            Captures::new(&config.regex).map_err(|e| e.context(format!("regex {:?}", config.regex)))?;
        Ok(Rule(config, std::sync::Arc::new(regex)))
    }
}

impl From<Rule> for Config {
    fn from(rule: Rule) -> Self {
        rule.0
    }
}

impl Rule {
    /// False: it is dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        use RelabelAction as A;
        let Rule(config, regex) = self;
        let values: Vec<&str> = config.source_labels.iter().map(|name| labels.get(name)).collect();
        let (value, target) = (values.join(&config.separator), &config.target_label);
        match config.action {
            A::Keep => return regex.is_match(&value),
            A::Drop => return !regex.is_match(&value),
            A::KeepEqual => return labels.get(target) == value,
            A::DropEqual => return labels.get(target) != value,
            A::Replace => {
                if let Some(name) = regex.expand(&value, target).filter(|name| !name.is_empty()) {
                    let new = regex.expand(&value, &config.replacement).unwrap_or_default();
                    labels.set(&name, &new);
                }
            }
            A::HashMod => {
                let hash: [u8; 16] = Md5::digest(value.as_bytes()).into();
                let low = hash.last_chunk().map_or(0, |low| u64::from_be_bytes(*low));
                labels.set(target, &(low % config.modulus).to_string());
            }
            A::Lowercase => {
                labels.set(target, &value.to_lowercase());
            }
            A::Uppercase => {
                labels.set(target, &value.to_uppercase());
            }
            A::LabelMap => {
                for (name, value) in &labels.build() {
                    if let Some(new) = regex.expand(name, &config.replacement).filter(|new| !new.is_empty()) {
                        labels.set(&new, value);
                    }
                }
            }
            A::LabelDrop | A::LabelKeep => {
                for (name, _) in &labels.build() {
                    if regex.is_match(name) == (config.action == A::LabelDrop) {
                        labels.remove(name);
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn relabel(rules: serde_json::Value) -> Result<Relabel, String> {
        serde_json::from_value(rules).map_err(|e| e.to_string())
    }

    fn applied(rules: serde_json::Value, labels: &[(&str, &str)]) -> String {
        let labels = Labels::from_pairs(labels.iter().copied());
        relabel(rules).unwrap().apply(&labels).map_or("dropped".to_owned(), |labels| labels.to_string())
    }

    /// What Prometheus gives, from its `TestRelabel` where that has the case.
    #[test]
    fn as_prometheus_does() {
        let abc = [("a", "foo"), ("b", "bar"), ("c", "baz")];
        for (rule, labels, expected) in [
            (
                json!({"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"}),
                &abc[..],
                r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#,
            ),
            (
                json!({"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"}),
                &abc[..2],
                r#"{a="boobam", b="bar"}"#,
            ),
            (json!({"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}), &abc, "dropped"),
            (json!({"source_labels": ["a"], "regex": ".*o.*", "action": "Keep"}), &abc[..1], r#"{a="foo"}"#),
            (json!({"source_labels": ["a"], "regex": "o", "action": "keep"}), &abc, "dropped"),
            (
                json!({"source_labels": ["a"], "regex": "no", "action": "replace", "target_label": "b", "replacement": "x"}),
                &abc[..1],
                r#"{a="foo"}"#,
            ),
            // A replacement that comes out empty removes the label.
            (
                json!({"source_labels": ["a"], "regex": "(f).*", "target_label": "b", "replacement": "$2"}),
                &abc[..2],
                r#"{a="foo"}"#,
            ),
            (
                json!({"source_labels": ["c"], "target_label": "d", "separator": ";", "action": "hashmod", "modulus": 1000}),
                &abc,
                r#"{a="foo", b="bar", c="baz", d="976"}"#,
            ),
            (
                json!({"source_labels": ["a"], "target_label": "d", "action": "hashmod", "modulus": 1000}),
                &[("a", "foo\nbar")],
                r#"{a="foo\nbar", d="734"}"#,
            ),
            (
                json!({"regex": "(b.*)", "action": "labelmap", "replacement": "x_${1}"}),
                &[("a", "foo"), ("b1", "bar")],
                r#"{a="foo", b1="bar", x_b1="bar"}"#,
            ),
            (json!({"regex": "b", "action": "labeldrop"}), &abc, r#"{a="foo", c="baz"}"#),
            (json!({"regex": "b", "action": "labelkeep"}), &abc, r#"{b="bar"}"#),
            (
                json!({"source_labels": ["a"], "target_label": "a", "action": "uppercase"}),
                &abc[..1],
                r#"{a="FOO"}"#,
            ),
            (
                json!({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}),
                &[("a", "x"), ("b", "x")],
                "dropped",
            ),
            (json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}), &abc, "dropped"),
            // The name of the target is a template too; one that is no name is left alone.
            (
                json!({"source_labels": ["a"], "regex": "(f)oo", "target_label": "${1}_x", "replacement": "y"}),
                &abc[..1],
                r#"{a="foo", f_x="y"}"#,
            ),
            (
                json!({"source_labels": ["a"], "regex": "foo()", "target_label": "${1}", "replacement": "y"}),
                &abc[..1],
                r#"{a="foo"}"#,
            ),
        ] {
            assert_eq!(applied(json!([rule.clone()]), labels), expected, "{rule}");
        }
    }

    #[test]
    fn rules_follow_each_other() {
        let rules = json!([
            {"source_labels": ["a"], "target_label": "b"},
            {"regex": "a", "action": "labeldrop"},
            {"source_labels": ["b"], "regex": "x", "action": "keep"},
        ]);
        assert_eq!(applied(rules.clone(), &[("a", "x")]), r#"{b="x"}"#);
        assert_eq!(applied(rules, &[("a", "y")]), "dropped");
        assert_eq!(applied(json!([]), &[("a", "y")]), r#"{a="y"}"#);
    }

    #[test]
    fn mistakes_are_named() {
        for (rule, says) in [
            (json!({"action": "hashmod", "target_label": "a"}), "modulus"),
            (json!({"action": "replace"}), "target_label"),
            (json!({"action": "labeldrop", "regex": "a", "target_label": "b"}), "only regex"),
            (json!({"action": "keepequal", "target_label": "b", "regex": "x"}), "only source_labels"),
            (json!({"action": "uppercase", "target_label": "b", "replacement": "x"}), "replacement"),
            (json!({"action": "explode"}), "explode"),
            (json!({"regexp": "x"}), "regexp"),
            (json!({"action": "drop", "regex": "("}), "regex \"(\""),
        ] {
            let refusal = relabel(json!([rule.clone()])).expect_err("this is a mistake");
            assert!(refusal.contains(says), "{rule}: {refusal}");
        }
        let rules = relabel(json!([{"action": "drop"}, {"action": "labeldrop", "regex": "a"}])).unwrap();
        let refusal =
            rules.check_actions(&[RelabelAction::Keep, RelabelAction::Drop]).unwrap_err().to_string();
        assert_eq!(refusal, "action labeldrop is not possible here: keep, drop are");
    }

    /// Into `meta.json`, where Thanos reads them.
    #[test]
    fn written_as_prometheus_writes_them() {
        let rules = relabel(json!([{"source_labels": ["a"], "action": "drop", "regex": "x"}])).unwrap();
        assert_eq!(
            serde_json::to_string(&rules).unwrap(),
            r#"[{"source_labels":["a"],"separator":";","regex":"x","replacement":"$1","action":"drop"}]"#
        );
    }
}

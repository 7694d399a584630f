//! Which blocks of a bucket a process looks at: by time, and by external labels. So work is divided among processes.

use super::values::Millis;
use anyhow::{Context, Result};
use clap::Args;
use nilometer_model::{BlockMeta, Labels, Relabel, RelabelAction};
use std::path::PathBuf;

/// A moment: RFC 3339, or a distance from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At { ms: i64 },
    FromNow { ms: i64 },
}

impl When {
    pub(crate) fn ms(self, now_ms: i64) -> i64 {
        match self {
            When::At { ms } => ms,
            When::FromNow { ms } => now_ms.saturating_add(ms),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Thanos' words for the beginning and the end of time, which the calendar that is used here does not reach.
        match text {
            "0000-01-01T00:00:00Z" => return Ok(When::At { ms: i64::MIN }),
            "9999-12-31T23:59:59Z" => return Ok(When::At { ms: i64::MAX }),
            _ => {}
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(When::At { ms: time.as_millisecond() });
        }
        let (sign, span) = text.strip_prefix('-').map_or((1, text), |span| (-1, span));
        let Millis(ms) = span.parse().map_err(|_| "a time is like 2026-01-31T00:00:00Z, -30d or -2h45m")?;
        Ok(When::FromNow { ms: sign * ms })
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TimeFlags {
    /// Only blocks that reach to this time or later: RFC 3339, or a distance from now like -30d
    #[arg(
        long = "min-time",
        value_name = "TIME",
        default_value = "0000-01-01T00:00:00Z",
        allow_hyphen_values = true
    )]
    min_time: When,
    /// Only blocks that begin at this time or before
    #[arg(
        long = "max-time",
        value_name = "TIME",
        default_value = "9999-12-31T23:59:59Z",
        allow_hyphen_values = true
    )]
    max_time: When,
}

impl TimeFlags {
    /// As Thanos divides: a block on a border belongs to both sides.
    pub(crate) fn selects(&self, meta: &BlockMeta, now_ms: i64) -> bool {
        meta.max_time_ms >= self.min_time.ms(now_ms) && meta.min_time_ms <= self.max_time.ms(now_ms)
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SelectorFlags {
    /// Only blocks whose external labels pass these relabel rules (YAML: keep, drop, hashmod)
    #[arg(long = "selector.relabel-config", value_name = "YAML", conflicts_with = "selector_file")]
    selector: Option<String>,
    /// The same in a file
    #[arg(long = "selector.relabel-config-file", value_name = "FILE")]
    selector_file: Option<PathBuf>,
}

impl SelectorFlags {
    pub(crate) fn read(&self) -> Result<Selector> {
        let (from, text) = match (&self.selector, &self.selector_file) {
            (Some(text), _) => ("--selector.relabel-config".to_owned(), text.clone()),
            (None, Some(path)) => {
                let shown = format!("--selector.relabel-config-file={}", path.display());
                (shown.clone(), std::fs::read_to_string(path).context(shown)?)
            }
            (None, None) => return Ok(Selector::default()),
        };
        let rules: Relabel = super::yaml(&text).context(from.clone())?;
        rules
            .check_actions(&[RelabelAction::Keep, RelabelAction::Drop, RelabelAction::HashMod])
            .context(from)?;
        Ok(Selector(rules))
    }
}

/// Which external labels pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector(Relabel);

impl Selector {
    pub(crate) fn into_rules(self) -> Relabel {
        self.0
    }

    /// Rules may ask for the block's name too, under the label that Thanos has for it.
    pub(crate) fn selects(&self, meta: &BlockMeta) -> bool {
        let labels = meta.thanos.iter().flat_map(|t| &t.labels).map(|(n, v)| (n.clone(), v.clone()));
        let all = labels.chain([("__block_id".to_owned(), meta.ulid.to_string())]);
        self.0.is_empty() || self.0.apply(&Labels::from_pairs(all)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{ThanosMeta, Ulid};

    #[test]
    fn moments() {
        let ms = |text: &str| text.parse::<When>().map(|when| when.ms(10_000_000));
        assert_eq!(ms("1970-01-01T00:00:01Z"), Ok(1000));
        assert_eq!(ms("-1h"), Ok(6_400_000));
        assert_eq!(ms("1h30m"), Ok(15_400_000));
        assert_eq!(ms("0000-01-01T00:00:00Z"), Ok(i64::MIN));
        assert_eq!(ms("9999-12-31T23:59:59Z"), Ok(i64::MAX));
        for bad in ["", "yesterday", "--1h", "-", "2026-13-01T00:00:00Z"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn by_labels_and_name() {
        let labels = [("cluster".to_owned(), "a".to_owned())].into();
        let meta = BlockMeta {
            ulid: Ulid::new(1, [0; 10]),
            thanos: Some(ThanosMeta { labels, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        };
        let selects = |yaml: &str| {
            let flags = SelectorFlags { selector: Some(yaml.to_owned()), selector_file: None };
            flags.read().map(|selector| selector.selects(&meta)).map_err(|e| format!("{e:#}"))
        };
        assert_eq!(selects("- {action: keep, source_labels: [cluster], regex: a}"), Ok(true));
        assert_eq!(selects("- action: drop\n  source_labels: [cluster]\n  regex: a"), Ok(false));
        let half = |n| {
            format!(
                "- {{action: hashmod, source_labels: [__block_id], target_label: s, modulus: 2}}\n- {{action: keep, source_labels: [s], regex: {n}}}"
            )
        };
        assert_ne!(selects(&half(0)), selects(&half(1)), "in exactly one of two shards");
        assert!(selects("- {action: labeldrop, regex: a}").unwrap_err().contains("keep, drop, hashmod are"));
        assert!(selects("- {acton: keep}").unwrap_err().contains("--selector.relabel-config"));
    }
}

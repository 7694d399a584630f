//! What a query says beside its answer: warnings and hints, in Prometheus' words.
//!
//! Annotations with the same text are one, whatever position they have; the last one's position shows, or the first
//! one's where they are counted.

use crate::ast::PosRange;
use crate::number::{shortest, two_digits};
use crate::quote::quoted;
use std::collections::HashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Warning,
    Info,
}

/// One thing to say. Names are those of metrics; an empty one is left out where the text allows it.
#[derive(Clone, Debug)]
pub(crate) enum Note<'a> {
    /// From storage, as it is.
    Storage(&'a str),
    InvalidQuantile(f64),
    InvalidRatio {
        ratio: f64,
        capped_to: f64,
    },
    BadBucketLabel {
        name: &'a str,
        label: &'a str,
    },
    MixedFloatsHistograms {
        name: &'a str,
    },
    MixedFloatsHistogramsInAggregation,
    MixedClassicNative {
        name: &'a str,
    },
    NotCounter {
        name: &'a str,
    },
    NotGauge {
        name: &'a str,
    },
    MixedExponentialCustom {
        name: &'a str,
    },
    IncompatibleBuckets {
        op: &'a str,
    },
    SortInRangeQuery,
    CounterResetCollision {
        during: Operation,
    },
    StartTimeOverlap {
        name: &'a str,
    },
    PossibleNonCounter {
        name: &'a str,
    },
    PossibleNonCounterType {
        name: &'a str,
        kind: &'a str,
    },
    ForcedMonotonicity(Monotonicity<'a>),
    IncompatibleTypes {
        lhs: &'a str,
        op: &'a str,
        rhs: &'a str,
    },
    HistogramIgnored {
        aggregation: &'a str,
    },
    HistogramIgnoredInMixedRange {
        name: &'a str,
    },
    QuantileOfNan {
        name: &'a str,
    },
    QuantileSkewedByNan {
        name: &'a str,
    },
    FractionWithoutNan {
        name: &'a str,
    },
    MismatchedCustomBuckets {
        during: Operation,
    },
}

/// Of what a histogram was part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

/// Where the counts of a classic histogram went down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonicity<'a> {
    pub(crate) name: &'a str,
    pub(crate) t_ms: i64,
    pub(crate) min_bucket: f64,
    pub(crate) max_bucket: f64,
    pub(crate) max_diff: f64,
}

impl Note<'_> {
    fn level(&self) -> Level {
        match self {
            Note::PossibleNonCounter { .. }
            | Note::PossibleNonCounterType { .. }
            | Note::ForcedMonotonicity(_)
            | Note::IncompatibleTypes { .. }
            | Note::HistogramIgnored { .. }
            | Note::HistogramIgnoredInMixedRange { .. }
            | Note::QuantileOfNan { .. }
            | Note::QuantileSkewedByNan { .. }
            | Note::FractionWithoutNan { .. }
            | Note::MismatchedCustomBuckets { .. } => Level::Info,
            _ => Level::Warning,
        }
    }

    /// Without position and without what grows as the same comes up again.
    fn text(&self) -> String {
        let said = match self {
            Note::Storage(text) => return (*text).to_owned(),
            Note::InvalidQuantile(q) => {
                format!("quantile value should be between 0 and 1, got {}", shortest(*q))
            }
            Note::InvalidRatio { ratio, capped_to } => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                shortest(*ratio),
                shortest(*capped_to)
            ),
            Note::BadBucketLabel { name, label } => named(
                &format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(label)),
                name,
            ),
            Note::MixedFloatsHistograms { name } => {
                format!("encountered a mix of histograms and floats for metric name {}", quoted(name))
            }
            Note::MixedFloatsHistogramsInAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Note::MixedClassicNative { name } => {
                named("vector contains a mix of classic and native histograms", name)
            }
            Note::NotCounter { name } => {
                format!("this native histogram metric is not a counter: {}", quoted(name))
            }
            Note::NotGauge { name } => {
                format!("this native histogram metric is not a gauge: {}", quoted(name))
            }
            Note::MixedExponentialCustom { name } => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quoted(name)
            ),
            Note::IncompatibleBuckets { op } => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Note::SortInRangeQuery => {
                "sort is ineffective for range queries since results are always ordered by labels".to_owned()
            }
            Note::CounterResetCollision { during } => {
                format!("conflicting counter resets during histogram {}", during.as_str())
            }
            Note::StartTimeOverlap { name } => format!(
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                quoted(name)
            ),
            other => other.info_text(),
        };
        match self.level() {
            Level::Warning => format!("PromQL warning: {said}"),
            Level::Info => format!("PromQL info: {said}"),
        }
    }

    fn info_text(&self) -> String {
        match self {
            Note::PossibleNonCounter { name } => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quoted(name)
            ),
            Note::PossibleNonCounterType { name, kind } => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quoted(kind),
                quoted(name)
            ),
            Note::ForcedMonotonicity(m) => named(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                m.name,
            ),
            Note::IncompatibleTypes { lhs, op, rhs } => format!(
                "incompatible sample types encountered for binary operator {}: {lhs} {op} {rhs}",
                quoted(op)
            ),
            Note::HistogramIgnored { aggregation } => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            Note::HistogramIgnoredInMixedRange { name } => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                quoted(name)
            ),
            Note::QuantileOfNan { name } => {
                named("input to histogram_quantile has NaN observations, result is NaN", name)
            }
            Note::QuantileSkewedByNan { name } => {
                named("input to histogram_quantile has NaN observations, result is skewed higher", name)
            }
            Note::FractionWithoutNan { name } => named(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                name,
            ),
            Note::MismatchedCustomBuckets { during } => {
                format!("mismatched custom buckets were reconciled during {}", during.as_str())
            }
            _ => String::new(),
        }
    }
}

fn named(text: &str, name: &str) -> String {
    if name.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quoted(name)) }
}

/// All that was said so far.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    said: Vec<Said>,
    by_text: HashMap<String, usize>,
}

#[derive(Debug)]
struct Said {
    level: Level,
    text: String,
    pos: Option<PosRange>,
    detail: Detail,
}

#[derive(Debug)]
enum Detail {
    None,
    Monotonicity { from_ms: i64, to_ms: i64, min_bucket: f64, max_bucket: f64, max_diff: f64, count: u64 },
    Overlaps(u64),
}

impl Annotations {
    pub(crate) fn add(&mut self, note: &Note<'_>, pos: PosRange) {
        let text = note.text();
        let pos = (!matches!(note, Note::Storage(_))).then_some(pos);
        if let Some(at) = self.by_text.get(&text) {
            let said = &mut self.said[*at];
            if matches!(said.detail, Detail::None) {
                said.pos = pos;
            }
            said.detail.grow(note);
            return;
        }
        self.by_text.insert(text.clone(), self.said.len());
        self.said.push(Said { level: note.level(), text, pos, detail: Detail::of(note) });
    }

    /// Adds those of a later part.
    pub(crate) fn extend(&mut self, later: Annotations) {
        for new in later.said {
            let Some(at) = self.by_text.get(&new.text) else {
                self.by_text.insert(new.text.clone(), self.said.len());
                self.said.push(new);
                continue;
            };
            let said = &mut self.said[*at];
            if matches!(said.detail, Detail::None) {
                said.pos = new.pos;
            }
            said.detail.add(&new.detail);
        }
    }

    /// The texts of one level, with positions in `query`.
    pub(crate) fn texts(&self, level: Level, query: &str) -> Vec<String> {
        self.said.iter().filter(|s| s.level == level).map(|s| s.render(query)).collect()
    }
}

impl Detail {
    fn of(note: &Note<'_>) -> Self {
        match note {
            Note::ForcedMonotonicity(m) => Detail::Monotonicity {
                from_ms: m.t_ms,
                to_ms: m.t_ms,
                min_bucket: m.min_bucket,
                max_bucket: m.max_bucket,
                max_diff: m.max_diff,
                count: 1,
            },
            Note::StartTimeOverlap { .. } => Detail::Overlaps(1),
            _ => Detail::None,
        }
    }

    fn grow(&mut self, note: &Note<'_>) {
        match (self, note) {
            (
                Detail::Monotonicity { from_ms, to_ms, min_bucket, max_bucket, max_diff, count },
                Note::ForcedMonotonicity(m),
            ) => {
                *from_ms = m.t_ms.min(*from_ms);
                *to_ms = m.t_ms.max(*to_ms);
                *min_bucket = min_bucket.min(m.min_bucket);
                *max_bucket = max_bucket.max(m.max_bucket);
                *max_diff = max_diff.max(m.max_diff);
                *count += 1;
            }
            (Detail::Overlaps(count), Note::StartTimeOverlap { .. }) => *count += 1,
            _ => {}
        }
    }

    fn add(&mut self, later: &Detail) {
        match (self, later) {
            (
                Detail::Monotonicity { from_ms, to_ms, min_bucket, max_bucket, max_diff, count },
                Detail::Monotonicity {
                    from_ms: from,
                    to_ms: to,
                    min_bucket: min,
                    max_bucket: max,
                    max_diff: diff,
                    count: more,
                },
            ) => {
                *from_ms = (*from).min(*from_ms);
                *to_ms = (*to).max(*to_ms);
                *min_bucket = min_bucket.min(*min);
                *max_bucket = max_bucket.max(*max);
                *max_diff = max_diff.max(*diff);
                *count += more;
            }
            (Detail::Overlaps(count), Detail::Overlaps(more)) => *count += more,
            _ => {}
        }
    }

    fn text(&self) -> String {
        match self {
            Detail::Monotonicity { from_ms, to_ms, min_bucket, max_bucket, max_diff, count } => format!(
                ", from buckets {} to {}, with a max diff of {}, over {count} samples from {} to {}",
                shortest(*min_bucket),
                shortest(*max_bucket),
                two_digits(*max_diff),
                crate::func::time::rfc3339(*from_ms),
                crate::func::time::rfc3339(*to_ms),
            ),
            Detail::Overlaps(count) if *count > 1 => format!(" ({count} occurrences)"),
            _ => String::new(),
        }
    }
}

impl Said {
    fn render(&self, query: &str) -> String {
        let detail = self.detail.text();
        match self.pos {
            Some(pos) => {
                let (line, column) = pos.line_column(query);
                format!("{}{detail} ({line}:{column})", self.text)
            }
            None => format!("{}{detail}", self.text),
        }
    }
}

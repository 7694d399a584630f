//! What a label set must be before a series is made of it. Runs once a series, not once a sample.

use crate::refused::Reason;
use nilometer_model::histogram::EXPONENTIAL_SCHEMAS;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Count, Histogram, Labels, Value};
use nilometer_wire::remote_write::LabelIter;
use std::sync::Arc;

/// Bounds of one tenant's series.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    pub max_active_series: u64,
    /// The limit of active series of all tenants together, where it is reached.
    pub hub_full_at_series: Option<u64>,
    pub max_labels_per_series: usize,
    pub max_label_name_bytes: usize,
    pub max_label_value_bytes: usize,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        SeriesLimits {
            max_active_series: 2_000_000,
            hub_full_at_series: None,
            max_labels_per_series: 64,
            max_label_name_bytes: 1_024,
            max_label_value_bytes: 4_096,
        }
    }
}

impl SeriesLimits {
    /// Why a tenant with so many series gets no more of them.
    pub(super) fn no_room_after(&self, series: u64) -> Option<(Reason, String)> {
        let max = self.max_active_series;
        if series >= max {
            let why =
                format!("the tenant has its limit of {max} active series (active_series); old ones go on");
            return Some((Reason::SeriesLimit, why));
        }
        let max = self.hub_full_at_series?;
        let why = format!(
            "all tenants together have the hub's limit of {max} active series (hub.limits.active_series); \
             old ones go on"
        );
        Some((Reason::HubSeriesLimit, why))
    }
}

/// What a tenant's configuration says of its series.
pub trait SeriesPolicy: Send + Sync {
    fn limits(&self) -> SeriesLimits;

    /// The labels to store a series under, or why it is refused.
    fn admit(&self, labels: Labels) -> Result<Labels, String>;

    /// Changes when [`Self::admit`] may answer otherwise than before.
    fn generation(&self) -> u64;
}

pub(super) struct Admission<'a> {
    pub(super) policy: &'a dyn SeriesPolicy,
}

impl Admission<'_> {
    /// The labels to store, from those sent in whatever order.
    pub(super) fn check(&self, sent: LabelIter<'_>) -> Result<Labels, (Reason, String)> {
        let invalid = |why: String| (Reason::InvalidLabels, why);
        let limits = self.policy.limits();
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for (name, value) in sent {
            let text = |bytes| std::str::from_utf8(bytes);
            let (Ok(name), Ok(value)) = (text(name), text(value)) else {
                let shown = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                return Err(invalid(format!("label {:?}={:?} is not UTF-8", shown.0, shown.1)));
            };
            if name.is_empty() {
                return Err(invalid(format!("a label with the value {value:?} has no name")));
            }
            let (max_name, max_value) = (limits.max_label_name_bytes, limits.max_label_value_bytes);
            if name.len() > max_name || value.len() > max_value {
                let shown: String = name.chars().take(100).collect();
                let why = format!(
                    "label {shown:?} is too long: names may have {max_name} bytes, values {max_value}"
                );
                return Err((Reason::LabelLimit, why));
            }
            // An empty value is the same as no label.
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        pairs.sort_unstable();
        if let Some(twice) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(invalid(format!("label {:?} stands twice", twice[0].0)));
        }
        if pairs.is_empty() {
            return Err(invalid("a series has no labels".to_owned()));
        }
        let labels = Labels::from_sorted(pairs.into_iter());
        if !labels.has(METRIC_NAME) {
            return Err(invalid(format!("{labels} has no metric name: the label {METRIC_NAME} is missing")));
        }
        let labels = self.policy.admit(labels).map_err(|why| (Reason::LabelPolicy, why))?;
        if labels.len() > limits.max_labels_per_series {
            let why =
                format!("{labels} has {} labels, more than {}", labels.len(), limits.max_labels_per_series);
            return Err((Reason::LabelLimit, why));
        }
        Ok(labels)
    }
}

/// The labels of an exemplar, which are bounded in characters, all together.
pub(super) fn exemplar_labels(sent: LabelIter<'_>, max_chars: usize) -> Result<Labels, String> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut chars = 0;
    for (name, value) in sent {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "its labels are not UTF-8".to_owned());
        let (name, value) = (text(name)?, text(value)?);
        chars += name.chars().count() + value.chars().count();
        pairs.push((name, value));
    }
    if chars > max_chars {
        return Err(format!("its labels have {chars} characters, more than {max_chars}"));
    }
    Ok(Labels::from_pairs(pairs))
}

/// A histogram that chunks can hold: of a finer resolution than they know, the finest that they do.
pub(super) fn histogram(value: Value) -> nilometer_model::Result<Value> {
    Ok(match value {
        Value::Float(v) => Value::Float(v),
        Value::Int(h) => Value::Int(storable(h)?),
        Value::FloatHistogram(h) => Value::FloatHistogram(storable(h)?),
    })
}

fn storable<C: Count>(mut histogram: Arc<Histogram<C>>) -> nilometer_model::Result<Arc<Histogram<C>>> {
    let finest = *EXPONENTIAL_SCHEMAS.end();
    if histogram.schema > finest {
        Arc::make_mut(&mut histogram).reduce_to(finest)?;
    }
    histogram.validate()?;
    Ok(histogram)
}

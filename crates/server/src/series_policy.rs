//! What a tenant's settings mean for its series: the head asks, access answers.

use nilometer_access::TenantState;
use nilometer_head::{SeriesLimits, SeriesPolicy};
use nilometer_model::Labels;

/// One request's view of its tenant's settings.
pub(crate) struct TenantPolicy<'a> {
    pub(crate) state: &'a TenantState,
    /// The hub's limit of series, where as a whole it has no room for new ones.
    pub(crate) hub_full_at_series: Option<u64>,
}

impl SeriesPolicy for TenantPolicy<'_> {
    fn limits(&self) -> SeriesLimits {
        let limits = &self.state.limits;
        SeriesLimits {
            max_active_series: limits.active_series,
            hub_full_at_series: self.hub_full_at_series,
            max_labels_per_series: limits.labels_per_series as usize,
            max_label_name_bytes: limits.label_name_bytes as usize,
            max_label_value_bytes: limits.label_value_bytes as usize,
        }
    }

    fn admit(&self, labels: Labels) -> Result<Labels, String> {
        self.state.labels.admit(labels).map_err(|why| why.to_string())
    }

    fn generation(&self) -> u64 {
        self.state.labels.generation()
    }
}

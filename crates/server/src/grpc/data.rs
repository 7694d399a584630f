//! What the StoreAPI needs of whoever holds the data.

use crate::Hub;
use crate::hub::is_seen;
use nilometer_access::ReadScope;
use nilometer_gateway::Gateway;
use nilometer_model::{Labels, TimeRange};
use nilometer_storage::Queryable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hub, or the blocks of a bucket. All of it is what one reader sees.
pub trait StoreData: Send + Sync + 'static {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable>;

    /// What there is: one for each set of external labels.
    fn holdings(&self, scope: &ReadScope) -> Vec<Holding>;
}

/// What is held with these external labels, and of which times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub labels: Labels,
    pub range: TimeRange,
}

/// The blocks of a bucket.
pub struct BucketData {
    gateway: Arc<Gateway>,
    /// Of the external labels that which names the tenant.
    tenant_label: String,
}

impl BucketData {
    pub fn new(gateway: Arc<Gateway>, tenant_label: String) -> Self {
        BucketData { gateway, tenant_label }
    }
}

impl StoreData for BucketData {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let (scope, tenant_label) = (scope.clone(), self.tenant_label.clone());
        Arc::new(self.gateway.streams(move |labels| is_seen(&scope, labels, &tenant_label)))
    }

    fn holdings(&self, scope: &ReadScope) -> Vec<Holding> {
        let held = self.gateway.held().into_iter();
        let seen = held.filter(|(labels, _)| is_seen(scope, labels, &self.tenant_label));
        seen.map(|(labels, range)| Holding { labels, range }).collect()
    }
}

impl StoreData for Hub {
    /// Of this process alone: of two that know each other, neither asks the other for what it asked itself.
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        self.own(scope)
    }

    /// What is still written to has no end.
    fn holdings(&self, scope: &ReadScope) -> Vec<Holding> {
        let mut held: BTreeMap<Labels, TimeRange> = BTreeMap::new();
        for tenant in self.visible_tenants(scope) {
            let Some(oldest_ms) = self.head.oldest_ms(&tenant) else { continue };
            held.insert(self.head.external_labels(&tenant), TimeRange::new(oldest_ms, i64::MAX));
        }
        for (labels, range) in self.gateway.iter().flat_map(|gateway| gateway.held()) {
            if !is_seen(scope, &labels, self.head.tenant_label()) {
                continue;
            }
            let all = held.entry(labels).or_insert(range);
            *all = TimeRange::new(all.min_ms.min(range.min_ms), all.max_ms.max(range.max_ms));
        }
        held.into_iter().map(|(labels, range)| Holding { labels, range }).collect()
    }
}

//! Everything that follows from one load of the tenants file. Immutable but for caches, replaced as a whole.

use crate::RESERVED_TENANT;
use crate::cache::Cache;
use crate::config::{Credentials, TenantSettings, TenantsConfig};
use crate::limits::{HubLimits, TenantLimits};
use crate::policy::LabelPolicy;
use crate::refusal::{Reason, Refusal};
use crate::retention::TenantRetention;
use crate::tenant::{Meters, TenantState};
use nilometer_model::Tenant;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(crate) struct Snapshot {
    /// `None` where there is no tenants file: then nobody is asked who he is.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) hub: HubLimits,
    defaults: TenantLimits,
    tenants: RwLock<HashMap<Tenant, Arc<TenantState>>>,
    pub(crate) cache: Cache,
    /// Of the file's bytes.
    file: [u8; 32],
}

impl Snapshot {
    /// Without a tenants file: tenants appear when they are first written to.
    pub(crate) fn open(hub: HubLimits, defaults: TenantLimits) -> Self {
        let snapshot = Snapshot {
            credentials: None,
            hub,
            defaults,
            tenants: RwLock::default(),
            cache: Cache::new(HashSet::new()),
            file: [0; 32],
        };
        snapshot.add_reserved(None);
        snapshot
    }

    pub(crate) fn digest_of(file: &[u8]) -> [u8; 32] {
        Sha256::digest(file).into()
    }

    pub(crate) fn is_of(&self, file: &[u8]) -> bool {
        self.file == Self::digest_of(file)
    }

    /// From a file. Meters of tenants that were there before go on, and so do the numbers of label policies
    /// that did not change; others get a `next_generation`.
    pub(crate) fn from_config(
        config: TenantsConfig,
        file: [u8; 32],
        previous: Option<&Snapshot>,
        mut next_generation: impl FnMut() -> u64,
    ) -> Self {
        let mut tenants = HashMap::with_capacity(config.tenants.len());
        for settings in config.tenants {
            let before = previous.and_then(|p| p.tenants.read().get(&settings.tenant).cloned());
            let same = before.as_ref().filter(|b| b.labels.rules() == settings.labels);
            let generation = same.map(|b| b.labels.generation()).unwrap_or_else(&mut next_generation);
            let meters = before.map(|b| b.meters.clone()).unwrap_or_default();
            let state = TenantState::new(settings, generation, meters);
            tenants.insert(state.tenant.clone(), Arc::new(state));
        }
        let formerly = previous.map(|p| p.cache.to_formerly()).unwrap_or_default();
        let snapshot = Snapshot {
            credentials: Some(config.credentials),
            hub: config.hub,
            defaults: config.defaults,
            tenants: RwLock::new(tenants),
            cache: Cache::new(formerly),
            file,
        };
        snapshot.add_reserved(previous);
        snapshot
    }

    fn add_reserved(&self, previous: Option<&Snapshot>) {
        let tenant = Tenant::new(RESERVED_TENANT).expect("the reserved name is a tenant's name");
        let before = previous.and_then(|p| p.tenants.read().get(&tenant).cloned());
        let meters = before.map(|b| b.meters.clone()).unwrap_or_default();
        let state = self.unconfigured(tenant.clone(), meters);
        self.tenants.write().insert(tenant, state);
    }

    /// A tenant that is in no file.
    fn unconfigured(&self, tenant: Tenant, meters: Arc<Meters>) -> Arc<TenantState> {
        let (limits, retention) = (self.defaults.clone(), TenantRetention::default());
        let settings = TenantSettings { tenant, limits, labels: Vec::new(), retention };
        // No rules, so there is nothing that could change.
        Arc::new(TenantState::new(settings, LabelPolicy::NO_RULES, meters))
    }

    /// Of the tenants whose samples are kept otherwise than all others'.
    pub(crate) fn retentions(&self) -> Vec<(Tenant, TenantRetention)> {
        let tenants = self.tenants.read();
        let own = tenants.values().filter(|state| state.retention != TenantRetention::default());
        own.map(|state| (state.tenant.clone(), state.retention)).collect()
    }

    pub(crate) fn find(&self, tenant: &Tenant) -> Option<Arc<TenantState>> {
        self.tenants.read().get(tenant).cloned()
    }

    /// The state of a tenant that is to be written to for the first time.
    pub(crate) fn add(&self, tenant: &Tenant) -> Result<Arc<TenantState>, Refusal> {
        if self.credentials.is_some() {
            let message = format!("tenant {tenant} is not in the tenants file (any more)");
            return Err(Refusal::new(Reason::WrongCredential, message));
        }
        // Two requests may both get here: the limit is checked and the entry made under one lock.
        let mut tenants = self.tenants.write();
        if let Some(state) = tenants.get(tenant) {
            return Ok(state.clone());
        }
        // The reserved one is not counted.
        if tenants.len() as u64 > self.hub.tenants {
            let message = format!(
                "there are {} tenants, and that is all there may be (limit hub.limits.tenants): {tenant} is not \
                 taken in",
                self.hub.tenants
            );
            return Err(Refusal::new(Reason::TooManyTenants, message));
        }
        let state = self.unconfigured(tenant.clone(), Arc::default());
        tenants.insert(tenant.clone(), state.clone());
        Ok(state)
    }

    pub(crate) fn forget(&self, tenant: &Tenant) {
        if self.credentials.is_none() && tenant.as_str() != RESERVED_TENANT {
            self.tenants.write().remove(tenant);
        }
    }

    /// In the order of their names.
    pub(crate) fn tenants(&self) -> Vec<Arc<TenantState>> {
        let mut all: Vec<_> = self.tenants.read().values().cloned().collect();
        all.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.tenants.read().len()
    }
}

//! Where the memory of the process goes: what the hub counts, what the allocator takes for itself, and the program's
//! own text. What is left over is named `other`, so that the parts add up to the resident memory.

use nilometer_server::{Hub, status_bytes};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

#[derive(Clone, Default)]
pub(crate) struct Memory {
    parts: Family<Part, Gauge>,
}

impl Memory {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Resident memory, by what it holds";
        registry.register("nilometer_memory_bytes", help, self.parts.clone());
    }

    /// Counts anew.
    pub(crate) fn measure(&self, hub: &Hub) {
        let mut known: Vec<(&'static str, i64)> =
            hub.memory().into_iter().map(|(part, bytes)| (part, bytes as i64)).collect();
        let resident = |field| status_bytes(field).unwrap_or_default() as i64;
        let (anonymous, file) = (resident("RssAnon:"), resident("RssFile:"));
        if let Some(allocated) = allocated_bytes() {
            known.push(("allocator", anonymous - allocated));
        }
        known.push(("code", file));
        let sum: i64 = known.iter().map(|(_, bytes)| bytes).sum();
        known.push(("other", anonymous + file - sum));
        for (part, bytes) in known {
            self.parts.get_or_create(&Part { part }).set(bytes.max(0));
        }
    }
}

/// What the program holds of the allocator, without what that keeps for itself.
#[cfg(feature = "jemalloc")]
fn allocated_bytes() -> Option<i64> {
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    tikv_jemalloc_ctl::stats::allocated::read().ok().map(|bytes| bytes as i64)
}

#[cfg(not(feature = "jemalloc"))]
fn allocated_bytes() -> Option<i64> {
    None
}

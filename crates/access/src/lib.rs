//! Who may do what, and how much: tenants, credentials, scopes, required labels, limits.
//!
//! A request is judged in this order, each step by one call with plain values (HTTP is the server's):
//!
//! ```text
//! Authorization ──▶ Access::authenticate ──▶ Identity ──▶ resolve_write / resolve_read ──▶ Tenant
//!                     │ cached: < 1 µs                                                      │
//!                     └ not yet: Pending (one password hash at a time, elsewhere)           ▼
//!                                       enter, admit_samples ◀── Access::tenant ──▶ LabelPolicy
//! ```
//!
//! With a tenants file ([`Access::from_file`]) the tenant is the credential's, never what a request says.
//! Without one ([`Access::open`]) nothing is asked for, and a header picks the tenant, as in Thanos.

mod access;
mod authenticate;
mod cache;
mod config;
mod header;
mod identity;
mod limits;
mod metrics;
mod policy;
mod queue;
mod rate;
mod refusal;
mod retention;
mod secret;
mod snapshot;
mod tenant;
mod throttle;

pub use access::{Access, Parts};
pub use authenticate::Outcome;
pub use config::{MAX_FILE_BYTES, TenantSettings, TenantsConfig};
pub use header::{Credential, Malformed, decode_basic, parse_authorization};
pub use identity::{Identity, ReadScope, Scope, Scopes};
pub use limits::{HubLimits, OverRate, TenantLimits};
pub use policy::{LabelMode, LabelPolicy, LabelRefusal, LabelRule, Verdict};
pub use queue::{Pending, Worker};
pub use rate::{Bucket, Rate};
pub use refusal::{Reason, Refusal};
pub use retention::TenantRetention;
pub use secret::{NewToken, hash_password, new_token};
pub use tenant::{InFlight, TenantState};

/// The tenant of the hub's own metrics: no credential and no header can write to it.
pub const RESERVED_TENANT: &str = "nilometer";

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

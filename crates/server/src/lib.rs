//! The edges of the hub: HTTP in, HTTP out, and what the hub says of itself.
//!
//! ```text
//! listen ──▶ app (routes) ──▶ auth ──▶ receive ──▶ wire ──▶ Head::append ──▶ Head::durable ──▶ answer
//!                               └────▶ api ──▶ promql ──▶ Hub::queryable ──▶ Head::queryable
//! ```
//!
//! What all handlers share is one [`Hub`]. Statuses are decided in one place (`answer`), metrics beside the
//! code that moves them. Nothing here reads flags or starts a process: the binary does.

mod answer;
mod api;
mod auth;
mod hub;
mod options;
mod query_pool;

pub use auth::Caller;
pub use hub::{BuildInfo, Hub, HubParts};
pub use options::{QueryFeatures, QueryOptions, ReceiveOptions};
pub use query_pool::QueryPool;

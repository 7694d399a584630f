//! The edges of the hub: HTTP and gRPC in, HTTP and gRPC out, and what the hub says of itself.
//!
//! ```text
//! listen ──▶ app (routes) ──▶ auth ──▶ receive ──▶ wire ──▶ Head::append ──▶ Head::durable ──▶ answer
//!                               ├────▶ api ──▶ promql ──▶ Hub::queryable ──▶ Head::queryable
//!                               └────▶ grpc ───────────▶ StoreData::queryable
//! ```
//!
//! What all handlers share is one [`Hub`], and what every role has of that is its [`Edge`]. Statuses are decided in one place (`answer`), metrics beside the
//! code that moves them. Nothing here reads flags or starts a process: the binary does.

mod admin;
mod answer;
mod apart;
mod api;
mod app;
mod auth;
mod blocks;
mod body;
mod census;
mod compress;
mod edge;
mod exposition;
mod gate;
mod grpc;
mod home;
mod hub;
mod listen;
mod metrics;
mod options;
mod origin;
mod pages;
mod process;
mod proxies;
mod query_log;
mod query_pool;
mod receive;
mod roles;
mod self_metrics;
mod series_policy;
mod socket;
mod tls;
mod unread;

pub use app::{main_routes, write_routes};
pub use auth::Caller;
pub use edge::{BuildInfo, Edge, EdgeParts};
pub use grpc::{BucketData, Holding, StoreData, StoreOptions, grpc_routes};
pub use hub::{BucketUpkeep, Dirs, Hub, HubParts};
pub use listen::{Listener, Server};
pub use options::{CallerOptions, Patience, QueryFeatures, QueryOptions, RemoteReadOptions, WebOptions};
pub use origin::Origins;
pub use process::status_bytes;
pub use proxies::{Network, TrustedProxies};
pub use query_log::QueryLog;
pub use query_pool::QueryPool;
pub use roles::{compact_routes, store_routes};
pub use self_metrics::SelfMetrics;
pub use tls::{TlsFiles, TlsKeys};

//! Object storage: what is kept for years, in Thanos' layout.
//!
//! ```text
//! objstore YAML ─▶ config ─▶ open ─▶ Backend: local folder │ memory │ remote (S3, GCS, Azure, Swift)
//!                                       ▲ one attempt of one operation
//!  callers ─▶ Bucket: limits ─▶ retries ─▶ time-outs ─▶ hedging          keys, messages, metrics
//!               │
//!               ├ ship, remove_block    a block, in the order that keeps it whole or unseen
//!               ├ Lookout              which blocks there are
//!               ├ mark, read_mark       marks beside a block
//!               └ probe                 what the store can do
//! ```
//!
//! This room does I/O and waits: it runs on tokio. Clock, random source and files are handed in
//! ([`Parts`]), so that a simulator can stand in for a local bucket.

mod backend;
mod bucket;
mod config;
mod digest;
mod download;
mod hedge;
mod inventory;
mod key;
pub mod layout;
pub mod marks;
mod metrics;
mod open;
mod probe;
mod reload;
mod remembered;
mod remove;
mod retry;
mod ship;
mod shipper_file;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod upload;

pub use backend::{Attributes, Depth, Entry, Version};
pub use bucket::{Bucket, Env, Parts};
pub use config::{BucketConfig, MAX_CONFIG_BYTES};
pub use inventory::{Inventory, Listed, Lookout, Objects, Partial};
pub use metrics::BucketMetrics;
pub use probe::Probe;
pub use ship::{MAX_META_BYTES, ShipOptions, Shipped};
pub use shipper_file::ShipperFile;

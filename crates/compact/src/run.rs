//! Compaction at work: what the rules decide is carried out on a bucket.

mod compactor;
mod job;
mod lease;
mod log;
mod metrics;
mod progress;
mod status;
mod stock;

pub use compactor::{Compactor, CompactorOptions, Parts, Round, Work};
pub use log::DeletionLog;
pub use status::{Quarantined, Running, Status, Todo};

#[cfg(test)]
mod tests;

//! Compaction at work: what the rules decide is carried out on a bucket.

mod compactor;
mod due;
mod job;
mod lease;
mod left_out;
mod log;
mod metrics;
mod progress;
mod status;
mod stock;

pub use compactor::{Compactor, CompactorOptions, Parts, Round, Work};
pub use log::DeletionLog;
pub use status::{Broken, LeftOut, Quarantined, Running, Status, Todo};

#[cfg(test)]
mod tests;

//! Blocks in object storage as a holder of series.
//!
//! ```text
//!  bucket ─▶ gateway: which blocks there are ─▶ pick: which of them answer ─▶ supply: one task a block
//!     ▲                                                                            │
//!     └──── remote: files by ranges ◀── pages: what was read ◀─────────────── block (as if it were here)
//!                                        in memory, and on disk
//! ```

mod disk;
mod gateway;
mod metrics;
mod pages;
mod partition;
mod pick;
mod remote;
mod supply;

pub use gateway::{DiskCache, Gateway, GatewayOptions, Parts, Synced, View};
pub use partition::{Partition, TimeBound};

#[cfg(test)]
mod tests;

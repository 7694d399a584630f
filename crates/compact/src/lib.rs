//! What becomes of blocks with age: they are merged, thinned out, and go.
//!
//! What decides is a function over `meta.json`s and marks, with the time handed in; what works takes blocks and
//! gives one; what runs brings both to a bucket.
//!
//! - [`groups`] sorts blocks into streams that are compacted apart from each other.
//! - [`Planner`] picks the blocks of a group that become one, as Thanos does; [`downsampling`] those that are to be
//!   thinned out.
//! - [`lifecycle`] says which blocks are marked and deleted, and why.
//! - [`compact`] merges the blocks of a plan; [`downsample()`] thins one out, [`Downsampler`] a series of it.
//! - [`plan_rewrite`] makes another block of one: samples deleted, series relabelled.
//! - [`Compactor`] does all of it, round after round, on a bucket that one at a time works on.
//!
//! Source of the rules: Thanos' `pkg/compact`, Prometheus' `tsdb/compact.go`.

mod downsample;
#[cfg(test)]
mod golden;
mod group;
pub mod lifecycle;
mod merge;
mod plan;
mod rewrite;
mod run;

pub use downsample::{Downsampler, downsample};
pub use group::{Group, groups, resolution_ms, tenant_of};
pub use merge::{Compaction, Dedup, Progress, compact};
pub use plan::{DUE_MS, DownsampleJob, NoCompact, Plan, Planner, Why, downsampling};
pub use rewrite::{Change, Changes, Deletion, Rewriting, plan_rewrite};
pub use run::{
    Broken, Compactor, CompactorOptions, DeletionLog, LeftOut, Parts, Quarantined, Round, Running, Status,
    Todo, Work,
};

/// Resolutions of downsampled blocks, in milliseconds.
pub const FIVE_MINUTES_MS: i64 = 5 * 60 * 1000;
pub const ONE_HOUR_MS: i64 = 60 * 60 * 1000;

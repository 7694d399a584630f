//! What was pushed and is not yet a block: the log, the series in memory, and cutting blocks.
//!
//! The way of a sample: [`Head::append`] finds its series by a hash (`index`), packs it into the series' open
//! chunk (`open`), writes it down for the log (`record`, `log`); full chunks go to files (`chunks`), late
//! samples lie beside (`late`). [`Head::maintain`] cuts ranges into blocks (`cut`) and writes snapshots
//! (`snapshot`); [`Head::open`] brings all back (`recover`). [`Head::queryable`] answers (`select`).

mod adopt;
mod append;
mod chunks;
mod codec;
mod cut;
mod deletions;
mod exemplars;
mod extras;
mod frame;
pub mod fuzz;
mod head;
mod index;
mod late;
mod log;
mod metrics;
mod open;
mod ranges;
mod record;
mod recover;
mod refused;
mod select;
mod series;
mod snapshot;
mod state;
mod stats;
mod tenant;
mod upkeep;

pub use append::{Appended, SeriesLimits, SeriesPolicy};
pub use head::{Env, Head, HeadOptions, TenantInfo};
pub use refused::{Reason, Refused};
pub use stats::HeadStats;

#[cfg(test)]
mod tests;

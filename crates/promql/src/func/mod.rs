//! What functions compute, by family. Signatures are in [`functions`](crate::functions), the wiring is in
//! [`exec::build`](crate::exec::build).

pub(crate) mod absent;
pub(crate) mod classic;
pub(crate) mod extended;
pub(crate) mod histogram_rate;
pub(crate) mod histogram_stats;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod runs;
pub(crate) mod scalar;
pub(crate) mod sliding;
pub(crate) mod sort;
pub(crate) mod time;

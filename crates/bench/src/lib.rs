//! Load for any remote-write receiver, and the proof of what became of it.
//!
//! A [`Plan`] is a few numbers from which every series, time and value follows ([`load()`] sends them). The [`Journal`]
//! keeps the plan, and how far each connection was acknowledged; with it [`verify()`] reads every sample back over the
//! query API and counts lost, extra and wrong ones, also after the server was killed. [`time_queries`] times queries.
//! [`walk()`] lets a year pass over a bucket.
//!
//! The load is that of Kubernetes: each target is a pod with a hundred series under 72 names (`catalogue.rs`), scraped
//! at its own offset, and replaced by another pod now and then.

mod answer;
mod batch;
mod catalogue;
mod expected;
mod http;
mod journal;
mod latency;
mod load;
mod packed;
mod plan;
mod process;
mod query;
mod report;
mod target;
mod timing;
mod value;
mod verify;
mod year;

pub use http::{Answer, Client, Endpoint, escaped};
pub use journal::Journal;
pub use latency::Spread;
pub use load::{LoadOptions, LoadReport, Second, load};
pub use plan::{Plan, Protocol};
pub use process::Usage;
pub use query::Query;
pub use timing::{QueryOptions, QueryReport, QueryTimes, time_queries};
pub use verify::{VerifyOptions, VerifyReport, verify};
pub use year::{Held, Stage, Stages, YearOptions, YearParts, YearReport, bucket_dir, walk};

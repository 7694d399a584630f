//! Prometheus' test scripts: `load`, `clear`, `eval`.
//!
//! The language is specified in `promql/promqltest/README.md` of Prometheus. [`run()`] evaluates a script over
//! series in memory and says of every `eval` whether it holds, so that the corpora of both projects can be
//! run from a test or a tool. As in Prometheus, every instant query is also evaluated with `@` at other
//! times, and as part of a range.

mod compare;
mod histogram;
mod nhcb;
mod parse;
mod run;
mod series;
mod variants;

pub use parse::{Command, Eval, EvalTimes, Expect, ExpectKind, Load, Script};
pub use run::{Failure, Report, judge, run, script_options};
pub use series::{Described, Point, Stored, describe_series};

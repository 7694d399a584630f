//! PromQL: from the text of a query to its answer. Data come only through [`nilometer_storage`].
//!
//! ```text
//! text ─parse─▶ Expr ─plan─▶ nodes, passes ─exec::build─▶ tasks ─exec─▶ columns ─▶ QueryResult
//! ```
//!
//! - [`parse`] makes an [`ast::Expr`] of the text, with positions; [`functions`] is the table of signatures.
//! - `plan` puts in the times of one evaluation and works out what can be done once.
//! - `exec` has the operators, `func` what functions compute, `histogram` the arithmetic of native ones.
//! - [`Engine`] ties them together. It reads no clock and starts no thread: what ends a query is handed in
//!   as an [`Interrupt`], and a query waits only between the batches of storage.
//! - [`script`] runs Prometheus' test scripts.

mod annotations;
pub mod ast;
mod budget;
pub mod duration;
mod engine;
mod exec;
mod explain;
mod func;
pub mod functions;
#[doc(hidden)]
pub mod fuzz;
mod histogram;
mod labels_hash;
mod lex;
mod number;
pub mod parse;
mod plan;
mod print;
mod quote;
pub mod script;
pub mod value;

pub use budget::{Interrupt, Limits, Stop};
pub use engine::{Engine, EngineOptions, Range, Source};
pub use explain::{PlanNode, Stopwatch, TaskProfile};
pub use plan::resolution::Resolution;
pub use value::{QueryResult, QueryStats, Value};

//! PromQL: parser, plan, passes, operators, functions; data only through storage

mod annotations;
pub mod ast;
mod budget;
pub mod duration;
mod engine;
mod exec;
mod func;
pub mod functions;
#[doc(hidden)]
pub mod fuzz;
mod histogram;
mod kahan;
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
pub use value::{QueryResult, QueryStats, Value};

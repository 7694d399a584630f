//! PromQL: parser, plan, passes, operators, functions; data only through storage

pub mod ast;
pub mod duration;
pub mod functions;

pub mod parse;

mod quote;

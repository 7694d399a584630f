//! PromQL: parser, plan, passes, operators, functions; data only through storage

pub mod ast;
pub mod duration;
pub mod functions;
mod lex;
pub mod parse;
mod print;
mod quote;

//! What holds of every request, and what is refused.

mod differential;
mod errors;
mod fuzz;
mod golden;
mod keys;
mod oracle;
mod plain;
mod strategies;

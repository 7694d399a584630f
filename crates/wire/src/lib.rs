//! Protocols as bytes and model.
//!
//! Remote write 1.0 and 2.0: a body comes in, is decompressed ([`snappy`]), read in place ([`remote_write`])
//! and handed on as views into itself; nothing here does I/O. How the two versions are told apart, and what a
//! receiver answers beside the status, is [`content`]. [`remote_read`] is the way back, [`exposition`] what
//! a scraper reads. [`store_api`] is what stores and queriers of Thanos say to each other.

pub mod content;
pub mod exposition;
#[doc(hidden)]
pub mod fuzz;
mod protobuf;
pub mod remote_read;
pub mod remote_write;
pub mod snappy;
pub mod store_api;

//! Protocols as bytes and model.
//!
//! Remote write 1.0 and 2.0 so far: a body comes in, is decompressed ([`snappy`]), read in place
//! ([`remote_write`]) and handed on as views into itself; nothing here does I/O. How the two versions are
//! told apart, and what a receiver answers beside the status, is [`content`].

pub mod content;
#[doc(hidden)]
pub mod fuzz;
mod protobuf;
pub mod remote_write;
pub mod snappy;

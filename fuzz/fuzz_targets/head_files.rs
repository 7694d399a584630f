#![no_main]
//! The files of the head: log records, snapshots, frames.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nilometer_head::fuzz::files(bytes));

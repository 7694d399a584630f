#![no_main]
//! Tombstones: refused, or the same when written and read again.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_block::fuzz::tombstones(input));

#![no_main]
//! A block of arbitrary sections with right checksums: refused, or read in every way, always in order.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_block::fuzz::block(input));

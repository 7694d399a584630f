#![no_main]
//! A downsampled chunk: refused, or read and written as it was; its aggregates are tried.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_chunk::fuzz::aggr_chunk(input));

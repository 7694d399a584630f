#![no_main]
//! A chunk of any encoding: refused or read, by rows and by columns alike, and then written again.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_chunk::fuzz::chunk(input));

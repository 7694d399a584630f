#![no_main]
//! A message of a store's answer: refused or read.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_wire::fuzz::store_api(input));

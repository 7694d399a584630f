#![no_main]
//! A remote write body of either version, compressed or not: refused or read, and its keys are keys.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_wire::fuzz::remote_write(input));

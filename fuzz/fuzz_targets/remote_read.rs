#![no_main]
//! The body of a remote read, compressed or not: refused or read, within its limits.
libfuzzer_sys::fuzz_target!(|input: &[u8]| nilometer_wire::fuzz::remote_read(input));

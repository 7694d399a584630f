#![no_main]
//! A query: refused or parsed, and then what is printed parses to the same tree.
libfuzzer_sys::fuzz_target!(|query: &str| nilometer_promql::parse::fuzz(query));

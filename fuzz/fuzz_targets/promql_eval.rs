#![no_main]
//! A query: refused or evaluated, and an instant query answers as a range of one step does.
libfuzzer_sys::fuzz_target!(|query: &str| {
    nilometer_promql::fuzz::evaluate(query);
});

#![no_main]
//! A regular expression from a query: refused or compiled, and then matched, in bounded time.
use nilometer_model::{MatchKind, Matcher};

libfuzzer_sys::fuzz_target!(|input: (&str, &str)| {
    if let Ok(matcher) = Matcher::new(MatchKind::Regex, "name", input.0) {
        matcher.matches(input.1);
    }
});

//! Runs test scripts and prints what fails: `cargo run --example promqltest FILE…`.

use nilometer_promql::{EngineOptions, script};

fn main() {
    let immediate = std::env::var_os("IMMEDIATE_NAME_REMOVAL").is_some();
    let options = EngineOptions { delayed_name_removal: !immediate, ..script::script_options() };
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        match script::run_with(&text, options) {
            Err(e) => println!("{path}: {e}"),
            Ok(report) => {
                println!("{path}: {} of {} pass", report.passed, report.evaluations());
                for failure in report.failures {
                    println!("  line {}: {}\n    {}", failure.line, failure.query, failure.message);
                }
            }
        }
    }
}

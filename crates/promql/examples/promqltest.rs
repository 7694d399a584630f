//! Runs test scripts and prints what fails: `cargo run --example promqltest FILE…`.

use nilometer_promql::script;

fn main() {
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        match script::run(&text) {
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

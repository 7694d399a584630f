//! Runs the test scripts of a folder: `cargo xtask promqltest DIR`.
//!
//! Each failure is printed with its file, line and difference, then `N passed, N failed`. A script that cannot
//! be read is one failure. Ends with 1 where anything failed, and with 2 where there was nothing to run.

use nilometer_promql::script::{self, Report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = &args[..] else { return refuse("give one folder of .test scripts") };
    let scripts = match scripts(Path::new(folder)) {
        Ok(scripts) if scripts.is_empty() => return refuse(&format!("{folder} has no .test script")),
        Ok(scripts) => scripts,
        Err(e) => return refuse(&format!("{folder}: {e}")),
    };
    let (mut passed, mut failed) = (0, 0);
    for path in scripts {
        match run(&path) {
            Ok(report) => {
                for failure in &report.failures {
                    let (line, query) = (failure.line, &failure.query);
                    println!("{}:{line}: {query}\n    {}", path.display(), failure.message);
                }
                passed += report.passed;
                failed += report.failures.len();
            }
            Err(e) => {
                println!("{}: {e}", path.display());
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("promqltest: {why}");
    ExitCode::from(2)
}

fn scripts(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> = paths.filter(|p| p.extension().is_some_and(|e| e == "test")).collect();
    scripts.sort();
    Ok(scripts)
}

fn run(path: &Path) -> Result<Report, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    script::run(&text).map_err(|e| e.to_string())
}

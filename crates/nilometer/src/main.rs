//! `nilometer`: one module for each sub-command, which wires the rooms together.

mod answering;
mod bench;
mod compact;
mod compaction;
mod flags;
mod forecast;
mod history;
mod log;
mod memory;
mod serve;
mod store;
mod threads;
mod tools;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let raw = match flags::parse(std::env::args_os()) {
        Ok(raw) => raw,
        // Help, the version, or a mistake: the text says which, and so does the code.
        Err(e) => e.exit(),
    };
    let ran = match raw {
        flags::Command::Serve(raw, ignored) => {
            flags::resolve(&raw).and_then(|options| serve::run(&options, &ignored))
        }
        flags::Command::Store(raw, ignored) => {
            flags::resolve_store(&raw).and_then(|options| store::run(&options, &ignored))
        }
        flags::Command::Compact(raw, ignored) => {
            flags::resolve_compact(&raw).and_then(|options| compact::run(&options, &ignored))
        }
        flags::Command::Bench(flags) => bench::run(*flags),
        flags::Command::Tools(flags) => tools::run(&flags),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Whoever starts it by hand reads the last line.
            eprintln!("nilometer: {e:#}");
            ExitCode::FAILURE
        }
    }
}

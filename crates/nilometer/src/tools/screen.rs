//! How far long work is: bars on a terminal, a plain line now and then elsewhere. All of it goes to stderr; what a
//! command found goes to stdout.

use super::table;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nilometer_env::Clock;
use parking_lot::Mutex;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

/// Between two lines about the same work.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Bars move on in time too.
const TICK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Blocks,
    Bytes,
    Series,
}

#[derive(Clone)]
pub(super) struct Screen {
    clock: Arc<dyn Clock>,
    bars: Option<MultiProgress>,
}

impl Screen {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bars = is_terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Screen { clock, bars }
    }

    /// Where the log writes, so that its lines do not run into bars.
    pub(super) fn log_writer(&self) -> impl Fn() -> LogWriter + Send + Sync + 'static {
        let bars = self.bars.clone();
        move || LogWriter(bars.clone())
    }

    /// Begins to show some work.
    pub(super) fn begin(&self, what: &str, total: u64, unit: Unit) -> Progress {
        let how = match &self.bars {
            Some(bars) => {
                let bar = bars.add(ProgressBar::new(total));
                bar.set_style(style(unit));
                bar.set_prefix(what.to_owned());
                bar.enable_steady_tick(TICK);
                How::Bar(bar)
            }
            None => How::Lines(Mutex::new(Lines {
                what: what.to_owned(),
                total,
                done: 0,
                about: String::new(),
                told: self.clock.monotonic(),
            })),
        };
        Progress(Arc::new(Shown { how, unit, clock: self.clock.clone() }))
    }

    /// A line for whoever watches.
    pub(super) fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => eprintln!("{line}"),
        }
    }
}

fn style(unit: Unit) -> ProgressStyle {
    let (amount, rate) = match unit {
        Unit::Bytes => ("{bytes} of {total_bytes}", "{bytes_per_sec}"),
        Unit::Blocks => ("{human_pos} of {human_len} blocks", ""),
        Unit::Series => ("{human_pos} of {human_len} series", "{per_sec}"),
    };
    let template = format!("{{prefix}} [{{bar:30}}] {amount} {rate} {{eta}} left {{msg}}");
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Work that is under way; it is no longer shown when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Progress(Arc<Shown>);

struct Shown {
    how: How,
    unit: Unit,
    clock: Arc<dyn Clock>,
}

enum How {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

struct Lines {
    what: String,
    total: u64,
    done: u64,
    about: String,
    told: Duration,
}

impl Progress {
    pub(super) fn add(&self, done: u64) {
        match &self.0.how {
            How::Bar(bar) => bar.inc(done),
            How::Lines(lines) => {
                let mut lines = lines.lock();
                lines.done += done;
                self.0.tell(&mut lines);
            }
        }
    }

    pub(super) fn set(&self, done: u64) {
        match &self.0.how {
            How::Bar(bar) => bar.set_position(done),
            How::Lines(lines) => {
                let mut lines = lines.lock();
                lines.done = done;
                self.0.tell(&mut lines);
            }
        }
    }

    /// What is being worked on.
    pub(super) fn about(&self, what: impl Into<String>) {
        match &self.0.how {
            How::Bar(bar) => bar.set_message(what.into()),
            How::Lines(lines) => lines.lock().about = what.into(),
        }
    }
}

impl Shown {
    fn tell(&self, lines: &mut Lines) {
        let now = self.clock.monotonic();
        if now.saturating_sub(lines.told) < LINE_EVERY {
            return;
        }
        lines.told = now;
        let amount = match self.unit {
            Unit::Bytes => format!("{} of {}", table::bytes(lines.done), table::bytes(lines.total)),
            Unit::Blocks => format!("{} of {} blocks", lines.done, lines.total),
            Unit::Series => format!("{} of {} series", lines.done, lines.total),
        };
        eprintln!("{}: {amount} {}", lines.what, lines.about);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// Writes lines above the bars.
pub(super) struct LogWriter(Option<MultiProgress>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

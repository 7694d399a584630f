//! What each stage of the year takes. The compactor's log says when a block begins and when it is there.

use crate::process;
use nilometer_env::Clock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// Whose log is read.
const COMPACTOR: &str = "nilometer_compact";

/// All that was done of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub blocks: u64,
    pub seconds: f64,
    /// User and system, of all threads.
    pub cpu_seconds: f64,
    /// The most that was resident at once.
    pub peak_bytes: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Stage {
    fn add(&mut self, more: Stage) {
        self.blocks += more.blocks;
        self.seconds += more.seconds;
        self.cpu_seconds += more.cpu_seconds;
        self.peak_bytes = self.peak_bytes.max(more.peak_bytes);
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
    }
}

/// By name, which sorts them by the way that a sample takes.
pub type Stages = BTreeMap<String, Stage>;

/// Looks on while others work, as their log's reader.
#[derive(Clone)]
pub(super) struct Watcher {
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    stages: Stages,
    /// When what is going on began, and the CPU seconds of the process then.
    since: (Duration, f64),
    errors: Vec<String>,
}

impl Watcher {
    pub(super) fn new(clock: Arc<dyn Clock>, stages: Stages) -> Self {
        let seen = Seen { stages, ..Seen::default() };
        let watcher = Watcher { clock, seen: Arc::new(Mutex::new(seen)) };
        watcher.begin();
        watcher
    }

    pub(super) fn stages(&self) -> Stages {
        self.seen.lock().stages.clone()
    }

    /// What others found wrong since the last time that somebody asked.
    pub(super) fn errors(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().errors)
    }

    /// What was done up to now counts for nobody.
    pub(super) fn begin(&self) {
        let own = std::process::id();
        process::reset_peak(own);
        let cpu = process::Usage::of(own).map_or(0.0, |usage| usage.cpu_seconds);
        self.seen.lock().since = (self.clock.monotonic(), cpu);
    }

    /// What was done since counts for a stage.
    pub(super) fn end(&self, stage: &str, (blocks, bytes_in, bytes_out): (u64, u64, u64)) {
        let usage = process::Usage::of(std::process::id());
        let (since, cpu) = self.seen.lock().since;
        let done = Stage {
            blocks,
            seconds: self.clock.monotonic().saturating_sub(since).as_secs_f64(),
            cpu_seconds: usage.map_or(0.0, |usage| usage.cpu_seconds - cpu),
            peak_bytes: usage.map_or(0, |usage| usage.peak_bytes),
            bytes_in,
            bytes_out,
        };
        self.seen.lock().stages.entry(stage.to_owned()).or_default().add(done);
        self.begin();
    }
}

/// The stages that are not the compactor's blocks.
pub(super) const WRITING: &str = "1 blocks of 2 h: samples made, packed, written";
pub(super) const SHIPPING: &str = "2 shipping";
pub(super) const TIDYING: &str = "7 looking, marking, deleting (retention)";

fn of_block(line: &Line) -> String {
    match (line.resolution_ms, line.level) {
        (0, level) => format!("{} compaction to level {level}", level + 1),
        (resolution_ms, level) if line.message.starts_with("down") => {
            format!("6 downsampling to {} m (level {level})", resolution_ms / 60_000)
        }
        (resolution_ms, level) => {
            format!("6 compaction of {} m to level {level}", resolution_ms / 60_000)
        }
    }
}

/// One of the log.
#[derive(Default)]
struct Line {
    message: String,
    error: Option<String>,
    level: u64,
    resolution_ms: i64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" => self.error = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "level" => self.level = value,
            "bytes_in" => self.bytes_in = value,
            "bytes_out" => self.bytes_out = value,
            _ => {}
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "resolution_ms" {
            self.resolution_ms = value;
        }
    }
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let most = if metadata.target().starts_with(COMPACTOR) { Level::DEBUG } else { Level::ERROR };
        metadata.is_event() && *metadata.level() <= most
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if *event.metadata().level() == Level::ERROR {
            let why = line.error.unwrap_or_default();
            self.seen.lock().errors.push(format!("{}: {why}", line.message));
        } else if line.message.ends_with(" begins") {
            self.end(TIDYING, (0, 0, 0));
        } else if line.message.ends_with(" done") {
            self.end(&of_block(&line), (1, line.bytes_in, line.bytes_out));
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

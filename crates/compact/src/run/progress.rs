//! The board that shows what is going on: written by who works, read by who asks.

use super::status::{Running, Status, Todo};
use crate::Progress;
use parking_lot::Mutex;
use std::sync::Arc;

#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    status: Status,
    done_bytes: u64,
    done_ms: u64,
}

/// Takes down what it put up.
pub(crate) struct Up(Board);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.0.lock().status.running = None;
    }
}

impl Board {
    pub(crate) fn get(&self) -> Status {
        self.0.lock().status.clone()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().status);
    }

    pub(crate) fn run(&self, running: Running) -> Up {
        self.0.lock().status.running = Some(running);
        Up(self.clone())
    }

    pub(crate) fn progress(&self, progress: Progress) {
        if let Some(running) = &mut self.0.lock().status.running {
            running.set(progress);
        }
    }

    pub(crate) fn done(&self, bytes: u64, took_ms: i64) {
        let mut shown = self.0.lock();
        shown.done_bytes += bytes;
        shown.done_ms += took_ms.max(0) as u64;
    }

    pub(crate) fn todo(&self, todo: Todo) {
        let mut shown = self.0.lock();
        let per_second = shown.done_bytes.checked_div(shown.done_ms.div_ceil(1000)).filter(|rate| *rate > 0);
        shown.status.todo = Todo { seconds_left: per_second.map(|rate| todo.bytes / rate), ..todo };
    }
}

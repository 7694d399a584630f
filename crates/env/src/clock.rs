//! Time, of the wall and of the process.

use std::time::Duration;

pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time in milliseconds since 1970. May jump.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;
}

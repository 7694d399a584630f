//! What the outside world is to every room: files, a clock, a random source, threads.
//!
//! Rooms take these as arguments and never ask the system themselves, so that [`sim`] can stand in: a disk
//! that forgets what was not synced, a clock that is moved by hand, random numbers that repeat.

pub mod clock;
pub mod fs;
mod pool;
pub mod random;
mod real;
pub mod sim;

pub use clock::Clock;
pub use fs::{DirEntry, File, Fs, Stat};
pub use pool::CpuPool;
pub use random::Random;
pub use real::{RealFs, SystemClock, SystemRandom};

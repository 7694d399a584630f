//! What was pushed and is not yet a block: the log, the series in memory, and cutting blocks.

mod frame;
mod index;
mod log;

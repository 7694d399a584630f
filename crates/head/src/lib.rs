//! What was pushed and is not yet a block: log, series in memory, cuts

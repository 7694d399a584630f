//! The Prometheus block: index, chunk segments, tombstones

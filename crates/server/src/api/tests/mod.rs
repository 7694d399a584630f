//! The API in process, over a head on a simulated disk.
//!
//! `testdata/api/*.txt` holds requests and what a real Prometheus answers them over the same data; see
//! `golden`.

mod broken;
mod capture;
mod crowd;
mod edges;
mod golden;
mod peers;
mod resolution;
mod search;
mod world;

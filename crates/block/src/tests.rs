//! Blocks against a naive model, against crashes and damage, and against Prometheus' own tool.

mod crash;
mod damage;
mod encodings;
mod fixture;
mod fuzz;
mod golden;
mod model;
mod promtool;
mod scale;
mod tombstones;
mod writer;

//! The real binary, driven over HTTP as its users drive it.

mod abuse;
mod bad_input;
mod bad_network;
mod bench;
mod common;
mod compact;
mod compactors;
mod connections;
mod disk_full;
mod fsync;
mod history;
mod kills;
mod prometheus;
mod scripts;
mod senders;
mod smoke;
mod store;
mod tenants;
mod tls;
mod tools;

//! Other processes of an installation.
//!
//! [`Stores`] are those that answer over Thanos' StoreAPI: as one holder of series, each asked only where what it said
//! of itself matches, and missing with a warning where it cannot be asked.

mod channel;
mod series;
mod store;
mod stores;
mod tls;

pub use stores::{Stores, StoresOptions, StoresView};
pub use tls::ClientTls;

#[cfg(test)]
mod tests;

//! Flags that several sub-commands have, with the same meaning and default.

use super::values::Address;
use anyhow::Result;
use clap::Args;
use nilometer_server::{StoreOptions, TlsFiles};
use std::path::PathBuf;

// How the StoreAPI is served. (No `///`: clap would show it in place of what the command is.)
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "StoreAPI")]
pub(crate) struct StoreApiFlags {
    /// Certificate (PEM) of the gRPC address; read again when it changes
    #[arg(long = "grpc-server-tls-cert", value_name = "FILE", requires = "grpc_server_tls_key")]
    pub(crate) grpc_server_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "grpc-server-tls-key", value_name = "FILE", requires = "grpc_server_tls_cert")]
    pub(crate) grpc_server_tls_key: Option<PathBuf>,
    /// Clients must have a certificate that one of these (PEM) signed
    #[arg(long = "grpc-server-tls-client-ca", value_name = "FILE", requires = "grpc_server_tls_cert")]
    pub(crate) grpc_server_tls_client_ca: Option<PathBuf>,
    /// So many Series calls are answered at a time; others wait
    #[arg(long = "store.grpc.series-max-concurrency", value_name = "N", default_value_t = 20)]
    pub(crate) series_max_concurrency: usize,
    /// Series of one Series call; 0: any
    #[arg(long = "store.limits.request-series", value_name = "N", default_value_t = 0)]
    pub(crate) request_series: u64,
    /// Samples of one Series call, 120 counted for each chunk; 0: any
    #[arg(long = "store.limits.request-samples", value_name = "N", default_value_t = 0)]
    pub(crate) request_samples: u64,
}

impl StoreApiFlags {
    pub(super) fn address(&self, text: &str) -> Result<Address> {
        let client_ca = self.grpc_server_tls_client_ca.clone();
        let tls = tls(&self.grpc_server_tls_cert, &self.grpc_server_tls_key, client_ca);
        Address::parse("grpc-address", text, tls)
    }

    pub(super) fn options(&self, component: &'static str, max_memory_bytes: usize) -> StoreOptions {
        StoreOptions {
            component,
            max_concurrent: self.series_max_concurrency,
            max_series: self.request_series,
            max_samples: self.request_samples,
            max_memory_bytes,
        }
    }
}

pub(super) fn tls(
    cert: &Option<PathBuf>,
    key: &Option<PathBuf>,
    client_ca: Option<PathBuf>,
) -> Option<TlsFiles> {
    // clap has seen to it that there are both or none.
    let (Some(cert), Some(key)) = (cert.clone(), key.clone()) else { return None };
    Some(TlsFiles { cert, key, client_ca })
}

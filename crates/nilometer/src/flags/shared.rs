//! Flags that several sub-commands have, with the same meaning and default.

use super::values::{Address, Bytes, Millis};
use anyhow::{Result, ensure};
use clap::Args;
use nilometer_cluster::{ClientTls, StoresOptions};
use nilometer_gateway::DiskCache;
use nilometer_server::{StoreOptions, TlsFiles};
use std::path::{Path, PathBuf};

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

// How other stores are asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Queries")]
pub(crate) struct StoreClientFlags {
    /// A store that sends nothing for so long has failed, and a query goes on without it; 0s waits as long as the query
    /// may take
    #[arg(long = "store.response-timeout", value_name = "DURATION", default_value = "30s")]
    store_response_timeout: Millis,
    /// TLS to all stores (--endpoint)
    #[arg(long)]
    grpc_client_tls_secure: bool,
    /// Certificate (PEM) for stores that ask for one; read for each connection
    #[arg(long, value_name = "FILE", requires = "grpc_client_tls_key")]
    grpc_client_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "grpc_client_tls_cert")]
    grpc_client_tls_key: Option<PathBuf>,
    /// Who signs certificates of stores (PEM) [default: whom the system trusts]
    #[arg(long, value_name = "FILE")]
    grpc_client_tls_ca: Option<PathBuf>,
    /// The name in their certificates [default: the host of their address]
    #[arg(long, value_name = "NAME")]
    grpc_client_server_name: Option<String>,
    /// Any certificate of a store will do
    #[arg(long)]
    grpc_client_tls_skip_verify: bool,
    /// A bearer token for stores that ask for one (docs/tenants.md); read for each call
    #[arg(long, value_name = "FILE", requires = "grpc_client_tls_secure")]
    grpc_client_token_file: Option<PathBuf>,
}

impl StoreClientFlags {
    /// # Errors
    /// Where something of TLS is said, but not that it is to be used.
    pub(super) fn options(&self, addresses: &[String]) -> Result<StoresOptions> {
        let tls = ClientTls {
            identity: self.grpc_client_tls_cert.clone().zip(self.grpc_client_tls_key.clone()),
            ca: self.grpc_client_tls_ca.clone(),
            server_name: self.grpc_client_server_name.clone(),
            skip_verify: self.grpc_client_tls_skip_verify,
        };
        ensure!(
            self.grpc_client_tls_secure || tls == ClientTls::default(),
            "--grpc-client-tls-… and --grpc-client-server-name mean nothing without --grpc-client-tls-secure"
        );
        let timeout = self.store_response_timeout.duration();
        Ok(StoresOptions {
            addresses: addresses.to_vec(),
            response_timeout: (!timeout.is_zero()).then_some(timeout),
            tls: self.grpc_client_tls_secure.then_some(tls),
            token_file: self.grpc_client_token_file.clone(),
        })
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

/// `--disk-cache-size`
pub(super) fn disk_cache(data_dir: &Path, size: Bytes) -> Option<DiskCache> {
    (size.0 > 0).then(|| DiskCache { dir: data_dir.join("page-cache"), bytes: size.0 })
}

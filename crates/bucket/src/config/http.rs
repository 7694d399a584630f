//! `http_config`: what can be set of connections.

use super::Notes;
use super::duration::PromDuration;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    idle_conn_timeout: Option<PromDuration>,
    response_header_timeout: Option<PromDuration>,
    insecure_skip_verify: Option<bool>,
    tls_handshake_timeout: Option<PromDuration>,
    expect_continue_timeout: Option<PromDuration>,
    max_idle_conns: Option<u32>,
    max_idle_conns_per_host: Option<u32>,
    max_conns_per_host: Option<u32>,
    tls_config: Option<Tls>,
    disable_compression: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
    server_name: Option<String>,
    insecure_skip_verify: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConfig {
    pub(crate) idle_timeout: Duration,
    /// How long nothing may come from a store that was asked.
    pub(crate) response_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_connections: usize,
    /// 0 is as many as there are operations.
    pub(crate) connections: usize,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) is_verified: bool,
}

impl Raw {
    pub(super) fn check(self, notes: &mut Notes<'_>) -> Result<HttpConfig, String> {
        let tls = self.tls_config.unwrap_or_default();
        if [&tls.cert_file, &tls.key_file].iter().any(|file| file.as_ref().is_some_and(|f| !f.is_empty())) {
            return Err(
                "http_config.tls_config: client certificates (cert_file, key_file) cannot be sent to an \
                        object store yet: use the store's own credentials"
                    .into(),
            );
        }
        if tls.server_name.is_some_and(|name| !name.is_empty()) {
            return Err(
                "http_config.tls_config.server_name cannot be set: the name in the endpoint is checked"
                    .into(),
            );
        }
        let (continued, compressed) = (self.expect_continue_timeout, self.disable_compression);
        notes.unused(
            "http_config.expect_continue_timeout",
            continued.as_ref(),
            "bodies are sent without asking",
        );
        notes.unused(
            "http_config.disable_compression",
            compressed.as_ref(),
            "objects are never sent compressed",
        );
        let seconds =
            |given: Option<PromDuration>, default| given.map_or(Duration::from_secs(default), |d| d.0);
        let skips = self.insecure_skip_verify.unwrap_or(false) || tls.insecure_skip_verify.unwrap_or(false);
        if skips {
            notes.warn("insecure_skip_verify: any server can pretend to be the store");
        }
        let idle = self.max_idle_conns_per_host.or(self.max_idle_conns).unwrap_or(100);
        Ok(HttpConfig {
            idle_timeout: seconds(self.idle_conn_timeout, 90),
            response_timeout: seconds(self.response_header_timeout, 120),
            connect_timeout: seconds(self.tls_handshake_timeout, 10),
            idle_connections: idle as usize,
            connections: self.max_conns_per_host.unwrap_or(0) as usize,
            ca_file: tls.ca_file.filter(|file| !file.is_empty()).map(PathBuf::from),
            is_verified: !skips,
        })
    }
}

//! `config` of type GCS.

use super::{HttpConfig, Notes, Provider, ProviderConfig, http};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    bucket: Option<String>,
    service_account: Option<String>,
    use_grpc: Option<bool>,
    grpc_conn_pool_size: Option<u32>,
    chunk_size_bytes: Option<u64>,
    max_retries: Option<u32>,
    http_config: Option<http::Raw>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Gcs {
    pub(crate) bucket: String,
    /// The key file's JSON; `None`: what the machine has.
    pub(crate) service_account: Option<String>,
    pub(crate) part_bytes: u64,
    /// As Thanos counts: the first attempt too.
    pub(crate) max_retries: Option<u32>,
    pub(crate) http: HttpConfig,
}

impl Provider for Raw {
    fn check(self, notes: &mut Notes<'_>) -> Result<ProviderConfig, String> {
        let bucket = self.bucket.filter(|b| !b.is_empty()).ok_or("config.bucket is missing")?;
        notes.unused("config.use_grpc", self.use_grpc.filter(|uses| *uses).as_ref(), "requests go over HTTP");
        let pool = self.grpc_conn_pool_size.filter(|size| *size > 0);
        notes.unused("config.grpc_conn_pool_size", pool.as_ref(), "requests go over HTTP");
        let part_bytes =
            self.chunk_size_bytes.filter(|b| *b > 0).unwrap_or(crate::upload::DEFAULT_PART_BYTES);
        Ok(ProviderConfig::Gcs(Box::new(Gcs {
            bucket,
            service_account: self.service_account.filter(|json| !json.trim().is_empty()),
            part_bytes: part_bytes.max(5 << 20),
            max_retries: self.max_retries.filter(|retries| *retries > 0).map(|attempts| attempts - 1),
            http: self.http_config.unwrap_or_default().check(notes)?,
        })))
    }
}

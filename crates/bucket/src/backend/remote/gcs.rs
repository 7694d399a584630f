//! Google Cloud Storage.

use super::{Plain, Remote};
use crate::config::Gcs;
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use object_store::Attributes;
use object_store::gcp::GoogleCloudStorageBuilder;
use std::sync::Arc;

pub(crate) fn open(config: &Gcs, fs: &dyn Fs) -> Result<Remote> {
    let builder = match &config.service_account {
        Some(json) => GoogleCloudStorageBuilder::new().with_service_account_key(json),
        // The variable names a key file; without it, what the machine has.
        None => GoogleCloudStorageBuilder::from_env(),
    };
    let builder = builder
        .with_bucket_name(&config.bucket)
        .with_retry(super::no_retries())
        .with_client_options(super::client_options(&config.http, "https://", fs)?);
    let client = builder.build().map_err(|e| Error::invalid(format!("cannot make a client for GCS: {e}")))?;
    Ok(Remote { client: Arc::new(client), provider: Box::new(Plain), attributes: Attributes::default() })
}

//! From a config to a client.

use crate::backend::Backend;
use crate::backend::local::Local;
use crate::bucket::{Open, Parts};
use crate::config::{BucketConfig, ProviderConfig};
use crate::retry::Retry;
use crate::upload::DEFAULT_PART_BYTES;
use nilometer_model::{Error, Result};
use std::sync::Arc;

pub(crate) fn open(config: BucketConfig, parts: &Parts) -> Result<Open> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let random = parts.random.clone();
    let mut open = Open {
        backend: backend(&config, parts)?,
        retry: Retry::new(None, None, random.clone()),
        hedging: config.hedging,
        part_bytes: Some(DEFAULT_PART_BYTES),
        connections: 0,
        config: None,
    };
    match &config.provider {
        ProviderConfig::Filesystem { .. } => {}
        ProviderConfig::S3(s3) => {
            open.retry = Retry::new(s3.max_retries, None, random);
            open.part_bytes = s3.part_bytes;
            open.connections = s3.http.connections;
        }
        ProviderConfig::Gcs(gcs) => {
            open.retry = Retry::new(gcs.max_retries, None, random);
            open.part_bytes = Some(gcs.part_bytes);
            open.connections = gcs.http.connections;
        }
        ProviderConfig::Azure(azure) => {
            open.retry = Retry::new(azure.max_retries, azure.attempt_timeout, random);
            open.connections = azure.http.connections;
        }
        ProviderConfig::Swift(swift) => {
            open.retry = Retry::new(swift.max_retries, swift.attempt_timeout, random);
            open.part_bytes = Some(swift.part_bytes);
            open.connections = swift.http.connections;
        }
    }
    open.config = Some(config);
    Ok(open)
}

fn backend(config: &BucketConfig, parts: &Parts) -> Result<Arc<dyn Backend>> {
    #[allow(dead_code, reason = "without one of the features")]
    fn left_out<T>(kind: &str) -> Result<T> {
        Err(Error::invalid(format!("this program was built without a client for {kind}")))
    }
    Ok(match &config.provider {
        ProviderConfig::Filesystem { directory } => Arc::new(Local::open(parts, directory)?),
        #[cfg(feature = "s3")]
        ProviderConfig::S3(s3) => Arc::new(crate::backend::remote::s3::open(s3, &*parts.fs)?),
        #[cfg(not(feature = "s3"))]
        ProviderConfig::S3(_) => return left_out("S3"),
        #[cfg(feature = "gcs")]
        ProviderConfig::Gcs(gcs) => Arc::new(crate::backend::remote::gcs::open(gcs, &*parts.fs)?),
        #[cfg(not(feature = "gcs"))]
        ProviderConfig::Gcs(_) => return left_out("GCS"),
        #[cfg(feature = "azure")]
        ProviderConfig::Azure(azure) => Arc::new(crate::backend::remote::azure::open(azure, &*parts.fs)?.0),
        #[cfg(not(feature = "azure"))]
        ProviderConfig::Azure(_) => return left_out("Azure"),
        #[cfg(feature = "swift")]
        ProviderConfig::Swift(swift) => Arc::new(crate::backend::remote::swift::open(swift, parts)?),
        #[cfg(not(feature = "swift"))]
        ProviderConfig::Swift(_) => return left_out("Swift"),
    })
}

/// What must be there before the first object: a container on Azure, where the config asks for it.
pub(crate) async fn prepare(bucket: &crate::Bucket) -> Result<()> {
    #[cfg(feature = "azure")]
    {
        let current = bucket.0.current.load();
        let Some(ProviderConfig::Azure(azure)) = current.config.as_ref().map(|c| &c.provider) else {
            return Ok(());
        };
        if azure.creates_container {
            let (_, container) = crate::backend::remote::azure::open(azure, &**bucket.fs())?;
            let made = current.retry.run(0, || {}, || Box::pin(container.run())).await;
            if made.map_err(|gave_up| gave_up.error)? {
                tracing::info!(container = azure.container, "made the container, which was not there");
            }
        }
    }
    #[cfg(not(feature = "azure"))]
    let _ = bucket;
    Ok(())
}

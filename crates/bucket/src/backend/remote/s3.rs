//! Amazon S3 and what speaks its protocol.

use super::{Provider, Remote, failure};
use crate::backend::{Failure, Special};
use crate::config::{Encryption, S3, S3Credentials};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, Checksum};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::{Attribute, Attributes, HeaderValue};
use std::sync::Arc;

pub(crate) fn open(config: &S3, fs: &dyn Fs) -> Result<Remote> {
    let wrong = |e: object_store::Error| Error::invalid(format!("cannot make a client for S3: {e}"));
    let builder = match &config.credentials {
        S3Credentials::Static { access_key, secret_key, session_token } => {
            let builder =
                AmazonS3Builder::new().with_access_key_id(access_key).with_secret_access_key(secret_key);
            match session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        S3Credentials::Environment => AmazonS3Builder::from_env(),
    };
    let client_options = super::client_options(&config.http, &config.endpoint, fs)?;
    let endpoint = match (config.is_virtual_hosted, config.endpoint.split_once("://")) {
        (true, Some((scheme, host))) => format!("{scheme}://{}.{host}", config.bucket),
        _ => config.endpoint.clone(),
    };
    let mut builder = builder
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_endpoint(&endpoint)
        .with_virtual_hosted_style_request(config.is_virtual_hosted)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(super::no_retries())
        .with_client_options(client_options.clone());
    builder = match &config.encryption {
        None => builder,
        Some(Encryption::S3) => {
            builder.with_config("aws_server_side_encryption".parse().map_err(wrong)?, "AES256")
        }
        Some(Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
        Some(Encryption::Customer { key_file }) => builder.with_ssec_encryption(customer_key(fs, key_file)?),
    };
    let client = Arc::new(builder.build().map_err(wrong)?);
    let bucket_url =
        if config.is_virtual_hosted { endpoint } else { format!("{endpoint}/{}", config.bucket) };
    let http = ReqwestConnector::default().connect(&client_options).map_err(wrong)?;
    let provider =
        Box::new(Asker { client: client.clone(), http, bucket_url, region: config.region.clone() });
    Ok(Remote { client, provider, attributes: attributes(config) })
}

fn attributes(config: &S3) -> Attributes {
    let metadata = config.metadata.iter();
    let mut attributes: Attributes =
        metadata.map(|(key, value)| (Attribute::Metadata(key.clone().into()), value.clone())).collect();
    if let Some(class) = &config.storage_class {
        attributes.insert(Attribute::StorageClass, class.clone().into());
    }
    attributes
}

fn customer_key(fs: &dyn Fs, path: &std::path::Path) -> Result<String> {
    let key = fs.read(path).map_err(|e| Error::io(format!("cannot read the key {}", path.display()), e))?;
    if key.len() != 32 {
        let message = format!("the key in {} has {} bytes, not 32", path.display(), key.len());
        return Err(Error::invalid(message));
    }
    Ok(BASE64_STANDARD.encode(key))
}

/// Requests that no storage trait has.
struct Asker {
    client: Arc<AmazonS3>,
    http: HttpClient,
    bucket_url: String,
    region: String,
}

impl Asker {
    async fn send(
        &self,
        method: &str,
        url: &str,
        body: Bytes,
        header: Option<(&'static str, &str)>,
    ) -> Result<(u16, String), Failure> {
        let invalid = |what: String| Failure::lasting(Error::invalid(what));
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = method.parse().map_err(|e| invalid(format!("{method}: {e}")))?;
        *request.uri_mut() = url.parse().map_err(|e| invalid(format!("{url}: {e}")))?;
        if let Some((name, value)) = header {
            let value = HeaderValue::from_str(value).map_err(|e| invalid(format!("{name}: {e}")))?;
            request.headers_mut().insert(name, value);
        }
        let credential = self.client.credentials().get_credential().await.map_err(failure)?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(failure)?;
        let passing = |e: &dyn std::fmt::Display| Failure::passing(Error::unavailable(e.to_string()));
        let response = self.http.execute(request).await.map_err(|e| passing(&e))?;
        let status = response.status().as_u16();
        let body = response.into_body().bytes().await.map_err(|e| passing(&e))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// A body with the SHA-256 of another must be refused, if the store looks at it at all.
    async fn checks_sha256(&self, key: &str) -> Option<bool> {
        let other = BASE64_STANDARD.encode([0; 32]);
        let url = format!("{}/{key}", self.bucket_url);
        let body = Bytes::from_static(b"nilometer");
        match self.send("PUT", &url, body, Some(("x-amz-checksum-sha256", &other))).await {
            Ok((200..300, _)) => Some(false),
            Ok((400, _)) => Some(true),
            _ => None,
        }
    }

    async fn object_lock(&self) -> Option<bool> {
        match self.send("GET", &format!("{}?object-lock", self.bucket_url), Bytes::new(), None).await {
            Ok((200, body)) => Some(body.contains("Enabled")),
            Ok((404 | 501, _)) => Some(false),
            _ => None,
        }
    }
}

impl Provider for Asker {
    fn probe<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Special> {
        async move {
            Special { checks_sha256: self.checks_sha256(key).await, object_lock: self.object_lock().await }
        }
        .boxed()
    }

    fn sends_sha256(&self) -> bool {
        true
    }
}

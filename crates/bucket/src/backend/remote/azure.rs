//! Azure Blob Storage.

use super::{Plain, Remote, failure};
use crate::backend::Failure;
use crate::config::{Azure, AzureCredentials};
use bytes::Bytes;
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use object_store::Attributes;
use object_store::azure::{AzureAuthorizer, MicrosoftAzure, MicrosoftAzureBuilder, split_sas};
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use std::sync::Arc;

/// A client, and how its container is made if it is not there.
pub(crate) fn open(config: &Azure, fs: &dyn Fs) -> Result<(Remote, CreateContainer)> {
    let wrong = |e: object_store::Error| Error::invalid(format!("cannot make a client for Azure: {e}"));
    let client_options = super::client_options(&config.http, &config.url, fs)?;
    let builder = match &config.credentials {
        AzureCredentials::Key(key) => MicrosoftAzureBuilder::new().with_access_key(key),
        AzureCredentials::Sas(sas) => {
            MicrosoftAzureBuilder::new().with_sas_authorization(split_sas(sas).map_err(wrong)?)
        }
        AzureCredentials::Secret { tenant_id, client_id, client_secret } => {
            MicrosoftAzureBuilder::new().with_client_secret_authorization(client_id, client_secret, tenant_id)
        }
        AzureCredentials::Managed { client_id: Some(id) } => MicrosoftAzureBuilder::new().with_client_id(id),
        AzureCredentials::Managed { client_id: None } => MicrosoftAzureBuilder::from_env(),
    };
    let client = builder
        .with_account(&config.account)
        .with_container_name(&config.container)
        .with_endpoint(config.url.clone())
        .with_retry(super::no_retries())
        .with_client_options(client_options.clone())
        .build();
    let client = Arc::new(client.map_err(wrong)?);
    let create = CreateContainer {
        client: client.clone(),
        http: ReqwestConnector::default().connect(&client_options).map_err(wrong)?,
        url: format!("{}/{}?restype=container", config.url, config.container),
        account: config.account.clone(),
    };
    Ok((Remote { client, provider: Box::new(Plain), attributes: Attributes::default() }, create))
}

/// Thanos makes a container that is not there.
pub(crate) struct CreateContainer {
    client: Arc<MicrosoftAzure>,
    http: object_store::client::HttpClient,
    url: String,
    account: String,
}

impl CreateContainer {
    /// True if it was made now.
    pub(crate) async fn run(&self) -> Result<bool, Failure> {
        let invalid = |e: String| Failure::lasting(Error::invalid(e));
        let mut request = HttpRequest::new(HttpRequestBody::from(Bytes::new()));
        *request.method_mut() = "PUT".parse().map_err(|e| invalid(format!("PUT: {e}")))?;
        *request.uri_mut() = self.url.parse().map_err(|e| invalid(format!("{}: {e}", self.url)))?;
        let zero = object_store::HeaderValue::from_static("0");
        request.headers_mut().insert("content-length", zero);
        let credential = self.client.credentials().get_credential().await.map_err(failure)?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request).map_err(failure)?;
        let response = self.http.execute(request).await;
        let response = response.map_err(|e| Failure::passing(Error::unavailable(e.to_string())))?;
        match response.status().as_u16() {
            200..300 => Ok(true),
            // It is there, or may not be made by us: what is done next tells.
            400..500 => Ok(false),
            status => Err(Failure::passing(Error::unavailable(format!(
                "the container could not be made: status code: {status}"
            )))),
        }
    }
}

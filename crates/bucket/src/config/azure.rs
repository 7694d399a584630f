//! `config` of type AZURE.

use super::duration::PromDuration;
use super::{HttpConfig, Notes, Provider, ProviderConfig, http};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    az_tenant_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    storage_account: Option<String>,
    storage_account_key: Option<String>,
    storage_connection_string: Option<String>,
    storage_create_container: Option<bool>,
    container: Option<String>,
    endpoint: Option<String>,
    user_assigned_id: Option<String>,
    max_retries: Option<u32>,
    reader_config: Option<ReaderConfig>,
    pipeline_config: Option<PipelineConfig>,
    http_config: Option<http::Raw>,
    msi_resource: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReaderConfig {
    max_retry_requests: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PipelineConfig {
    max_tries: Option<u32>,
    try_timeout: Option<PromDuration>,
    retry_delay: Option<PromDuration>,
    max_retry_delay: Option<PromDuration>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Azure {
    pub(crate) account: String,
    pub(crate) container: String,
    /// Where the account's blobs are.
    pub(crate) url: String,
    pub(crate) credentials: AzureCredentials,
    pub(crate) creates_container: bool,
    pub(crate) max_retries: Option<u32>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) http: HttpConfig,
}

#[derive(Clone, PartialEq)]
pub(crate) enum AzureCredentials {
    Key(String),
    /// The query of a shared access signature.
    Sas(String),
    Secret {
        tenant_id: String,
        client_id: String,
        client_secret: String,
    },
    /// Workload identity or the machine's identity, a certain one of several if it is named.
    Managed {
        client_id: Option<String>,
    },
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Provider for Raw {
    fn check(self, notes: &mut Notes<'_>) -> Result<ProviderConfig, String> {
        let container = given(self.container).ok_or("config.container is missing")?;
        let account = given(self.storage_account).ok_or("config.storage_account is missing")?;
        let endpoint = given(self.endpoint).unwrap_or_else(|| "blob.core.windows.net".into());
        let mut url = format!("https://{account}.{endpoint}");
        let (key, connection) = (given(self.storage_account_key), given(self.storage_connection_string));
        let secrets = [given(self.az_tenant_id), given(self.client_id), given(self.client_secret)];
        let user = given(self.user_assigned_id);
        if user.is_some() && (key.is_some() || connection.is_some() || secrets[1].is_some()) {
            return Err("config.user_assigned_id goes without a key, connection string or client_id".into());
        }
        let credentials = match (key, connection, secrets) {
            (Some(_), Some(_), _) => {
                return Err(
                    "config.storage_account_key and storage_connection_string exclude each other".into()
                );
            }
            (Some(key), None, _) => AzureCredentials::Key(key),
            (None, Some(connection), _) => {
                let (at, credentials) = connection_string(&connection, &account)?;
                url = at.unwrap_or(url);
                credentials
            }
            (None, None, [Some(tenant_id), Some(client_id), Some(client_secret)]) => {
                AzureCredentials::Secret { tenant_id, client_id, client_secret }
            }
            (None, None, [None, None, None]) => AzureCredentials::Managed { client_id: user },
            _ => return Err("config.az_tenant_id, client_id and client_secret go together".into()),
        };
        let reader = self.reader_config.and_then(|reader| reader.max_retry_requests);
        notes.unused("config.msi_resource", given(self.msi_resource).as_ref(), "it follows from the account");
        let pipeline = self.pipeline_config.unwrap_or_default();
        for (name, delay) in
            [("retry_delay", pipeline.retry_delay), ("max_retry_delay", pipeline.max_retry_delay)]
        {
            let delay = delay.filter(|delay| !delay.0.is_zero());
            notes.unused(
                &format!("config.pipeline_config.{name}"),
                delay.as_ref(),
                "pauses are 0.1 to 10 s, by chance",
            );
        }
        let retries = [pipeline.max_tries, reader, self.max_retries].into_iter().flatten().find(|n| *n > 0);
        let timeout = pipeline.try_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
        Ok(ProviderConfig::Azure(Box::new(Azure {
            account,
            container,
            url,
            credentials,
            creates_container: self.storage_create_container.unwrap_or(true),
            max_retries: retries,
            attempt_timeout: timeout,
            http: self.http_config.unwrap_or_default().check(notes)?,
        })))
    }
}

/// `AccountName=…;AccountKey=…;BlobEndpoint=…`: where the blobs are, if it says so, and the credentials.
fn connection_string(text: &str, account: &str) -> Result<(Option<String>, AzureCredentials), String> {
    let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    let pairs: HashMap<String, &str> = pairs.map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
    let name = pairs.get("accountname").copied();
    if name.is_some_and(|name| name != account) {
        return Err("config.storage_account is not the AccountName of storage_connection_string".into());
    }
    let credentials = match (pairs.get("accountkey"), pairs.get("sharedaccesssignature")) {
        (Some(key), _) => AzureCredentials::Key((*key).to_owned()),
        (None, Some(sas)) => AzureCredentials::Sas((*sas).to_owned()),
        (None, None) => {
            return Err(
                "config.storage_connection_string has neither AccountKey nor SharedAccessSignature".into()
            );
        }
    };
    let url = match (pairs.get("blobendpoint"), pairs.get("endpointsuffix")) {
        (Some(url), _) => Some(url.trim_end_matches('/').to_owned()),
        (None, Some(suffix)) => {
            let scheme = pairs.get("defaultendpointsprotocol").copied().unwrap_or("https");
            Some(format!("{scheme}://{account}.blob.{suffix}"))
        }
        (None, None) => None,
    };
    Ok((url, credentials))
}

//! `config` of type S3.

use super::{HttpConfig, Notes, Provider, ProviderConfig, http};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    bucket: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    /// Nothing but `endpoint` says where to go.
    #[serde(rename = "disable_dualstack")]
    _disable_dualstack: Option<bool>,
    aws_sdk_auth: Option<bool>,
    access_key: Option<String>,
    insecure: Option<bool>,
    signature_version2: Option<bool>,
    secret_key: Option<String>,
    session_token: Option<String>,
    put_user_metadata: Option<BTreeMap<String, String>>,
    http_config: Option<http::Raw>,
    trace: Option<IgnoredAny>,
    list_objects_version: Option<String>,
    bucket_lookup_type: Option<String>,
    send_content_md5: Option<bool>,
    disable_multipart: Option<bool>,
    part_size: Option<u64>,
    sse_config: Option<Sse>,
    sts_endpoint: Option<String>,
    max_retries: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sse {
    #[serde(rename = "type")]
    kind: Option<String>,
    kms_key_id: Option<String>,
    kms_encryption_context: Option<BTreeMap<String, String>>,
    encryption_key: Option<PathBuf>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct S3 {
    pub(crate) bucket: String,
    /// With its scheme.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) is_virtual_hosted: bool,
    pub(crate) credentials: S3Credentials,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) encryption: Option<Encryption>,
    /// `None`: objects are never sent in parts.
    pub(crate) part_bytes: Option<u64>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) http: HttpConfig,
}

#[derive(Clone, PartialEq)]
pub(crate) enum S3Credentials {
    Static {
        access_key: String,
        secret_key: String,
        session_token: Option<String>,
    },
    /// Variables `AWS_…`, a web identity token, or what the machine's or container's service hands out.
    Environment,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Encryption {
    S3,
    Kms {
        key_id: String,
    },
    /// A file with the 32 bytes of the key.
    Customer {
        key_file: PathBuf,
    },
}

/// S3's own bounds on a part of an object.
const PART_BYTES: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;
const AMAZON: &str = ".amazonaws.com";

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Provider for Raw {
    fn check(self, notes: &mut Notes<'_>) -> Result<ProviderConfig, String> {
        let bucket = given(self.bucket).ok_or("config.bucket is missing")?;
        let endpoint = given(self.endpoint)
            .ok_or("config.endpoint is missing, such as s3.eu-central-1.amazonaws.com")?;
        if endpoint.contains("://") {
            return Err(
                "config.endpoint is a host and perhaps a port, without https:// (insecure: true is http)"
                    .into(),
            );
        }
        let host = endpoint.split(':').next().unwrap_or_default().to_owned();
        let is_virtual_hosted = match self.bucket_lookup_type.as_deref().unwrap_or("auto") {
            "auto" => host.ends_with(AMAZON),
            "virtual-hosted" => true,
            "path" => false,
            other => {
                return Err(format!(
                    "config.bucket_lookup_type {other:?} is not auto, virtual-hosted or path"
                ));
            }
        };
        if self.signature_version2 == Some(true) {
            return Err("config.signature_version2: requests are signed by version 4 only".into());
        }
        if let Some(version) = self.list_objects_version.as_deref().filter(|v| !matches!(*v, "" | "v2")) {
            return Err(format!("config.list_objects_version {version:?}: objects are listed by v2 only"));
        }
        let credentials = credentials(
            given(self.access_key),
            given(self.secret_key),
            given(self.session_token),
            self.aws_sdk_auth == Some(true),
        )?;
        notes.unused("config.trace", self.trace.as_ref(), "--log.level=debug shows requests");
        notes.unused(
            "config.send_content_md5",
            self.send_content_md5.filter(|sends| !sends).as_ref(),
            "bodies go with their SHA-256",
        );
        notes.unused(
            "config.sts_endpoint",
            given(self.sts_endpoint).as_ref(),
            "set AWS_ENDPOINT_URL_STS instead",
        );
        let part_bytes =
            self.part_size.filter(|bytes| *bytes > 0).unwrap_or(crate::upload::DEFAULT_PART_BYTES);
        if !PART_BYTES.contains(&part_bytes) {
            return Err("config.part_size is from 5242880 (5 MiB) to 5368709120 bytes".into());
        }
        let mut metadata = self.put_user_metadata.unwrap_or_default();
        let class = metadata.keys().find(|key| key.eq_ignore_ascii_case("X-Amz-Storage-Class")).cloned();
        let scheme = if self.insecure == Some(true) { "http" } else { "https" };
        Ok(ProviderConfig::S3(Box::new(S3 {
            region: given(self.region).or_else(|| region_of(&host)).unwrap_or_else(|| "us-east-1".into()),
            endpoint: format!("{scheme}://{endpoint}"),
            is_virtual_hosted,
            credentials,
            storage_class: class.and_then(|key| metadata.remove(&key)),
            metadata,
            encryption: self.sse_config.map(encryption).transpose()?.flatten(),
            part_bytes: (self.disable_multipart != Some(true)).then_some(part_bytes),
            max_retries: self.max_retries.filter(|retries| *retries > 0),
            http: self.http_config.unwrap_or_default().check(notes)?,
            bucket,
        })))
    }
}

fn credentials(
    access_key: Option<String>,
    secret_key: Option<String>,
    session_token: Option<String>,
    is_sdk: bool,
) -> Result<S3Credentials, String> {
    match (access_key, secret_key) {
        (Some(_), _) if is_sdk => Err("config.aws_sdk_auth and config.access_key exclude each other".into()),
        (Some(access_key), Some(secret_key)) => {
            Ok(S3Credentials::Static { access_key, secret_key, session_token })
        }
        (None, None) => Ok(S3Credentials::Environment),
        _ => Err("config.access_key and config.secret_key go together: set both, or neither".into()),
    }
}

fn encryption(raw: Sse) -> Result<Option<Encryption>, String> {
    if raw.kms_encryption_context.is_some_and(|context| !context.is_empty()) {
        return Err("config.sse_config.kms_encryption_context cannot be sent yet: leave it out".into());
    }
    match raw.kind.as_deref().unwrap_or_default() {
        "" => Ok(None),
        "SSE-S3" => Ok(Some(Encryption::S3)),
        "SSE-KMS" => {
            let key_id =
                given(raw.kms_key_id).ok_or("config.sse_config.kms_key_id is missing for SSE-KMS")?;
            Ok(Some(Encryption::Kms { key_id }))
        }
        "SSE-C" => {
            let key_file = raw.encryption_key.filter(|path| !path.as_os_str().is_empty());
            let key_file = key_file.ok_or("config.sse_config.encryption_key is missing for SSE-C: it names a file with the key's 32 bytes")?;
            Ok(Some(Encryption::Customer { key_file }))
        }
        other => Err(format!("config.sse_config.type {other:?} is not SSE-S3, SSE-KMS or SSE-C")),
    }
}

/// `s3.eu-central-1.amazonaws.com` says it.
fn region_of(host: &str) -> Option<String> {
    let mut labels = host.strip_suffix(AMAZON)?.split('.');
    labels.next_back().filter(|last| last.contains('-')).map(|last| last.trim_start_matches("s3-").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_endpoints() {
        for (host, region) in [
            ("s3.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("s3.dualstack.us-west-2.amazonaws.com", Some("us-west-2")),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.amazonaws.com", None),
            ("minio.example.org", None),
        ] {
            assert_eq!(region_of(host).as_deref(), region, "{host}");
        }
    }
}

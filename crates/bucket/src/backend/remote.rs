//! S3, GCS and Azure: the protocols are `object_store`'s, one request each, without its retries. Swift's is ours,
//! over its HTTP client.

#[cfg(feature = "azure")]
pub(crate) mod azure;
#[cfg(feature = "gcs")]
pub(crate) mod gcs;
#[cfg(feature = "s3")]
pub(crate) mod s3;
#[cfg(feature = "swift")]
pub(crate) mod swift;

use super::memory::{beyond, too_large};
use super::{
    Attempt, Attributes, Backend, Depth, Entry, Failure, Got, Page, PartsId, PutMode, Special, Version, Want,
};
use crate::config::HttpConfig;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use nilometer_env::Fs;
use nilometer_model::Error;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attributes as StoredAttributes, Certificate, ClientOptions, CopyOptions, GetOptions, GetRange,
    HeaderValue, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    RetryConfig, UpdateVersion,
};
use std::sync::Arc;

/// What every provider's client can do.
pub(crate) trait Client: ObjectStore + PaginatedListStore + MultipartStore {}
impl<T: ObjectStore + PaginatedListStore + MultipartStore> Client for T {}

/// What one provider has and others have not.
pub(crate) trait Provider: Send + Sync + 'static {
    fn probe<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Special>;

    /// Whether a body's SHA-256 is sent with it.
    fn sends_sha256(&self) -> bool {
        false
    }
}

pub(crate) struct Remote {
    pub(crate) client: Arc<dyn Client>,
    pub(crate) provider: Box<dyn Provider>,
    /// Set on every object that is written.
    pub(crate) attributes: StoredAttributes,
}

/// A provider with nothing to be asked.
pub(crate) struct Plain;

impl Provider for Plain {
    fn probe<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Special> {
        std::future::ready(Special::default()).boxed()
    }
}

/// What all providers' connections have in common.
fn client_options(http: &HttpConfig, url: &str, fs: &dyn Fs) -> Result<ClientOptions, Error> {
    let agent = HeaderValue::from_static(concat!("nilometer/", env!("CARGO_PKG_VERSION")));
    let mut options = ClientOptions::new()
        .with_user_agent(agent)
        .with_allow_http(url.starts_with("http://"))
        // An attempt's time depends on its bytes: `crate::retry` has it.
        .with_timeout_disabled()
        .with_read_timeout(http.response_timeout)
        .with_connect_timeout(http.connect_timeout)
        .with_pool_idle_timeout(http.idle_timeout)
        .with_pool_max_idle_per_host(http.idle_connections)
        .with_allow_invalid_certificates(!http.is_verified);
    if let Some(file) = &http.ca_file {
        let doing = format!("cannot use the certificates in {}", file.display());
        let pem = fs.read(file).map_err(|e| Error::io(&doing, e))?;
        let all = Certificate::from_pem_bundle(&pem).map_err(|e| Error::invalid(format!("{doing}: {e}")))?;
        options = all.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// Retries are one for all stores: [`crate::retry`].
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn path(key: &str) -> Result<Path, Failure> {
    Path::parse(key).map_err(|e| Failure::lasting(Error::invalid(e.to_string())))
}

fn attributes(meta: &ObjectMeta) -> Attributes {
    Attributes { size_bytes: meta.size, modified_ms: Some(meta.last_modified.timestamp_millis()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of an error's way")]
/// The store's words, sorted by what can be done about them.
pub(crate) fn failure(e: object_store::Error) -> Failure {
    use object_store::Error as Store;
    let text = chain(&e);
    match e {
        Store::NotFound { .. } => Failure::lasting(Error::not_found(text)),
        Store::AlreadyExists { .. } | Store::Precondition { .. } => Failure::lasting(Error::conflict(text)),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Failure::lasting(denied(&text)),
        Store::NotImplemented { .. } | Store::NotSupported { .. } | Store::InvalidPath { .. } => {
            Failure::lasting(Error::invalid(text))
        }
        _ => match status(&text) {
            // Listings come as this kind of error, whatever the status.
            Some(401 | 403) => Failure::lasting(denied(&text)),
            Some(400) if is_about_credentials(&text) => Failure::lasting(denied(&text)),
            Some(416) => Failure::lasting(Error::invalid("the range ends behind the object")),
            // A request that came too slowly (400 in S3's words) may come quicker.
            Some(400) if text.contains("RequestTimeout") => Failure::passing(Error::unavailable(text)),
            Some(408 | 425 | 429) | None => Failure::passing(Error::unavailable(text)),
            Some(400..500) => Failure::lasting(Error::invalid(text)),
            Some(_) => Failure::passing(Error::unavailable(text)),
        },
    }
}

/// Works again when somebody mends the credentials, and not before: the file is read again by itself.
fn denied(text: &str) -> Error {
    Error::unavailable(format!(
        "{text}; the store refuses these credentials: mend or renew them in the objstore config (a changed file \
         is taken without a restart), or give them the rights to list, read, write and delete"
    ))
}

fn is_about_credentials(text: &str) -> bool {
    ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "AuthenticationFailed"]
        .iter()
        .any(|code| text.contains(code))
}

/// The error and what caused it. The crate's own error types cannot be named from outside.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The HTTP status within such a text.
fn status(text: &str) -> Option<u16> {
    let rest = &text[text.find("status code: ")? + "status code: ".len()..];
    rest.get(..3)?.parse().ok()
}

impl Remote {
    async fn get_all(&self, key: &str, want: Want) -> Result<Got, Failure> {
        let range = match &want {
            Want::Range(range) if range.start >= range.end => {
                return Ok(Got { bytes: Bytes::new(), version: Version::default() });
            }
            Want::Range(range) => Some(GetRange::Bounded(range.clone())),
            Want::Whole { .. } => None,
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let result = self.client.get_opts(&path(key)?, options).await.map_err(failure)?;
        let size = result.range.end - result.range.start;
        match &want {
            Want::Whole { max_bytes } if size > *max_bytes => return Err(too_large(size, *max_bytes)),
            // The store cuts a range that ends behind the object.
            Want::Range(range) if result.range != *range => return Err(beyond(result.meta.size)),
            _ => {}
        }
        let version = Version { etag: result.meta.e_tag.clone(), generation: result.meta.version.clone() };
        let wanted = usize::try_from(size).map_err(|_| too_large(size, usize::MAX as u64))?;
        let mut stream = result.into_stream();
        let mut whole = BytesMut::new();
        let mut first = None;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(failure)?;
            match first.take() {
                None if whole.is_empty() => first = Some(piece),
                None => whole.extend_from_slice(&piece),
                Some(before) => {
                    whole.reserve(wanted);
                    whole.extend_from_slice(&before);
                    whole.extend_from_slice(&piece);
                }
            }
        }
        let bytes = first.unwrap_or_else(|| whole.freeze());
        if bytes.len() != wanted {
            let message = format!("{} bytes came instead of {wanted}", bytes.len());
            return Err(Failure::passing(Error::unavailable(message)));
        }
        Ok(Got { bytes, version })
    }

    async fn put_all(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version, Failure> {
        let mode = match mode {
            PutMode::Overwrite => object_store::PutMode::Overwrite,
            PutMode::IfAbsent => object_store::PutMode::Create,
            PutMode::IfMatch(Version { etag, generation }) => {
                object_store::PutMode::Update(UpdateVersion { e_tag: etag, version: generation })
            }
        };
        let options = PutOptions { mode, attributes: self.attributes.clone(), ..PutOptions::default() };
        let put = self.client.put_opts(&path(key)?, PutPayload::from(bytes), options).await;
        put.map(|put| Version { etag: put.e_tag, generation: put.version }).map_err(failure)
    }

    async fn page(&self, folder: &str, depth: Depth, from: Option<String>) -> Result<Page, Failure> {
        let options = PaginatedListOptions {
            delimiter: (depth == Depth::Folder).then_some("/".into()),
            page_token: from,
            ..PaginatedListOptions::default()
        };
        let prefix = (!folder.is_empty()).then_some(folder);
        let page = self.client.list_paginated(prefix, options).await.map_err(failure)?;
        let object =
            |meta: ObjectMeta| Entry::Object { attributes: attributes(&meta), key: meta.location.into() };
        let mut entries: Vec<Entry> = page.result.objects.into_iter().map(object).collect();
        let folders = page.result.common_prefixes.into_iter();
        entries.extend(folders.map(|path| Entry::Folder(format!("{path}/"))));
        // Some stores have an empty object for the folder itself.
        entries.retain(|entry| entry.key() != folder.trim_end_matches('/'));
        entries.sort_by(|a, b| a.key().cmp(b.key()));
        Ok(Page { entries, next: page.page_token })
    }
}

impl Backend for Remote {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got> {
        self.get_all(key, want).boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes> {
        async move { self.client.head(&path(key)?).await.map(|meta| attributes(&meta)).map_err(failure) }
            .boxed()
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version> {
        self.put_all(key, bytes, mode).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()> {
        async move {
            match self.client.delete(&path(key)?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(failure(e)),
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page> {
        self.page(folder, depth, from).boxed()
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()> {
        async move {
            let (from, to) = (path(from)?, path(to)?);
            self.client.copy_opts(&from, &to, CopyOptions::default()).await.map_err(failure)
        }
        .boxed()
    }

    fn start_parts<'a>(&'a self, key: &'a str) -> Attempt<'a, PartsId> {
        async move {
            let options = PutMultipartOptions { attributes: self.attributes.clone(), ..Default::default() };
            self.client.create_multipart_opts(&path(key)?, options).await.map(PartsId).map_err(failure)
        }
        .boxed()
    }

    fn put_part<'a>(
        &'a self,
        key: &'a str,
        id: &'a PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Attempt<'a, String> {
        async move {
            let sent = self.client.put_part(&path(key)?, &id.0, part, PutPayload::from(bytes)).await;
            sent.map(|part| part.content_id).map_err(failure)
        }
        .boxed()
    }

    fn finish_parts<'a>(&'a self, key: &'a str, id: &'a PartsId, parts: Vec<String>) -> Attempt<'a, Version> {
        async move {
            let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
            let put = self.client.complete_multipart(&path(key)?, &id.0, parts).await.map_err(failure)?;
            Ok(Version { etag: put.e_tag, generation: put.version })
        }
        .boxed()
    }

    fn abort_parts<'a>(&'a self, key: &'a str, id: &'a PartsId) -> Attempt<'a, ()> {
        async move { self.client.abort_multipart(&path(key)?, &id.0).await.map_err(failure) }.boxed()
    }

    fn probe<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Special> {
        self.provider.probe(key)
    }

    fn sends_sha256(&self) -> bool {
        self.provider.sends_sha256()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_in_the_crates_words() {
        assert_eq!(status("Server returned non-2xx status code: 503 Service Unavailable: x"), Some(503));
        assert_eq!(status("connection refused"), None);
        assert_eq!(status("status code: "), None);
    }

    #[test]
    fn what_cannot_be_mended_by_waiting_is_not_tried_again() {
        let generic = |text: &str| {
            failure(object_store::Error::Generic { store: "S3", source: text.to_owned().into() })
        };
        assert!(generic("connection reset").again);
        assert!(generic("status code: 500 oops").again);
        assert!(generic("status code: 429 Too Many").again);
        assert!(!generic("status code: 400 Bad Request").again);
        for expired in ["400 Bad Request: <Code>ExpiredToken</Code>", "401 Unauthorized", "403 Forbidden"] {
            let refused = generic(&format!("status code: {expired}"));
            assert!(!refused.again && refused.error.is_passing(), "{expired}");
        }
    }
}

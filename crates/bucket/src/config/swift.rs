//! `config` of type SWIFT.

use super::duration::PromDuration;
use super::{HttpConfig, Notes, Provider, ProviderConfig, http};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    auth_version: Option<u32>,
    auth_url: Option<String>,
    username: Option<String>,
    user_domain_name: Option<String>,
    user_domain_id: Option<String>,
    user_id: Option<String>,
    password: Option<String>,
    domain_id: Option<String>,
    domain_name: Option<String>,
    application_credential_id: Option<String>,
    application_credential_name: Option<String>,
    application_credential_secret: Option<String>,
    project_id: Option<String>,
    project_name: Option<String>,
    project_domain_id: Option<String>,
    project_domain_name: Option<String>,
    region_name: Option<String>,
    container_name: Option<String>,
    large_object_chunk_size: Option<u64>,
    large_object_segments_container_name: Option<String>,
    retries: Option<u32>,
    connect_timeout: Option<PromDuration>,
    timeout: Option<PromDuration>,
    use_dynamic_large_objects: Option<bool>,
    http_config: Option<http::Raw>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Swift {
    /// Without a `/` at the end.
    pub(crate) auth_url: String,
    pub(crate) auth: SwiftAuth,
    pub(crate) region: Option<String>,
    pub(crate) container: String,
    /// Where parts of large objects are; the container itself if it is the same.
    pub(crate) segments_container: String,
    pub(crate) part_bytes: u64,
    pub(crate) max_retries: Option<u32>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) http: HttpConfig,
}

#[derive(Clone, PartialEq)]
pub(crate) enum SwiftAuth {
    /// Swift's own, of version 1.
    V1 {
        user: String,
        key: String,
    },
    /// Keystone's, of version 3.
    Password {
        user: Named,
        password: String,
        scope: Scope,
    },
    ApplicationCredential {
        credential: Named,
        secret: String,
    },
}

/// A name within a domain, or an id of all.
#[derive(Clone, PartialEq)]
pub(crate) enum Named {
    Id(String),
    /// The domain by its id or name, if it is named.
    Name {
        name: String,
        domain: Option<Box<Named>>,
    },
}

#[derive(Clone, PartialEq)]
pub(crate) enum Scope {
    Project(Named),
    Domain(Named),
    /// The user's own.
    None,
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn named(id: Option<String>, name: Option<String>, domain: Option<Named>) -> Option<Named> {
    let name = given(name).map(|name| Named::Name { name, domain: domain.map(Box::new) });
    given(id).map(Named::Id).or(name)
}

impl Provider for Raw {
    fn check(mut self, notes: &mut Notes<'_>) -> Result<ProviderConfig, String> {
        let container = given(self.container_name.take()).ok_or("config.container_name is missing")?;
        let auth_url = given(self.auth_url.take()).ok_or("config.auth_url is missing")?;
        let auth_url = auth_url.trim_end_matches('/').to_owned();
        if self.use_dynamic_large_objects == Some(true) {
            notes.warn("config.use_dynamic_large_objects does nothing here: large objects are static ones");
        }
        let segments = given(self.large_object_segments_container_name.take());
        let part_bytes = self.large_object_chunk_size.filter(|bytes| *bytes > 0);
        let http = http::Raw::check(self.http_config.take().unwrap_or_default(), notes)?;
        let connect = self.connect_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
        Ok(ProviderConfig::Swift(Box::new(Swift {
            segments_container: segments.unwrap_or_else(|| container.clone()),
            region: given(self.region_name.take()),
            part_bytes: part_bytes.unwrap_or(crate::upload::DEFAULT_PART_BYTES).max(1 << 20),
            max_retries: self.retries.filter(|retries| *retries > 0),
            attempt_timeout: self.timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero()),
            http: HttpConfig { connect_timeout: connect.unwrap_or(http.connect_timeout), ..http },
            auth: self.auth(&auth_url)?,
            auth_url,
            container,
        })))
    }
}

impl Raw {
    /// Without a version the address says it.
    fn auth(self, url: &str) -> Result<SwiftAuth, String> {
        let version = match self.auth_version.unwrap_or(0) {
            0 if url.contains("v1") => 1,
            0 if url.contains("v2") => 2,
            0 => 3,
            version => version,
        };
        match version {
            1 => {
                let user = given(self.username).ok_or("config.username is missing")?;
                let key = given(self.password).ok_or("config.password is missing")?;
                return Ok(SwiftAuth::V1 { user, key });
            }
            3 => {}
            other => return Err(format!("config.auth_version {other} is not 1 or 3 (Keystone)")),
        }
        let user_domain = named(self.user_domain_id, self.user_domain_name, None);
        let domain = named(self.domain_id, self.domain_name, None);
        let user = named(self.user_id, self.username, user_domain.or_else(|| domain.clone()));
        if let Some(secret) = given(self.application_credential_secret) {
            let credential =
                match (given(self.application_credential_id), given(self.application_credential_name)) {
                    (Some(id), _) => Named::Id(id),
                    (None, Some(name)) => {
                        let user =
                            user.ok_or("config.application_credential_name needs the user whose it is")?;
                        Named::Name { name, domain: Some(Box::new(user)) }
                    }
                    _ => return Err("config.application_credential_id is missing".into()),
                };
            return Ok(SwiftAuth::ApplicationCredential { credential, secret });
        }
        let user = user.ok_or("config.username or user_id is missing")?;
        let password = given(self.password).ok_or("config.password is missing")?;
        let project_domain = named(self.project_domain_id, self.project_domain_name, None);
        let project = named(self.project_id, self.project_name, project_domain.or_else(|| domain.clone()));
        let scope = project.map(Scope::Project).or(domain.map(Scope::Domain)).unwrap_or(Scope::None);
        Ok(SwiftAuth::Password { user, password, scope })
    }
}

//! How one gets a token of Swift, and the address that goes with it.

use super::Http;
use crate::backend::Failure;
use crate::config::{Named, Scope, Swift, SwiftAuth};
use bytes::Bytes;
use nilometer_model::Error;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a login gives.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) token: String,
    /// Of the account, without a `/` at the end.
    pub(super) storage_url: String,
    /// `None` where it is not said: then a refusal tells.
    pub(super) expires_ms: Option<i64>,
}

pub(super) async fn login(http: &Http, config: &Swift) -> Result<Session, Failure> {
    match &config.auth {
        SwiftAuth::V1 { user, key } => version_1(http, config, user, key).await,
        _ => keystone(http, config).await,
    }
}

async fn version_1(http: &Http, config: &Swift, user: &str, key: &str) -> Result<Session, Failure> {
    let headers = [("x-auth-user", user), ("x-auth-key", key)];
    let response = http.send("GET", &config.auth_url, &headers, Bytes::new()).await?;
    if response.status >= 300 {
        return Err(response.failure("log in to Swift"));
    }
    let header = |name: &str| {
        let missing = || Failure::lasting(Error::unavailable(format!("Swift's login gave no {name}")));
        response.header(name).ok_or_else(missing)
    };
    let storage_url = header("x-storage-url")?.trim_end_matches('/').to_owned();
    Ok(Session { token: header("x-auth-token")?.to_owned(), storage_url, expires_ms: None })
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    #[serde(default)]
    url: String,
}

async fn keystone(http: &Http, config: &Swift) -> Result<Session, Failure> {
    let body = Bytes::from(request(&config.auth).to_string());
    let url = format!("{}/auth/tokens", config.auth_url);
    let response = http.send("POST", &url, &[("content-type", "application/json")], body).await?;
    if response.status >= 300 {
        return Err(response.failure("log in to Keystone"));
    }
    let wrong = |what: &str| Failure::lasting(Error::unavailable(format!("Keystone's answer {what}")));
    let token = response.header("x-subject-token").ok_or_else(|| wrong("has no token"))?;
    let answer: Answer =
        serde_json::from_slice(&response.body).map_err(|e| wrong(&format!("is not JSON: {e}")))?;
    let storage_url = address(&answer.token, config.region.as_deref())
        .ok_or_else(|| wrong("names no public object-store in that region: see config.region_name"))?;
    let expires = answer.token.expires_at.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    Ok(Session {
        token: token.to_owned(),
        storage_url,
        expires_ms: expires.map(jiff::Timestamp::as_millisecond),
    })
}

fn address(token: &Token, region: Option<&str>) -> Option<String> {
    let stores = token.catalog.iter().filter(|service| service.kind == "object-store");
    let is_there = |e: &&Endpoint| {
        let here = [&e.region, &e.region_id];
        e.interface == "public"
            && region.is_none_or(|wanted| here.iter().any(|r| r.as_deref() == Some(wanted)))
    };
    let found = stores.flat_map(|service| &service.endpoints).find(is_there)?;
    Some(found.url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty())
}

fn request(auth: &SwiftAuth) -> Value {
    match auth {
        SwiftAuth::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                Named::Id(id) => json!({ "id": id }),
                Named::Name { name, domain } => {
                    json!({ "name": name, "user": domain.as_deref().map(object) })
                }
            };
            credential["secret"] = json!(secret);
            let identity =
                json!({ "methods": ["application_credential"], "application_credential": credential });
            json!({ "auth": { "identity": identity } })
        }
        SwiftAuth::Password { user, password, scope } => {
            let mut user = object(user);
            user["password"] = json!(password);
            let identity = json!({ "methods": ["password"], "password": { "user": user } });
            match scope {
                Scope::None => json!({ "auth": { "identity": identity } }),
                Scope::Project(p) => {
                    json!({ "auth": { "identity": identity, "scope": { "project": object(p) } } })
                }
                Scope::Domain(d) => {
                    json!({ "auth": { "identity": identity, "scope": { "domain": object(d) } } })
                }
            }
        }
        SwiftAuth::V1 { .. } => Value::Null,
    }
}

fn object(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({ "id": id }),
        Named::Name { name, domain: None } => json!({ "name": name }),
        Named::Name { name, domain: Some(domain) } => json!({ "name": name, "domain": object(domain) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn name(name: &str, domain: Option<Named>) -> Named {
        Named::Name { name: name.into(), domain: domain.map(Box::new) }
    }

    #[test]
    fn requests_are_keystones() {
        let user = name("me", Some(name("Default", None)));
        let scope = Scope::Project(name("p", Some(Named::Id("d1".into()))));
        let by_password = SwiftAuth::Password { user: user.clone(), password: "pw".into(), scope };
        expect![[r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"Default"},"name":"me","password":"pw"}}},"scope":{"project":{"domain":{"id":"d1"},"name":"p"}}}}"#]]
            .assert_eq(&request(&by_password).to_string());
        let by_id =
            SwiftAuth::ApplicationCredential { credential: Named::Id("i".into()), secret: "s".into() };
        expect![[r#"{"auth":{"identity":{"application_credential":{"id":"i","secret":"s"},"methods":["application_credential"]}}}"#]]
            .assert_eq(&request(&by_id).to_string());
        let by_name =
            SwiftAuth::ApplicationCredential { credential: name("c", Some(user)), secret: "s".into() };
        expect![[r#"{"auth":{"identity":{"application_credential":{"name":"c","secret":"s","user":{"domain":{"name":"Default"},"name":"me"}},"methods":["application_credential"]}}}"#]]
            .assert_eq(&request(&by_name).to_string());
    }

    #[test]
    fn the_public_address_of_the_region_is_taken() {
        let json = r#"{"token":{"expires_at":"2026-11-23T09:00:00.000000Z","catalog":[
            {"type":"identity","endpoints":[{"interface":"public","url":"http://no"}]},
            {"type":"object-store","endpoints":[
                {"interface":"internal","region":"R1","url":"http://internal"},
                {"interface":"public","region":"R1","url":"http://one/v1/AUTH_x/"},
                {"interface":"public","region_id":"R2","url":"http://two/v1/AUTH_x"}]}]}}"#;
        let token = serde_json::from_str::<Answer>(json).unwrap().token;
        assert_eq!(address(&token, None).as_deref(), Some("http://one/v1/AUTH_x"));
        assert_eq!(address(&token, Some("R2")).as_deref(), Some("http://two/v1/AUTH_x"));
        assert_eq!(address(&token, Some("R3")), None);
    }
}

//! From the file's shapes to their meaning: every rule that a tenants file must keep is here.

use super::raw::{self, Spanned};
use super::{BasicCredential, Credentials, Problems, TenantSettings, TenantsConfig};
use crate::RESERVED_TENANT;
use crate::identity::{Identity, Scope, Scopes};
use crate::limits::{HubLimits, OverRate, TenantLimits, range};
use crate::policy::LabelRule;
use crate::retention::{TenantRetention, parse_period};
use crate::secret::{PasswordHash, parse_token_digest};
use nilometer_model::Tenant;
use std::collections::HashMap;
use std::sync::Arc;

const MAX_LABELS: usize = 16;
const MAX_CREDENTIALS: usize = 32;
const MAX_USERNAME_BYTES: usize = 128;

pub(super) fn check(file: raw::File, hub: &HubLimits, problems: &mut Problems<'_>) -> TenantsConfig {
    let hub = hub_limits(file.hub.limits, hub, problems);
    let defaults = tenant_limits(file.defaults.limits, &TenantLimits::default(), "defaults", problems);
    let mut checker = Checker { problems, seen: HashMap::new(), credentials: Credentials::default() };
    if file.tenants.is_empty() && file.operators.is_empty() {
        checker.problems.add(1, "there is neither a tenant nor an operator: nobody could do anything");
    }
    if file.tenants.len() as u64 > hub.tenants {
        let message =
            format!("{} tenants are more than hub.limits.tenants = {}", file.tenants.len(), hub.tenants);
        checker.problems.add(1, message);
    }
    let mut labels = file.defaults.labels;
    let rules = checker.labels("defaults", &labels, "any", &defaults);
    // A mistake here is one mistake, not one of every tenant.
    labels.retain(|name, _| rules.iter().any(|rule| *rule.name == **name));
    let mut tenants = Vec::with_capacity(file.tenants.len());
    for tenant in file.tenants {
        tenants.extend(checker.tenant(tenant.value, &labels, &defaults));
    }
    for operator in file.operators {
        checker.operator(operator.value);
    }
    TenantsConfig { hub, defaults, tenants, credentials: checker.credentials }
}

struct Checker<'a, 'b> {
    problems: &'a mut Problems<'b>,
    /// What may be in the file only once (tenant, user, token, hash, each with its kind) and its line.
    seen: HashMap<(&'static str, String), u64>,
    credentials: Credentials,
}

impl Checker<'_, '_> {
    fn tenant(
        &mut self,
        raw: raw::Tenant,
        default_labels: &raw::Labels,
        default_limits: &TenantLimits,
    ) -> Option<TenantSettings> {
        let line = line(&raw.name);
        let who = format!("tenant {}", shown(&raw.name.value));
        let name = match Tenant::new(&raw.name.value) {
            Ok(name) if name.as_str() == RESERVED_TENANT => {
                self.problems.add(line, format!("{who}: this name is the hub's own; choose another"));
                None
            }
            Ok(name) => self.first("tenant", name.as_str(), &who, line).then_some(name),
            Err(e) => {
                self.problems.add(line, e.message());
                None
            }
        };
        let limits = tenant_limits(raw.limits, default_limits, &who, self.problems);
        let retention = self.retention(&raw.retention, &who);
        let mut labels = default_labels.clone();
        labels.extend(raw.labels);
        let labels = self.labels(&who, &labels, &raw.name.value, &limits);
        if raw.credentials.len() > MAX_CREDENTIALS {
            self.problems.add(line, format!("{who}: more than {MAX_CREDENTIALS} credentials"));
        }
        for credential in raw.credentials {
            self.credential(credential, &who, &raw.name.value, name.as_ref());
        }
        Some(TenantSettings { tenant: name?, limits, labels, retention })
    }

    fn retention(&mut self, raw: &raw::Retention, who: &str) -> TenantRetention {
        let mut period = |name: &str, text: &Option<Spanned<String>>| {
            let text = text.as_ref()?;
            match parse_period(&text.value) {
                Ok(ms) => Some(ms),
                Err(e) => {
                    self.problems.add(line(text), format!("{who}: retention {name}: {}", e.message()));
                    None
                }
            }
        };
        TenantRetention {
            raw_ms: period("raw", &raw.raw),
            five_minutes_ms: period("5m", &raw.five_minutes),
            one_hour_ms: period("1h", &raw.one_hour),
        }
    }

    fn operator(&mut self, raw: raw::Operator) {
        let line = line(&raw.name);
        let who = format!("operator {}", shown(&raw.name.value));
        if let Err(e) = Tenant::new(&raw.name.value) {
            self.problems.add(line, format!("{who}: {}", e.message().replace("a tenant's name", "a name")));
        }
        self.first("operator", &raw.name.value, &who, line);
        if raw.credentials.is_empty() {
            self.problems.add(line, format!("{who}: has no credentials"));
        }
        if raw.credentials.len() > MAX_CREDENTIALS {
            self.problems.add(line, format!("{who}: more than {MAX_CREDENTIALS} credentials"));
        }
        for credential in raw.credentials {
            self.credential(credential, &who, &raw.name.value, None);
        }
    }

    fn credential(&mut self, raw: Spanned<raw::Credential>, who: &str, owner: &str, tenant: Option<&Tenant>) {
        let at = line(&raw);
        let raw = raw.value;
        if raw.scopes.is_empty() {
            self.problems
                .add(at, format!("{who}: a credential without scopes; `scopes: [write]` lets it send"));
        }
        if who.starts_with("operator") {
            let of_tenants = |s: &&Spanned<Scope>| matches!(s.value, Scope::Write | Scope::Read);
            for scope in raw.scopes.iter().filter(of_tenants) {
                let message = format!(
                    "{who}: scope {} is that of a tenant: operators have read-all and admin",
                    scope.value.as_str()
                );
                self.problems.add(line(scope), message);
            }
        }
        let scopes: Scopes = raw.scopes.iter().map(|s| s.value).collect();
        let identity = |what: String| {
            Arc::new(Identity { name: format!("{owner} ({what})"), tenant: tenant.cloned(), scopes })
        };
        match (raw.basic, raw.bearer) {
            (Some(basic), None) => {
                let Some((user, hash)) = self.basic(basic.value, who) else { return };
                let identity = identity(format!("user {user}"));
                self.credentials.by_user.insert(user, self.credentials.basic.len());
                self.credentials.basic.push(BasicCredential { hash, identity });
            }
            (None, Some(bearer)) => {
                let at = line(&bearer.value.sha256);
                let hex = bearer.value.sha256.value.to_ascii_lowercase();
                match parse_token_digest(&hex) {
                    Err(e) => self.problems.add(at, format!("{who}: sha256 {e}")),
                    Ok(digest) if self.first("token", &hex, who, at) => {
                        // Enough to find the line in the file, and no help to anyone.
                        let identity = identity(format!("token {}…", &hex[..8]));
                        self.credentials.bearer.insert(digest, identity);
                    }
                    Ok(_) => {}
                }
            }
            _ => self.problems.add(at, format!("{who}: a credential is either `basic` or `bearer`")),
        }
    }

    fn basic(&mut self, raw: raw::Basic, who: &str) -> Option<(String, PasswordHash)> {
        let (user_line, hash_line) = (line(&raw.username), line(&raw.password_hash));
        let user = raw.username.value;
        let user_ok = !user.is_empty()
            && user.len() <= MAX_USERNAME_BYTES
            && !user.chars().any(|c| c == ':' || c.is_control());
        if !user_ok {
            let message = format!(
                "{who}: a username has 1 to {MAX_USERNAME_BYTES} bytes, no colon, no control characters"
            );
            self.problems.add(user_line, message);
        }
        let user_new = self.first("username", &user, who, user_line);
        let hash = match PasswordHash::parse(&raw.password_hash.value) {
            Ok(hash) => hash,
            Err(e) => {
                self.problems.add(hash_line, format!("{who}: password_hash {e}"));
                return None;
            }
        };
        let hash_new = self.first("password_hash", &raw.password_hash.value, who, hash_line);
        (user_ok && user_new && hash_new).then_some((user, hash))
    }

    fn labels(
        &mut self,
        who: &str,
        raw: &raw::Labels,
        tenant: &str,
        limits: &TenantLimits,
    ) -> Vec<LabelRule> {
        let mut rules = Vec::with_capacity(raw.len());
        for (i, (name, label)) in raw.iter().enumerate() {
            let value = label.value.value.as_deref().unwrap_or(tenant);
            let wrong = if i >= MAX_LABELS {
                Some(format!("more than {MAX_LABELS} labels"))
            } else if !is_label_name(name) {
                Some(format!("{} is not a label's name: letters, digits and _, not __ in front", shown(name)))
            } else if value.is_empty() {
                Some(format!("label {name} has an empty value, which is the same as no label"))
            } else if value.len() as u64 > limits.label_value_bytes {
                Some(format!("label {name} is longer than label_value_bytes"))
            } else {
                None
            };
            match wrong {
                Some(wrong) => self.problems.add(line(label), format!("{who}: {wrong}")),
                None => rules.push(LabelRule {
                    name: name.as_str().into(),
                    value: value.into(),
                    mode: label.value.mode,
                }),
            }
        }
        rules
    }

    /// Whether `value` is in the file for the first time.
    fn first(&mut self, kind: &'static str, value: &str, who: &str, line: u64) -> bool {
        let Some(earlier) = self.seen.insert((kind, value.to_owned()), line) else { return true };
        let what = match kind {
            "tenant" | "operator" => "there is one of this name already,",
            "username" => "this username is taken already,",
            "token" => "this token is another credential's already,",
            _ => "this password_hash is another credential's already,",
        };
        self.problems.add(line, format!("{who}: {what} on line {earlier}"));
        false
    }
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let goes_on_well = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    starts_well && goes_on_well && !name.starts_with("__") && name.len() <= 128
}

/// A name in quotes, cut where it is absurd.
fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(Tenant::MAX_BYTES).collect::<String>())
}

fn line<T>(spanned: &Spanned<T>) -> u64 {
    spanned.referenced.line()
}

/// The limits of one mapping, as they are taken over.
struct Setter<'a, 'b> {
    who: &'a str,
    problems: &'a mut Problems<'b>,
}

impl Setter<'_, '_> {
    fn count(&mut self, target: &mut u64, name: &str, raw: Option<Spanned<raw::Count>>) {
        let Some(raw) = raw else { return };
        self.set(target, name, raw.value.0, line(&raw));
    }

    fn bytes(&mut self, target: &mut u64, name: &str, raw: Option<Spanned<raw::Bytes>>) {
        let Some(raw) = raw else { return };
        self.set(target, name, raw.value.0, line(&raw));
    }

    fn set(&mut self, target: &mut u64, name: &str, value: u64, line: u64) {
        let (min, max) = range(name);
        if (min..=max).contains(&value) {
            *target = value;
        } else {
            let message = format!("{}: limit {name} is {value}; it can be {min} to {max}", self.who);
            self.problems.add(line, message);
        }
    }
}

fn tenant_limits(
    raw: raw::TenantLimits,
    base: &TenantLimits,
    who: &str,
    problems: &mut Problems<'_>,
) -> TenantLimits {
    let mut l = base.clone();
    if let Some(status) = raw.over_rate_status {
        match status.value.0 {
            429 => l.over_rate = OverRate::Drop,
            503 => l.over_rate = OverRate::Retry,
            other => {
                let message = format!("{who}: limit over_rate_status is {other}; it can be 429 or 503");
                problems.add(line(&status), message);
            }
        }
    }
    let mut set = Setter { who, problems };
    set.count(&mut l.active_series, "active_series", raw.active_series);
    set.count(&mut l.samples_per_second, "samples_per_second", raw.samples_per_second);
    set.count(&mut l.burst_seconds, "burst_seconds", raw.burst_seconds);
    set.count(&mut l.concurrent_requests, "concurrent_requests", raw.concurrent_requests);
    set.bytes(&mut l.request_bytes, "request_bytes", raw.request_bytes);
    set.bytes(&mut l.decompressed_bytes, "decompressed_bytes", raw.decompressed_bytes);
    set.count(&mut l.series_per_request, "series_per_request", raw.series_per_request);
    set.count(&mut l.labels_per_series, "labels_per_series", raw.labels_per_series);
    set.bytes(&mut l.label_name_bytes, "label_name_bytes", raw.label_name_bytes);
    set.bytes(&mut l.label_value_bytes, "label_value_bytes", raw.label_value_bytes);
    l
}

fn hub_limits(raw: raw::HubLimits, base: &HubLimits, problems: &mut Problems<'_>) -> HubLimits {
    let mut l = base.clone();
    let mut set = Setter { who: "hub", problems };
    set.count(&mut l.tenants, "tenants", raw.tenants);
    set.count(&mut l.connections, "connections", raw.connections);
    set.count(&mut l.concurrent_requests, "concurrent_requests", raw.concurrent_requests);
    set.count(&mut l.active_series, "active_series", raw.active_series);
    set.count(&mut l.samples_per_second, "samples_per_second", raw.samples_per_second);
    set.count(&mut l.burst_seconds, "burst_seconds", raw.burst_seconds);
    l
}

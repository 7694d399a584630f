//! Why a whole request is turned away, before anything of it is stored or computed.

use std::fmt;
use std::time::Duration;

/// What was wrong. Also the `reason` of `nilometer_access_refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No `Authorization` header.
    MissingCredential,
    /// An `Authorization` header that is neither `Basic` nor `Bearer` as their RFCs write them.
    MalformedCredential,
    /// Unknown user, wrong password or unknown token: the answer does not say which.
    WrongCredential,
    /// Too many wrong passwords from this address, or for this user.
    TooManyFailures,
    /// Too many credentials wait for the one password hash at a time.
    HashQueueFull,
    /// The credential is good, and not for this.
    MissingScope,
    /// A header names another tenant than the credential's.
    OtherTenant,
    /// [`crate::RESERVED_TENANT`] is the hub's own.
    ReservedTenant,
    /// No tenant can have this name.
    BadTenantName,
    /// The hub has as many tenants as it may.
    TooManyTenants,
    /// The tenant sends more samples a second than it may; answered so that the sender drops them.
    TenantRate,
    /// The same, answered so that a sender with default settings retries.
    TenantRateRetry,
    /// All tenants together send more samples a second than the hub takes.
    HubRate,
    /// As many requests of the tenant are being worked on as may be.
    TenantRequests,
    /// As many requests are being worked on as may be.
    HubRequests,
}

impl Reason {
    pub const ALL: [Reason; 15] = [
        Reason::MissingCredential,
        Reason::MalformedCredential,
        Reason::WrongCredential,
        Reason::TooManyFailures,
        Reason::HashQueueFull,
        Reason::MissingScope,
        Reason::OtherTenant,
        Reason::ReservedTenant,
        Reason::BadTenantName,
        Reason::TooManyTenants,
        Reason::TenantRate,
        Reason::TenantRateRetry,
        Reason::HubRate,
        Reason::TenantRequests,
        Reason::HubRequests,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::MissingCredential => "missing_credential",
            Reason::MalformedCredential => "malformed_credential",
            Reason::WrongCredential => "wrong_credential",
            Reason::TooManyFailures => "too_many_failures",
            Reason::HashQueueFull => "hash_queue_full",
            Reason::MissingScope => "missing_scope",
            Reason::OtherTenant => "other_tenant",
            Reason::ReservedTenant => "reserved_tenant",
            Reason::BadTenantName => "bad_tenant_name",
            Reason::TooManyTenants => "too_many_tenants",
            Reason::TenantRate => "tenant_rate",
            Reason::TenantRateRetry => "tenant_rate_retry",
            Reason::HubRate => "hub_rate",
            Reason::TenantRequests => "tenant_requests",
            Reason::HubRequests => "hub_requests",
        }
    }

    /// The HTTP status. 429 and 503 only for what a retry can mend.
    pub fn status(self) -> u16 {
        match self {
            Reason::MissingCredential | Reason::MalformedCredential | Reason::WrongCredential => 401,
            Reason::MissingScope | Reason::OtherTenant | Reason::ReservedTenant => 403,
            Reason::BadTenantName | Reason::TooManyTenants => 400,
            Reason::TooManyFailures | Reason::TenantRate => 429,
            Reason::HashQueueFull
            | Reason::TenantRateRetry
            | Reason::HubRate
            | Reason::TenantRequests
            | Reason::HubRequests => 503,
        }
    }
}

/// A refusal: what to answer, and what to tell the person who reads the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
    /// Set exactly where the status is 429 or 503.
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        assert!(reason.status() < 429, "{reason:?} needs a time to retry after");
        Refusal { reason, message: message.into(), retry_after: None }
    }

    pub(crate) fn retry(reason: Reason, after: Duration, message: impl Into<String>) -> Self {
        assert!(reason.status() >= 429, "{reason:?} is not mended by a retry");
        Refusal { reason, message: message.into(), retry_after: Some(after) }
    }

    pub fn status(&self) -> u16 {
        self.reason.status()
    }

    /// The value of a `Retry-After` header: whole seconds, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let after = self.retry_after?;
        Some((after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }

    /// The value of a `WWW-Authenticate` header, which a 401 must have.
    pub fn challenge(&self) -> Option<&'static str> {
        (self.status() == 401)
            .then_some(r#"Basic realm="nilometer", charset="UTF-8", Bearer realm="nilometer""#)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write;

    #[test]
    fn statuses() {
        let mut table = String::new();
        for reason in Reason::ALL {
            let status = reason.status();
            let refusal = if status < 429 {
                Refusal::new(reason, "")
            } else {
                Refusal::retry(reason, Duration::from_millis(1_001), "")
            };
            let (after, challenge) = (refusal.retry_after_seconds(), refusal.challenge().is_some());
            writeln!(table, "{:21}{status} {after:?} {challenge}", reason.as_str()).unwrap();
        }
        expect![[r#"
            missing_credential   401 None true
            malformed_credential 401 None true
            wrong_credential     401 None true
            too_many_failures    429 Some(2) false
            hash_queue_full      503 Some(2) false
            missing_scope        403 None false
            other_tenant         403 None false
            reserved_tenant      403 None false
            bad_tenant_name      400 None false
            too_many_tenants     400 None false
            tenant_rate          429 Some(2) false
            tenant_rate_retry    503 Some(2) false
            hub_rate             503 Some(2) false
            tenant_requests      503 Some(2) false
            hub_requests         503 Some(2) false
        "#]]
        .assert_eq(&table);
    }
}

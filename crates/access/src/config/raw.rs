//! The tenants file as YAML has it: shapes and types, no meaning yet.
//!
//! Nothing here derives `Debug`: these values hold hashes.

use crate::identity::Scope;
use crate::policy::LabelMode;
use serde::Deserialize;
use serde::de::{self, Visitor};
pub(super) use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) hub: Hub,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) tenants: Vec<Spanned<Tenant>>,
    #[serde(default)]
    pub(super) operators: Vec<Spanned<Operator>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Hub {
    #[serde(default)]
    pub(super) limits: HubLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    #[serde(default)]
    pub(super) limits: TenantLimits,
    #[serde(default)]
    pub(super) labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) labels: Labels,
    #[serde(default)]
    pub(super) limits: TenantLimits,
    #[serde(default)]
    pub(super) retention: Retention,
    #[serde(default)]
    pub(super) credentials: Vec<Spanned<Credential>>,
}

/// By resolution, named as in Thanos' flags.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    pub(super) raw: Option<Spanned<String>>,
    #[serde(rename = "5m")]
    pub(super) five_minutes: Option<Spanned<String>>,
    #[serde(rename = "1h")]
    pub(super) one_hour: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operator {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) credentials: Vec<Spanned<Credential>>,
}

pub(super) type Labels = BTreeMap<String, Spanned<Label>>;

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    /// The tenant's name where it is left out.
    pub(super) value: Option<String>,
    pub(super) mode: LabelMode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) basic: Option<Spanned<Basic>>,
    pub(super) bearer: Option<Spanned<Bearer>>,
    #[serde(default)]
    pub(super) scopes: Vec<Spanned<Scope>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    pub(super) username: Spanned<String>,
    pub(super) password_hash: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bearer {
    pub(super) sha256: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantLimits {
    pub(super) active_series: Option<Spanned<Count>>,
    pub(super) samples_per_second: Option<Spanned<Count>>,
    pub(super) burst_seconds: Option<Spanned<Count>>,
    pub(super) over_rate_status: Option<Spanned<Count>>,
    pub(super) concurrent_requests: Option<Spanned<Count>>,
    pub(super) request_bytes: Option<Spanned<Bytes>>,
    pub(super) decompressed_bytes: Option<Spanned<Bytes>>,
    pub(super) series_per_request: Option<Spanned<Count>>,
    pub(super) labels_per_series: Option<Spanned<Count>>,
    pub(super) label_name_bytes: Option<Spanned<Bytes>>,
    pub(super) label_value_bytes: Option<Spanned<Bytes>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct HubLimits {
    pub(super) tenants: Option<Spanned<Count>>,
    pub(super) connections: Option<Spanned<Count>>,
    pub(super) concurrent_requests: Option<Spanned<Count>>,
    pub(super) active_series: Option<Spanned<Count>>,
    pub(super) samples_per_second: Option<Spanned<Count>>,
    pub(super) burst_seconds: Option<Spanned<Count>>,
}

/// How many: `200000` or `200_000`.
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) u64);

/// A number of bytes: `1048576`, `1024KiB` or `1MiB`.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number { expecting: "a whole number, such as 200000 or 200_000", bytes: false };
        deserializer.deserialize_any(number).map(Count)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number { expecting: "a number of bytes, such as 1048576, 1024KiB or 1MiB", bytes: true };
        deserializer.deserialize_any(number).map(Bytes)
    }
}

struct Number {
    expecting: &'static str,
    bytes: bool,
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let (number, shift) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
            (Some(number), _) if self.bytes => (number, 10),
            (_, Some(number)) if self.bytes => (number, 20),
            _ => (text, 0),
        };
        let number: Option<u64> = number.trim_end().parse().ok();
        number
            .and_then(|n| n.checked_mul(1 << shift))
            .ok_or_else(|| E::custom(format_args!("expected {}", self.expecting)))
    }
}

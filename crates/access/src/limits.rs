//! How much a tenant, and all of them together, may take of the hub.
//!
//! Each limit has a safe default and a range; none can be switched off, since "as much as it likes" is how
//! one tenant stops the others. The names are those of the tenants file.

use crate::rate::Rate;

/// What answers a tenant that sends more samples a second than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverRate {
    /// 429. A Prometheus drops the samples, unless `retry_on_http_429` is set.
    Drop,
    /// 503. A Prometheus with default settings retries.
    Retry,
}

impl OverRate {
    pub fn status(self) -> u16 {
        match self {
            OverRate::Drop => 429,
            OverRate::Retry => 503,
        }
    }
}

/// The limits of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Series in memory; over it only *new* series are refused.
    pub active_series: u64,
    pub samples_per_second: u64,
    /// So many seconds' worth of samples may come at once.
    pub burst_seconds: u64,
    pub over_rate: OverRate,
    /// Requests that are worked on at a time, reads and writes together.
    pub concurrent_requests: u64,
    /// Of the body as it is sent.
    pub request_bytes: u64,
    /// Of the body when it is decompressed.
    pub decompressed_bytes: u64,
    pub series_per_request: u64,
    pub labels_per_series: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        TenantLimits {
            active_series: 2_000_000,
            samples_per_second: 1_000_000,
            burst_seconds: 10,
            over_rate: OverRate::Drop,
            concurrent_requests: 256,
            request_bytes: 16 << 20,
            decompressed_bytes: 32 << 20,
            series_per_request: 200_000,
            labels_per_series: 64,
            label_name_bytes: 1024,
            label_value_bytes: 4 << 10,
        }
    }
}

impl TenantLimits {
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.samples_per_second, burst_seconds: self.burst_seconds }
    }
}

/// The limits of the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubLimits {
    pub tenants: u64,
    pub connections: u64,
    pub concurrent_requests: u64,
    /// Series in memory of all tenants; over it only *new* series are refused.
    pub active_series: u64,
    pub samples_per_second: u64,
    pub burst_seconds: u64,
}

impl Default for HubLimits {
    fn default() -> Self {
        HubLimits {
            tenants: 1_000,
            connections: 20_000,
            concurrent_requests: 1_000,
            active_series: 10_000_000,
            samples_per_second: 5_000_000,
            burst_seconds: 10,
        }
    }
}

impl HubLimits {
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.samples_per_second, burst_seconds: self.burst_seconds }
    }
}

/// The smallest and largest value that a limit may be set to: below, the hub would be useless; above, the
/// limit would bound nothing.
pub(crate) fn range(name: &str) -> (u64, u64) {
    match name {
        "active_series" => (1, 1_000_000_000),
        "samples_per_second" => (1, 1_000_000_000),
        "burst_seconds" => (1, 3_600),
        "concurrent_requests" => (1, 100_000),
        "request_bytes" => (1 << 10, 1 << 30),
        "decompressed_bytes" => (1 << 10, 1 << 30),
        "series_per_request" => (1, 10_000_000),
        "labels_per_series" => (1, 512),
        "label_name_bytes" => (16, 64 << 10),
        "label_value_bytes" => (16, 256 << 10),
        "tenants" => (1, 100_000),
        "connections" => (1, 1_000_000),
        other => unreachable!("limit {other} has no range"),
    }
}

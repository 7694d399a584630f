#![no_main]
//! A tenants file: refused with a line, or checked.
use nilometer_access::{HubLimits, TenantsConfig};

libfuzzer_sys::fuzz_target!(|file: &[u8]| drop(TenantsConfig::parse(
    "tenants.yaml",
    file,
    &HubLimits::default()
)));

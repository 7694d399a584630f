//! Tenants, credentials, scopes and limits

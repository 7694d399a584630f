//! HTTP edges

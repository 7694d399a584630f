//! Who calls, and whether it may: every route but the two probes is behind one of these.

use nilometer_access::{Identity, ReadScope};
use std::sync::Arc;

/// Put into the extensions of each request that passed.
#[derive(Clone)]
pub struct Caller {
    pub identity: Arc<Identity>,
    /// Which tenants a query of this request sees.
    pub read_scope: ReadScope,
}

//! Who calls, for which tenant, and what they may do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::{TenantId, Trace};

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// Everything.
    All,
    /// These permissions only.
    Set(Arc<BTreeSet<String>>),
}

/// How much a tenant's callers together may ask for; 0 leaves it to the server's own default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerLimits {
    /// Requests a second, in the long run.
    pub per_second: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
}

/// The caller of one request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose customers.
    pub tenant: TenantId,
    /// The tenant's name.
    pub tenant_name: Arc<str>,
    /// Which credential it came with: `key:…` (an API key's prefix), `cert:…`, `jwt:…`, `static:…` (the settings' keys) or
    /// `local:…` (of this process). Names are free texts that two credentials may share; request ids and limits go by this.
    pub id: Arc<str>,
    /// The caller's own name, for people.
    pub name: Arc<str>,
    /// What it may do.
    pub permissions: Permissions,
    /// The names of its roles, for logs and the audit; what they allow stands in `permissions`.
    pub roles: Arc<[Arc<str>]>,
    /// How much its tenant may ask for.
    pub limits: CallerLimits,
    /// Whether it reads every tenant's changes (scoring's role).
    pub all_tenants: bool,
    /// The request's id in logs; not the idempotency key.
    pub request_id: Arc<str>,
    /// The trace that the request belongs to.
    pub trace: Option<Trace>,
    /// When its answer is no longer wanted.
    pub deadline: Option<Instant>,
}

impl Caller {
    /// A caller of this process with every permission in one tenant.
    #[must_use]
    pub fn new(tenant: TenantId, tenant_name: &str, name: &str) -> Self {
        Self {
            tenant,
            tenant_name: tenant_name.into(),
            id: format!("local:{name}").into(),
            name: name.into(),
            permissions: Permissions::All,
            roles: Arc::new([]),
            limits: CallerLimits::default(),
            all_tenants: false,
            request_id: "".into(),
            trace: None,
            deadline: None,
        }
    }

    /// Whether the caller holds a permission.
    #[must_use]
    pub fn may(&self, permission: &str) -> bool {
        match &self.permissions {
            Permissions::All => true,
            Permissions::Set(set) => set.contains(permission),
        }
    }

    /// The same caller acting in another tenant; only for a caller of all tenants or the service itself.
    #[must_use]
    pub fn in_tenant(&self, tenant: TenantId, name: &str) -> Self {
        Self {
            tenant,
            tenant_name: name.into(),
            ..self.clone()
        }
    }
}

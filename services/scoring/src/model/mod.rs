//! Models: fitted, versioned, never changed; one of each kind serves a tenant.

pub mod domain;
pub mod store;

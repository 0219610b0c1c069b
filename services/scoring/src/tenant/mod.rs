//! What scoring knows of a tenant: its day, its currency, and which models serve it.

pub mod store;

pub use store::TenantState;

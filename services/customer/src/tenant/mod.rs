//! Tenants: the businesses whose customers these are.

mod api;
mod app;
mod domain;
pub(crate) mod store;

pub use api::TenantApi;
pub use app::{Known, Tenants, ensure};
pub use domain::Tenant;

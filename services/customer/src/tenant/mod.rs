//! Tenants: the businesses whose customers these are.

mod api;
mod app;
mod domain;
pub(crate) mod store;

pub use api::{TenantApi, limits_to_wire};
pub use app::{Known, Tenants, acting, ensure};
pub use domain::{Tenant, unknown};

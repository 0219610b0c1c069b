//! Models: fitted, versioned, never changed; one of each kind serves a tenant.

pub mod api;
pub mod app;
pub mod cohort;
pub mod domain;
pub mod fit;
pub mod store;

pub use api::Models;

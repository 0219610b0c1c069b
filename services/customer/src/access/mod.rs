//! Who may call: API keys and the roles of tenants.

mod api;
mod app;
mod directory;
mod domain;
mod role;
mod store;

pub use api::AccessApi;
pub use directory::StoreDirectory;
#[cfg(test)]
pub use domain::digest;

//! Erasures: who a person was goes, what the person did stays without a name.

mod api;
mod app;
mod domain;
mod feed;
mod person;
mod store;
mod wire;

pub use api::ErasureApi;
pub use app::job;
pub use feed::Erasures;
pub(crate) use person::group;

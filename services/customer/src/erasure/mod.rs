//! Erasures: who a person was goes, what the person did stays without a name.
//!
//! Current rows and the history get random ids, so that no snapshot tells an old one. The changes that lie in the feed
//! already are left as they are: they hold ids, measures and codes, no name; whoever reads them maps the ids by the change
//! of the erasure, which comes later in every reader's account; and retention takes them. The audit keeps its entries,
//! which name records by id, for as long as the law asks.

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

//! Scores: numbers about a customer.

mod api;
mod applied;
pub mod domain;
pub mod explain;
mod find;
mod list;
mod read;
pub mod store;
mod view;

pub(crate) use api::token;
pub use read::Scores;
pub(crate) use view::Views;

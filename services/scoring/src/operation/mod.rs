//! Operations: work that takes longer than a request. Stored when asked for, done by whichever replica gets to it, resumed after
//! a crash, stopped on request.

pub mod api;
pub mod app;
pub mod domain;
mod job;
pub mod store;

pub use api::Operations;
pub use job::{Turn, run};

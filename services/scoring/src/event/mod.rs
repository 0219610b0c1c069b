//! Events: one measured thing that happened to a customer, append-only; scoring's truth.

pub mod domain;
pub mod store;
pub mod wire;

pub use domain::{Event, Kind};

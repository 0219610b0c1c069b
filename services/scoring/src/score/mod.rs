//! Scores: numbers about a customer.

pub mod domain;
pub mod explain;
pub mod store;

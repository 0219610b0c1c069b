//! Metrics: numbers about populations.

pub mod api;
pub mod app;
pub mod attitude;
pub mod behaviour;
pub mod domain;
pub mod revenue;

pub use api::Metrics;

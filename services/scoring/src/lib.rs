//! Scoring: what the other services' records mean. It follows their change feeds, keeps events, folds them into summaries,
//! and answers with scores and metrics. It knows the other services only through the contract.

pub mod core;
pub mod definition;
pub mod event;
pub mod group;
pub mod migration;
pub mod model;
pub mod score;
pub mod summary;
pub mod tenant;

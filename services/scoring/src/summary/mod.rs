//! Summaries: a customer's sufficient statistics, a pure fold over the latest versions of the customer's events.

pub mod app;
pub mod domain;
pub mod store;

pub use domain::{AnswerFact, Summary, fold};

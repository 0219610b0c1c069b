//! Refunds: money given back.

mod app;
mod domain;
pub(crate) mod store;

pub use app::{NewRefund, record};
pub use domain::Refund;
pub use store::{any, sums};

//! Orders: what customers bought, and their corrections.

mod api;
mod app;
mod batch;
mod domain;
pub(crate) mod store;

pub use api::OrderApi;
pub(crate) use api::Reader;
pub(crate) use app::View;
pub(crate) use app::{for_refund, require_customer};
pub use batch::unknown_customer;
pub use domain::Order;
pub use store::any;

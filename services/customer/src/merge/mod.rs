//! Merges: which customers are the same one.

mod app;
mod domain;
pub(crate) mod store;

pub use app::{Asked, Merged, merge, unmerge};
pub use domain::Edge;
pub use store::roots;

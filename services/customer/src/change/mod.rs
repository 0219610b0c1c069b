//! The feed of this service: what changed, and everything there is for a reader that begins.

mod api;
mod snapshot;

pub use api::ChangeApi;

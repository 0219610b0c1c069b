//! What the law owes to persons: one RPC service over what other nouns do.

mod api;
mod held;

pub use api::PrivacyApi;
pub use held::all as held;

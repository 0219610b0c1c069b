//! What the law owes to persons: one RPC service over what other nouns do.

mod api;

pub use api::PrivacyApi;

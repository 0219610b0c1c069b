//! What the law owes to persons: to see what is held about them, and that it is kept safe.

mod api;
mod held;

pub(crate) use api::PrivacyApi;
pub(crate) use held::all as held;

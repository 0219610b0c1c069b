//! What customers say of their own accord: praise, suggestions, questions, reviews, mentions.

mod api;
mod app;
mod domain;
mod store;

pub(crate) use api::to_item;
pub(crate) use app::Items;
pub(crate) use domain::{FeedbackItem, FeedbackKind};
pub(crate) use store::{Entity, version};

/// What this noun is called in changes, ids and the audit.
pub(crate) const KIND: &str = "feedback_item";

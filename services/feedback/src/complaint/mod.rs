//! Complaints, from opening to resolution.

mod api;
mod app;
mod domain;
mod store;

pub(crate) use api::to_complaint;
pub(crate) use app::Complaints;
pub(crate) use domain::{Complaint, State};
pub(crate) use store::{Entity, version};

/// What this noun is called in changes, ids and the audit.
pub(crate) const KIND: &str = "complaint";

//! The answers to surveys, one by one or in bulk.

mod api;
mod app;
mod domain;
#[cfg(test)]
mod domain_tests;
mod store;

pub(crate) use api::to_response;
pub(crate) use app::Responses;
pub(crate) use domain::{NewResponse, Response, measures};
pub(crate) use store::{Entity, version};

/// What this noun is called in changes, ids and the audit.
pub(crate) const KIND: &str = "response";

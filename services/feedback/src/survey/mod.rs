//! Questionnaires: created as drafts, fixed once published.

mod api;
mod app;
mod domain;
#[cfg(test)]
mod domain_tests;
mod published;
mod store;

pub(crate) use app::Surveys;
pub(crate) use domain::{Measured, Question, QuestionKind, State, Survey, Wrong};
#[cfg(test)]
pub(crate) use domain::{NewSurvey, Scale};
pub(crate) use store::Entity;

/// What this noun is called in changes, ids and the audit.
pub(crate) const KIND: &str = "survey";

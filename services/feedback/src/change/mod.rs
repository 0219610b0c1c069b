//! What changed, for services that keep their own view of it; and everything there is, for one that begins.

pub(crate) mod measures;
mod snapshot;

use std::sync::Arc;

use regard_database::Database;
use regard_server::feed::Changes;

use crate::survey::Surveys;

regard_server::change_service!(feedback);

/// Changes of one message: a response has at most 100 answers of some 200 bytes, so that the largest batch stays below
/// the message limit.
const BATCH: usize = 150;

impl ChangeApi {
    /// Over a store and its surveys.
    pub fn new(db: &Database, surveys: &Surveys) -> Self {
        let surveys = surveys.clone();
        let sources = Arc::new(move |_: &[String]| snapshot::sources(&surveys));
        Self(Changes::new(db.clone(), sources, BATCH))
    }
}

//! What changed, for services that keep their own view of it; and everything there is, for one that begins.

mod api;
pub(crate) mod measures;
mod snapshot;

use regard_database::Database;

use crate::survey::Surveys;

/// The changes of this service.
#[derive(Clone)]
pub(crate) struct Changes {
    db: Database,
    surveys: Surveys,
}

impl Changes {
    pub fn new(db: Database, surveys: Surveys) -> Self {
        Self { db, surveys }
    }
}

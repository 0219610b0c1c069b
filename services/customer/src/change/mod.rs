//! The feed of this service: what changed, and everything there is for a reader that begins.

mod snapshot;

use std::sync::Arc;

use regard_database::Database;
use regard_server::feed::Changes;

regard_server::change_service!(customer, kinds);

/// Changes of one message: below the message limit even where every customer has all its attributes.
const BATCH: usize = 500;

impl ChangeApi {
    /// Over a store.
    pub fn new(db: &Database) -> Self {
        Self(Changes::new(db.clone(), Arc::new(snapshot::sources), BATCH))
    }
}

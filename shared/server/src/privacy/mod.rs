//! What a service with personal data owes to the persons, the same for every service: to list what it holds about one, and to
//! replace the key by which it is sealed. A service says which columns are sealed and which kinds of record it holds.

mod export;
mod field;
mod rotation;

use std::sync::Arc;

use regard_database::vault::SealedColumn;
use regard_database::{Database, StoreError, Vault};

pub use export::Held;
pub use field::{Field, fields};

/// The part of a `PrivacyService` that is the same for every service. Cheap to clone.
#[derive(Clone)]
pub struct Privacy {
    db: Database,
    vault: Vault,
    columns: &'static [SealedColumn],
    held: Arc<[Box<dyn Held>]>,
}

impl std::fmt::Debug for Privacy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Privacy({})", self.db.service())
    }
}

impl Privacy {
    /// Over every sealed column of a service, and every kind of record that it holds about persons, in the order of an
    /// export (part of page tokens: only ever append).
    ///
    /// # Errors
    /// The database was opened without a master key.
    pub fn new(
        db: &Database,
        columns: &'static [SealedColumn],
        held: Vec<Box<dyn Held>>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            db: db.clone(),
            vault: db.vault()?,
            columns,
            held: held.into(),
        })
    }
}

//! What all parts of scoring share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regard_cache::{Slot, Tiered};
use regard_database::{Database, StoreError, Tx};
use regard_types::{Clock, TenantId};
use tokio::sync::watch;

use crate::definition::Book;
use crate::model;
use crate::score::domain::Serving;
use crate::tenant::TenantState;

/// The layout of cached score sets; raised with every change of it.
const CACHE_SCHEMA: u32 = 1;

/// What all parts of scoring share.
pub struct Core {
    /// The store.
    pub db: Database,
    /// The definitions.
    pub book: Book,
    /// The cache of score sets, by arrival id.
    pub cache: Tiered,
    /// Counts applied batches of this process: readers that wait for a position look again.
    pub applied: watch::Sender<u64>,
    /// The models that serve, by tenant.
    serving: Mutex<HashMap<TenantId, Arc<Serving>>>,
    /// The cache's slot.
    pub slot: Slot,
}

impl Core {
    /// Over a store and a cache.
    #[must_use]
    pub fn new(db: Database, book: Book, cache: Tiered) -> Arc<Self> {
        let (high, low) = db.epoch().as_u64_pair();
        let slot = Slot::new("scores", CACHE_SCHEMA, high ^ low);
        Arc::new(Self { db, book, cache, applied: watch::Sender::new(0), serving: Mutex::default(), slot })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.db.clock()
    }

    /// The models that serve a tenant, as the transaction sees them.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn serving(&self, tx: &Tx, tenant: &TenantState) -> Result<Arc<Serving>, StoreError> {
        {
            let known = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(serving) = known.get(&tenant.tenant).filter(|s| s.version == tenant.models) {
                return Ok(serving.clone());
            }
        }
        let serving = Arc::new(model::store::serving(tx, tenant.tenant, tenant.models).await?);
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.tenant, serving.clone());
        Ok(serving)
    }
}

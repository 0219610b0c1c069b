//! Personal data at rest: sealed by a data key of the tenant (AES-256-GCM), which is itself stored wrapped by a master key
//! that is not in the store. Whoever has the files or a dump, but not the master key, reads nothing; and a value that is
//! moved to another row or another tenant does not open.
//!
//! A write asks for a [`Sealer`] before its transaction (that may make the tenant's first key, or ask a key service), seals,
//! and calls [`Sealer::fence`] within: from then on the key cannot be replaced until the transaction has ended, which is
//! what makes a [rotation](rotation) complete while writers go on.

mod check;
mod command;
mod key;
mod local;
mod master;
pub mod rotation;
mod schema;
mod seal;

use std::sync::Arc;

use moka::sync::Cache;
use regard_types::TenantId;
use tokio::sync::Notify;

pub use command::CommandKey;
pub use local::LocalKey;
pub use master::{KeyBytes, MasterError, MasterKey, MasterKeys};
pub(crate) use schema::step;
pub use seal::{Context, KeyColumn, KeyValue, Opener, SealedColumn, Sealer};

use key::DataKey;

use crate::Database;
use crate::error::StoreError;

/// Most unwrapped data keys that a process holds.
const KEYS: u64 = 10_000;
/// How long it holds one, in seconds: a destroyed key is forgotten by every process after this.
const HOLD_SECONDS: u64 = 300;

/// The vault of a service's database. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    db: Database,
    state: Arc<State>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.state.masters)
    }
}

/// What a process knows of keys.
pub(crate) struct State {
    masters: MasterKeys,
    /// Unwrapped data keys; their bytes are wiped when they are dropped.
    keys: Cache<(TenantId, u32), Arc<DataKey>>,
    /// The number of each tenant's active key as last seen. A stale one is found out by the fence.
    active: Cache<TenantId, u32>,
    /// Told when a rotation begins.
    begun: Notify,
}

impl State {
    pub fn new(masters: MasterKeys) -> Self {
        let hold = std::time::Duration::from_secs(HOLD_SECONDS);
        Self {
            masters,
            keys: Cache::builder()
                .max_capacity(KEYS)
                .time_to_live(hold)
                .build(),
            active: Cache::builder()
                .max_capacity(KEYS)
                .time_to_live(hold)
                .build(),
            begun: Notify::new(),
        }
    }
}

impl Database {
    /// The vault.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the database was opened without a master key.
    pub fn vault(&self) -> Result<Vault, StoreError> {
        let state = self.0.vault.clone().ok_or_else(|| {
            StoreError::corrupt(
                "personal data are sealed here, and no master key was given: set secrets.master_key_file",
            )
        })?;
        Ok(Vault {
            db: self.clone(),
            state,
        })
    }
}

impl Vault {
    /// Forgets a tenant's keys in this process.
    fn forget(&self, tenant: TenantId, key: u32) {
        self.state.active.invalidate(&tenant);
        self.state.keys.invalidate(&(tenant, key));
        // The cache drops what it lost lazily; key bytes shall be wiped now.
        self.state.keys.run_pending_tasks();
    }

    /// Waits until a rotation begins in this process.
    pub async fn begun(&self) {
        self.state.begun.notified().await;
    }
}

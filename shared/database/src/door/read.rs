//! The reading door.

use std::ops::Deref;
use std::time::Instant;

use regard_types::Caller;

use crate::Database;
use crate::database::begin_read;
use crate::engine::View;
use crate::error::StoreError;
use crate::figures::Door;
use crate::tx::Tx;

/// One snapshot of the store, read only. Drop it as soon as the rows are read.
#[derive(Debug)]
pub struct Read(Tx);

impl Deref for Read {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.0
    }
}

/// Refuses work whose answer nobody waits for.
pub(super) fn in_time(caller: &Caller) -> Result<(), StoreError> {
    match caller.deadline {
        Some(deadline) if deadline <= Instant::now() => Err(StoreError::Late),
        _ => Ok(()),
    }
}

impl Database {
    /// A snapshot for a caller's reads, in its tenant.
    ///
    /// # Errors
    /// [`StoreError::Busy`] without a free connection, [`StoreError::Late`] past the caller's deadline,
    /// [`StoreError::Down`].
    pub async fn read(&self, caller: &Caller) -> Result<Read, StoreError> {
        in_time(caller)?;
        let wait = self.0.figures.wait(Door::Read);
        let tx = begin_read(&self.0.pools, View::Tenant(caller.tenant)).await?;
        Ok(Read(wait.over(tx)))
    }

    /// A snapshot for the service's own reads over all tenants (jobs, feed, snapshots).
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn read_system(&self) -> Result<Read, StoreError> {
        let wait = self.0.figures.wait(Door::ReadSystem);
        let tx = begin_read(&self.0.pools, View::Everyone).await?;
        Ok(Read(wait.over(tx)))
    }
}

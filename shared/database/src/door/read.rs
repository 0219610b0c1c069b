//! The reading door.

use std::ops::Deref;
use std::time::Instant;

use regard_types::Caller;

use crate::Database;
use crate::database::{begin_read, begin_read_until};
use crate::engine::{Pools, View};
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
        let view = View::Tenant(caller.tenant);
        let tx = begin_read_until(&self.0.pools, view, caller.deadline).await?;
        Ok(Read(wait.over(tx)))
    }

    /// For a single read, or a few that each may see what is committed when it runs: no snapshot. On PostgreSQL each
    /// statement sets the tenant itself, which spares the trip that begins a transaction (behind a pooler, and on SQLite, it
    /// is [`Database::read`]).
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn glance(&self, caller: &Caller) -> Result<Read, StoreError> {
        let Pools::Postgres {
            pool,
            pooler: false,
            system,
            doors,
            ..
        } = &self.0.pools
        else {
            return self.read(caller).await;
        };
        in_time(caller)?;
        let wait = self.0.figures.wait(Door::Read);
        let tenant = match View::Tenant(caller.tenant).under(doors.hazard()) {
            View::Tenant(tenant) if system.is_some() => Some(tenant.0.to_string()),
            View::Nobody if system.is_some() => Some(String::new()),
            _ => None,
        };
        let tx = Tx::apart(pool, tenant, caller.deadline, doors.hazard()).await?;
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

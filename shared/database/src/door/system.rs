//! The service's own door: feed apply, daily roll, retention. Several tenants; no audit but what the work itself notes.

use std::ops::Deref;

use regard_types::{Caller, ChangeToken, Fault, Micros, Scope, TenantId};

use super::frame::{Frame, Who};
use super::hold::Hold;
use super::{Change, Positions};
use crate::Database;
use crate::database::begin;
use crate::engine::{Engine, View};
use crate::error::{StoreError, retry_busy};
use crate::figures::Door;
use crate::tx::Tx;

/// An open transaction of the service itself. Dropped, it rolls back. Every row operation still names its tenant.
pub struct System {
    tx: Tx,
    frame: Frame,
    /// As whom, and in what work, the audit entries name the service.
    doer: Option<(Caller, &'static str)>,
}

impl Deref for System {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl Database {
    /// Opens a transaction of the service itself.
    ///
    /// # Errors
    /// Busy or down as the store is.
    pub async fn system(&self) -> Result<System, StoreError> {
        let wait = self.0.figures.wait(Door::System);
        let frame = Frame::new(self, Scope::sampled()).await?;
        let tx = retry_busy(|| begin(&self.0.pools, View::Everyone)).await?;
        let tx = wait.over(tx);
        Ok(System {
            tx,
            frame,
            doer: None,
        })
    }
}

impl System {
    /// The time of this transaction.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.frame.at
    }

    /// Is alone with a tenant from here on, as [`Database::mutate_alone`]. First of all: what was read before may be
    /// outdated since.
    ///
    /// # Errors
    /// Busy if writers of the tenant are at work for longer than a second; as the store answers.
    pub async fn alone(&self, tenant: TenantId) -> Result<(), StoreError> {
        if self.tx.engine() == Engine::Postgres {
            for sql in Hold::Alone.sql(tenant) {
                self.tx.fetch(sql, vec![]).await?;
            }
        }
        Ok(())
    }

    /// As [`crate::Write::reserve`]; only where changes are made.
    ///
    /// # Errors
    /// As there.
    pub async fn reserve(&mut self, n: u32) -> Result<Positions, Fault> {
        self.frame.reserve(&self.tx, n, 0).await
    }

    /// Adds a change of a tenant.
    pub fn change(&mut self, tenant: TenantId, change: Change) {
        self.frame.change(tenant, change);
    }

    /// Adds an audit entry of what the service does to a tenant's records by itself: the service is its caller, `work` its
    /// method. Written at commit. `after` is a digest by the tenant's key.
    ///
    /// # Errors
    /// INTERNAL for a second tenant or work in one transaction.
    pub fn audit(
        &mut self,
        tenant: TenantId,
        (work, action): (&'static str, &'static str),
        after: Option<[u8; 32]>,
    ) -> Result<(), Fault> {
        let service = self.frame.db.service().as_str();
        let (caller, method) = self
            .doer
            .get_or_insert_with(|| (Caller::new(tenant, "", service), work));
        if caller.tenant != tenant || *method != work {
            return Err(Fault::bug(
                "a transaction's own entries are of one tenant and work",
            ));
        }
        self.frame.audit(action, None, None, after);
        Ok(())
    }

    /// Writes changes, commits, and wakes watchers. The token is empty if nothing changed.
    ///
    /// # Errors
    /// As [`crate::Write::commit`].
    pub async fn commit(mut self) -> Result<ChangeToken, Fault> {
        let token = self.frame.token();
        let who = self.doer.as_ref().map(|(caller, method)| Who {
            caller,
            method,
            request_id: "",
            records: &[],
        });
        self.frame.write(&self.tx, who, None).await?;
        let grown = self.tx.grown();
        self.tx.commit().await?;
        self.frame.db.grew(grown);
        if token.is_some() {
            self.frame.db.0.hub.wake();
        }
        Ok(token.map(ChangeToken::one).unwrap_or_default())
    }
}

//! Data keys: one active a tenant, made at its first sealed value, stored wrapped.

use std::sync::Arc;

use regard_types::{Micros, TenantId};

use super::Vault;
use super::master::KeyBytes;
use super::seal::{Sealer, fresh};
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// How long after its end a missing key is explained by a reader that was in between, in microseconds.
const BETWEEN: i64 = 120_000_000;

/// An unwrapped data key.
pub(crate) struct DataKey {
    pub bytes: KeyBytes,
}

/// A data key as stored.
pub(super) struct Stored {
    pub number: u32,
    pub wrapped: Vec<u8>,
    pub master: String,
}

/// A new key that is not stored yet.
pub(super) struct New {
    pub number: u32,
    pub wrapped: Vec<u8>,
    pub master: String,
}

pub(super) fn number(row: &Row, column: usize) -> Result<u32, StoreError> {
    u32::try_from(row.get::<i64>(column)?).map_err(StoreError::corrupt)
}

impl Vault {
    /// What seals a tenant's values. Call it before the transaction: the tenant's first call makes its key, and a key that
    /// this process does not hold is read and unwrapped.
    ///
    /// # Errors
    /// [`StoreError::Down`] if the key service does not answer; what the engine answers.
    pub async fn sealer(&self, tenant: TenantId) -> Result<Sealer, StoreError> {
        if let Some(number) = self.state.active.get(&tenant)
            && let Some(key) = self.state.keys.get(&(tenant, number))
        {
            return Sealer::new(self, tenant, number, &key.bytes);
        }
        // One that makes the first key reads it back: of several that do so at once, one key is stored.
        for _ in 0..8 {
            let read = self.db.read_system().await?;
            let stored = active(&read, tenant).await?;
            let last = if stored.is_none() {
                last(&read, tenant).await?
            } else {
                0
            };
            drop(read);
            if let Some(stored) = stored {
                let key = self.unwrapped(tenant, &stored).await?;
                self.state.active.insert(tenant, stored.number);
                return Sealer::new(self, tenant, stored.number, &key.bytes);
            }
            let new = self.new_key(tenant, last + 1).await?;
            let tx = self.db.system().await?;
            let now = tx.now();
            insert(&tx, tenant, &new, now, " ON CONFLICT DO NOTHING").await?;
            tx.commit()
                .await
                .map_err(|fault| StoreError::Busy(fault.into()))?;
        }
        Err(StoreError::Busy("the data key changes all the time".into()))
    }

    /// A key that was read before, or that the transaction reads.
    pub(super) async fn known(
        &self,
        tx: &Tx,
        tenant: TenantId,
        number: u32,
    ) -> Result<Arc<DataKey>, StoreError> {
        if let Some(key) = self.state.keys.get(&(tenant, number)) {
            return Ok(key);
        }
        let sql = "SELECT id, wrapped, master, ended FROM data_key WHERE tenant = $1 AND id = $2";
        let row = tx
            .fetch_one(sql, vec![tenant.0.into(), i64::from(number).into()])
            .await?
            .ok_or_else(|| {
                StoreError::corrupt(format!("data key {number} of tenant {tenant} is missing"))
            })?;
        if let Some(ended) = row.get::<Option<i64>>(3)? {
            let message = format!("data key {number} of tenant {tenant} is destroyed");
            return Err(if self.db.now().0.saturating_sub(ended) < BETWEEN {
                StoreError::Busy(message.into())
            } else {
                StoreError::corrupt(message)
            });
        }
        let stored = stored(&row)?;
        self.unwrapped(tenant, &stored).await
    }

    async fn unwrapped(
        &self,
        tenant: TenantId,
        stored: &Stored,
    ) -> Result<Arc<DataKey>, StoreError> {
        if let Some(key) = self.state.keys.get(&(tenant, stored.number)) {
            return Ok(key);
        }
        let master = self.state.masters.by_id(&stored.master).ok_or_else(|| {
            StoreError::corrupt(format!(
                "data key {} of tenant {tenant} is wrapped by master key {}, which is not given",
                stored.number, stored.master
            ))
        })?;
        let context = self.purpose(tenant, stored.number);
        let bytes = master.unwrap(&stored.wrapped, &context).await?;
        let key = Arc::new(DataKey { bytes });
        self.state
            .keys
            .insert((tenant, stored.number), Arc::clone(&key));
        Ok(key)
    }

    /// A fresh key, wrapped; not in a transaction.
    pub(super) async fn new_key(&self, tenant: TenantId, number: u32) -> Result<New, StoreError> {
        let key = fresh()?;
        let master = &self.state.masters.active;
        Ok(New {
            number,
            wrapped: master.wrap(&key, &self.purpose(tenant, number)).await?,
            master: master.id().to_owned(),
        })
    }

    /// What a wrapped key is for: it opens for nothing else.
    pub(super) fn purpose(&self, tenant: TenantId, number: u32) -> Vec<u8> {
        let mut out = b"regard data key v1\0".to_vec();
        out.extend_from_slice(self.db.service().as_str().as_bytes());
        out.push(0);
        out.extend_from_slice(tenant.0.as_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        out
    }
}

pub(super) fn stored(row: &Row) -> Result<Stored, StoreError> {
    Ok(Stored {
        number: number(row, 0)?,
        wrapped: row.get(1)?,
        master: row.get(2)?,
    })
}

async fn active(tx: &Tx, tenant: TenantId) -> Result<Option<Stored>, StoreError> {
    let sql = "SELECT id, wrapped, master FROM data_key WHERE tenant = $1 AND state = 'active'";
    let row = tx.fetch_one(sql, vec![tenant.0.into()]).await?;
    row.as_ref().map(stored).transpose()
}

/// The largest number given to a key so far, 0 if none was.
pub(super) async fn last(tx: &Tx, tenant: TenantId) -> Result<u32, StoreError> {
    let sql = "SELECT COALESCE(MAX(id), 0) FROM data_key WHERE tenant = $1";
    let row = tx.fetch_one(sql, vec![tenant.0.into()]).await?;
    row.as_ref().map_or(Ok(0), |row| number(row, 0))
}

pub(super) async fn insert(
    tx: &Tx,
    tenant: TenantId,
    new: &New,
    now: Micros,
    conflict: &str,
) -> Result<u64, StoreError> {
    let sql = format!(
        "INSERT INTO data_key (tenant, id, wrapped, master, state, created) VALUES ($1, $2, $3, $4, 'active', $5){conflict}"
    );
    let values = vec![
        tenant.0.into(),
        i64::from(new.number).into(),
        new.wrapped.clone().into(),
        new.master.clone().into(),
        now.0.into(),
    ];
    tx.run(sql, values).await
}

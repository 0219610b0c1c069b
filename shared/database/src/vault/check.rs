//! At start: is this the master key of this store? And the change from one master key to the next: every data key is
//! unwrapped by the former one and wrapped by the new one; sealed values stay as they are.

use regard_types::TenantId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Vault;
use super::key::stored;
use super::master::{KeyBytes, MasterError, MasterKey};
use crate::error::StoreError;

/// What is wrapped to recognise a master key: no secret.
const CHECK: [u8; 32] = *b"regard: this is the master key. ";
const CHECK_FOR: &[u8] = b"regard master key check v1";
/// Data keys that are wrapped anew at once.
const PAGE: i64 = 500;

/// A row of `vault_master`.
struct Known {
    ordinal: i64,
    master: String,
    check: Vec<u8>,
}

impl Vault {
    /// Recognises the master key, notes the first one, and wraps data keys anew where the former one is given, too.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the store belongs to another master key, [`StoreError::Down`] if the key service does
    /// not answer.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        loop {
            let known = self.masters().await?;
            let active = &self.state.masters.active;
            let Some(latest) = known.last() else {
                self.note(1, active.as_ref()).await?;
                continue;
            };
            recognise(self.by_id(&latest.master)?, &latest.check).await?;
            if latest.master == active.id() {
                break;
            }
            // Two processes of which each takes the other's key for the former one would go on for ever.
            if known.iter().any(|k| k.master == active.id()) {
                return Err(StoreError::corrupt(format!(
                    "secrets.master_key is the key {}, which {} has replaced: swap secrets.master_key and \
                     secrets.former_master_key",
                    active.id(),
                    latest.master
                )));
            }
            self.rewrap().await?;
            self.note(latest.ordinal + 1, active.as_ref()).await?;
            tracing::info!(
                former = latest.master,
                master = active.id(),
                "the master key was replaced"
            );
        }
        // A process that still ran with the former key may have made a data key meanwhile.
        self.rewrap().await
    }

    fn by_id(&self, id: &str) -> Result<&dyn MasterKey, StoreError> {
        let found = self.state.masters.by_id(id).map(AsRef::as_ref);
        found.ok_or_else(|| {
            let given = self.state.masters.active.id();
            StoreError::corrupt(format!(
                "the personal data of this store are sealed under master key {id}, and secrets.master_key is {given}: give \
                 the right key; or, to replace it, the former one in secrets.former_master_key"
            ))
        })
    }

    async fn masters(&self) -> Result<Vec<Known>, StoreError> {
        let read = self.db.read_system().await?;
        let sql = "SELECT ordinal, master, check_value FROM vault_master ORDER BY ordinal";
        let rows = read.fetch(sql, vec![]).await?;
        rows.iter()
            .map(|row| {
                Ok(Known {
                    ordinal: row.get(0)?,
                    master: row.get(1)?,
                    check: row.get(2)?,
                })
            })
            .collect()
    }

    /// Notes a master key; another process may have been faster.
    async fn note(&self, ordinal: i64, master: &dyn MasterKey) -> Result<(), StoreError> {
        let check = master.wrap(&Zeroizing::new(CHECK), CHECK_FOR).await?;
        let tx = self.db.system().await?;
        let sql = "INSERT INTO vault_master (ordinal, master, check_value, created) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (ordinal) DO NOTHING";
        let values = vec![
            ordinal.into(),
            master.id().into(),
            check.into(),
            tx.now().0.into(),
        ];
        tx.run(sql, values).await?;
        tx.commit()
            .await
            .map_err(|fault| StoreError::Busy(fault.into()))?;
        Ok(())
    }

    /// Wraps by the active master key what another one wrapped. What two processes do at once is done once.
    async fn rewrap(&self) -> Result<(), StoreError> {
        let active = &self.state.masters.active;
        loop {
            let read = self.db.read_system().await?;
            let sql = "SELECT id, wrapped, master, tenant FROM data_key \
                       WHERE state <> 'destroyed' AND master <> $1 ORDER BY tenant, id LIMIT $2";
            let rows = read
                .fetch(sql, vec![active.id().into(), PAGE.into()])
                .await?;
            drop(read);
            if rows.is_empty() {
                return Ok(());
            }
            let mut anew = Vec::with_capacity(rows.len());
            for row in &rows {
                let (key, tenant) = (stored(row)?, TenantId(row.get::<Uuid>(3)?));
                let purpose = self.purpose(tenant, key.number);
                let bytes: KeyBytes = self
                    .by_id(&key.master)?
                    .unwrap(&key.wrapped, &purpose)
                    .await?;
                anew.push((tenant, key, active.wrap(&bytes, &purpose).await?));
            }
            let tx = self.db.system().await?;
            for (tenant, key, wrapped) in anew {
                let sql = "UPDATE data_key SET wrapped = $1, master = $2 \
                           WHERE tenant = $3 AND id = $4 AND master = $5 AND state <> 'destroyed'";
                let values = vec![
                    wrapped.into(),
                    active.id().into(),
                    tenant.0.into(),
                    i64::from(key.number).into(),
                    key.master.into(),
                ];
                tx.run(sql, values).await?;
            }
            tx.commit()
                .await
                .map_err(|fault| StoreError::Busy(fault.into()))?;
        }
    }
}

async fn recognise(master: &dyn MasterKey, check: &[u8]) -> Result<(), StoreError> {
    let opened = master.unwrap(check, CHECK_FOR).await;
    match opened {
        Ok(value) if *value == CHECK => Ok(()),
        Err(MasterError::Away(why)) => Err(MasterError::Away(why).into()),
        _ => Err(StoreError::corrupt(format!(
            "master key {} does not open what it wrapped in this store: secrets.master_key is another key, or the store was \
             damaged",
            master.id()
        ))),
    }
}

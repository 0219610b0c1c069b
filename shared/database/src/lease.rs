//! Leases: one holder a name at a time, fenced by a term that only grows.

use std::time::Duration;

use uuid::Uuid;

use crate::Database;
use crate::database::begin;
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

/// A lease of a name, held or sought by this value.
pub struct Lease {
    db: Database,
    name: String,
    holder: String,
}

impl Database {
    /// A lease of this name; every call makes another holder.
    #[must_use]
    pub fn lease(&self, name: impl Into<String>) -> Lease {
        Lease {
            db: self.clone(),
            name: name.into(),
            holder: Uuid::new_v4().simple().to_string(),
        }
    }
}

impl Lease {
    /// Takes the lease if it is free or has run out, or renews it; until `keep` from now by our clock. The term is
    /// new (larger) with each new holder and stays the same on renewal: write it beside what the lease guards
    /// (`UPDATE cursor … WHERE lease_term = …`). None if another holds it.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn take(&self, keep: Duration) -> Result<Option<i64>, StoreError> {
        let now = self.db.now().0;
        let until = now.saturating_add(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
        let sql = "INSERT INTO lease (name, holder, term, until) VALUES ($1, $2, 1, $3) \
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, \
                   term = CASE WHEN lease.holder = excluded.holder THEN lease.term ELSE lease.term + 1 END \
                   WHERE lease.holder = excluded.holder OR lease.until < $4 RETURNING term";
        let values = vec![
            self.name.clone().into(),
            self.holder.clone().into(),
            until.into(),
            now.into(),
        ];
        let tx = begin(&self.db.0.pools, View::Nobody).await?;
        let row = tx.fetch_one(sql, values).await?;
        let term = row.map(|row| row.get(0)).transpose()?;
        tx.commit().await?;
        Ok(term)
    }

    /// Gives the lease back, if it is still ours.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn release(&self) -> Result<(), StoreError> {
        let tx = begin(&self.db.0.pools, View::Nobody).await?;
        let sql = "UPDATE lease SET until = 0 WHERE name = $1 AND holder = $2";
        tx.run(
            sql,
            vec![self.name.clone().into(), self.holder.clone().into()],
        )
        .await?;
        tx.commit().await
    }

    /// Whether the lease has this term in the transaction's eyes, locking it until the end: the fence for work that
    /// guards no row of its own.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn holds(&self, tx: &Tx, term: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE lease SET holder = holder WHERE name = $1 AND holder = $2 AND term = $3";
        Ok(tx
            .run(
                sql,
                vec![
                    self.name.clone().into(),
                    self.holder.clone().into(),
                    term.into(),
                ],
            )
            .await?
            == 1)
    }
}

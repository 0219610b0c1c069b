//! What does not stay: old changes (never versions), old request ids.

use std::time::Duration;

use sea_orm::Value;

use super::{Feed, hub, nonce_at, stored, unsigned};
use crate::Database;
use crate::database::{begin, begin_read};
use crate::engine::View;
use crate::error::StoreError;

/// Positions of one transaction of the job.
const STEP: u64 = 10_000;

impl Feed {
    /// Takes changes that were recorded longer than `keep` ago, from the beginning of each lane up to the first younger
    /// one; the number taken. Readers that had not come so far get `CURSOR_TOO_OLD` and take a snapshot.
    ///
    /// # Errors
    /// As the store answers; what was taken so far stays taken.
    pub async fn trim(&self, keep: Duration) -> Result<u64, StoreError> {
        let before = cutoff(&self.0, keep);
        let lanes: Vec<u16> = self
            .read_heads()
            .await?
            .lanes
            .iter()
            .map(|h| h.lane)
            .collect();
        let mut taken = 0;
        for lane in lanes {
            loop {
                let n = self.trim_step(lane, before).await?;
                taken += n;
                if n < STEP {
                    break;
                }
            }
        }
        Ok(taken)
    }

    async fn trim_step(&self, lane: u16, before: i64) -> Result<u64, StoreError> {
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        let heads = hub::read(&tx).await?;
        let Some(head) = heads.lane(lane) else {
            return Ok(0);
        };
        let end = head.head.min(head.trimmed + STEP);
        let sql = "SELECT position FROM change WHERE lane = $1 AND position > $2 AND position <= $3 AND recorded_at >= $4 \
                   ORDER BY position LIMIT 1";
        let lane_value: Value = i64::from(lane).into();
        let range = vec![
            lane_value.clone(),
            stored(head.trimmed).into(),
            stored(end).into(),
            before.into(),
        ];
        let young = tx
            .fetch_one(sql, range)
            .await?
            .map(|row| unsigned(&row, 0))
            .transpose()?;
        let to = young.map_or(end, |p| p - 1);
        if to <= head.trimmed {
            return Ok(0);
        }
        let nonce = nonce_at(&tx, head, to).await?.ok_or(StoreError::Missing)?;
        drop(tx);
        let tx = begin(&self.0.0.pools, View::Everyone).await?;
        let sql = "DELETE FROM change WHERE lane = $1 AND position <= $2";
        let taken = tx
            .run(sql, vec![lane_value.clone(), stored(to).into()])
            .await?;
        // last: the lane's writers wait for this row
        let sql =
            "UPDATE lane SET trimmed = $2, trimmed_nonce = $3 WHERE lane = $1 AND trimmed < $2";
        tx.run(
            sql,
            vec![lane_value, stored(to).into(), stored(nonce).into()],
        )
        .await?;
        tx.commit().await?;
        Ok(taken)
    }
}

impl Database {
    /// Forgets request ids that were first used longer than `keep` ago; the number forgotten.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn forget_requests(&self, keep: Duration) -> Result<u64, StoreError> {
        let tx = begin(&self.0.pools, View::Everyone).await?;
        let n = tx
            .run(
                "DELETE FROM idempotency WHERE created < $1",
                vec![cutoff(self, keep).into()],
            )
            .await?;
        tx.commit().await?;
        Ok(n)
    }
}

fn cutoff(db: &Database, keep: Duration) -> i64 {
    db.now()
        .0
        .saturating_sub(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX))
}

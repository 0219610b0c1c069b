//! Taking old entries: whole seals from the beginning of a lane, and a mark, with a code of its own, of where the chain now
//! begins.

use std::time::Duration;

use super::seal::Sealed;
use super::{Audit, Code, Key, number};
use crate::database::begin;
use crate::engine::View;
use crate::error::StoreError;

/// The code of a mark.
pub(super) fn mark(key: &Key, lane: u16, at: Sealed) -> [u8; 32] {
    let mut code = Code::new(key, b"trim");
    code.number(u64::from(lane));
    code.number(at.last);
    code.part(&at.hash);
    code.done()
}

impl Audit {
    /// Takes entries that are older than the settings keep them; the number taken.
    ///
    /// # Errors
    /// As [`Audit::trim`].
    pub async fn retain(&self) -> Result<u64, StoreError> {
        match self.0.0.settings.keep_audit_days {
            0 => Ok(0),
            days => {
                self.trim(Duration::from_secs(u64::from(days) * 86_400))
                    .await
            }
        }
    }

    /// Takes entries whose seal is older than `keep`; the number taken.
    ///
    /// # Errors
    /// As the store answers; what was taken so far stays taken.
    pub async fn trim(&self, keep: Duration) -> Result<u64, StoreError> {
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let before = self.0.now().0.saturating_sub(keep);
        let mut taken = 0;
        let (_, lanes) = self.0.feed().heads().await?;
        for lane in lanes {
            loop {
                let n = self.trim_seal(lane.lane, before).await?;
                taken += n;
                if n == 0 {
                    break;
                }
            }
        }
        Ok(taken)
    }

    async fn trim_seal(&self, lane: u16, before: i64) -> Result<u64, StoreError> {
        let db = &self.0;
        let tx = begin(&db.0.pools, View::Everyone).await?;
        let value = || i64::from(lane).into();
        let sql = "SELECT last, hash, at FROM audit_seal WHERE lane = $1 ORDER BY first LIMIT 1";
        let Some(row) = tx.fetch_one(sql, vec![value()]).await? else {
            return Ok(0);
        };
        let end = Sealed {
            last: number(&row, 0)?,
            hash: row.digest(1)?,
        };
        if row.get::<i64>(2)? >= before {
            return Ok(0);
        }
        let last = || end.last.cast_signed().into();
        let sql = "INSERT INTO audit_trim (lane, sequence, hash, at, mac) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (lane) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, \
                   at = excluded.at, mac = excluded.mac";
        let mac = mark(&db.0.audit_key, lane, end);
        let values = vec![
            value(),
            last(),
            end.hash.to_vec().into(),
            db.now().0.into(),
            mac.to_vec().into(),
        ];
        tx.run(sql, values).await?;
        let sql = "DELETE FROM audit WHERE lane = $1 AND sequence <= $2";
        let taken = tx.run(sql, vec![value(), last()]).await?;
        let sql = "DELETE FROM audit_seal WHERE lane = $1 AND last <= $2";
        tx.run(sql, vec![value(), last()]).await?;
        tx.commit().await?;
        Ok(taken)
    }
}

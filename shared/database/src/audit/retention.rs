//! Taking old entries: whole seals from the beginning of a lane, and a mark, with a code of its own, of where the chain now
//! begins.

use std::time::Duration;

use super::seal::{GENESIS, RANGE, Sealed, hash};
use super::verify::digest;
use super::{Audit, COLUMNS, Code, Key, entry, number};
use crate::database::begin;
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

/// The code of a mark, made at that time.
fn mark(key: &Key, lane: u16, at: Sealed, made: i64) -> [u8; 32] {
    let mut code = Code::new(key, b"trim");
    code.number(u64::from(lane));
    code.number(at.last);
    code.part(&at.hash);
    code.number(made.cast_unsigned());
    code.done()
}

/// Where retention left a lane, and whether the mark of it is the service's; none if it took nothing.
pub(super) async fn start(
    tx: &Tx,
    key: &Key,
    lane: u16,
) -> Result<Option<(Sealed, bool)>, StoreError> {
    let sql = "SELECT sequence, hash, mac, at FROM audit_trim WHERE lane = $1";
    let Some(row) = tx.fetch_one(sql, vec![i64::from(lane).into()]).await? else {
        return Ok(None);
    };
    let start = Sealed {
        last: number(&row, 0)?,
        hash: digest(&row, 1)?,
    };
    let mac: Vec<u8> = row.get(2)?;
    let right = mac == mark(key, lane, start, row.get(3)?);
    Ok(Some((start, right)))
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

    /// Takes entries, a seal's at once, that are all older than `keep`; the number taken.
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

    /// The entries of a lane's first seal, if all are older: only after they, the seal and the mark before it were found as
    /// the service wrote them, or its own new mark would vouch for what somebody else did.
    async fn trim_seal(&self, lane: u16, before: i64) -> Result<u64, StoreError> {
        let db = &self.0;
        let key = &db.0.audit_key;
        let tx = begin(&db.0.pools, View::Everyone).await?;
        let value = || i64::from(lane).into();
        let (start, mut right) = match start(&tx, key, lane).await? {
            Some(found) => found,
            None => (GENESIS, true),
        };
        let sql = "SELECT first, last, previous, hash FROM audit_seal WHERE lane = $1 ORDER BY first LIMIT 1";
        let Some(row) = tx.fetch_one(sql, vec![value()]).await? else {
            return Ok(0);
        };
        let end = Sealed {
            last: number(&row, 1)?,
            hash: digest(&row, 3)?,
        };
        right &= number(&row, 0)? == start.last + 1 && digest(&row, 2)? == start.hash;
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE lane = $1 AND sequence <= $2 ORDER BY sequence LIMIT $3"
        );
        let values = vec![value(), end.last.cast_signed().into(), (RANGE + 1).into()];
        let mut macs = Vec::new();
        for row in tx.fetch(sql, values).await? {
            // a field of another form is none of ours
            let Ok((found, mac)) = entry(&row) else {
                right = false;
                break;
            };
            right &= key.entry(&found)[..] == mac;
            right &= found.sequence == start.last + 1 + macs.len() as u64;
            if right && found.at.0 >= before {
                return Ok(0);
            }
            macs.push(mac);
        }
        right &= start.last + macs.len() as u64 == end.last;
        right &= hash(key, lane, start, end.last, macs.iter().map(Vec::as_slice)) == end.hash;
        if !right {
            let service = db.service();
            tracing::error!(%service, lane, "old audit entries stay, they are not as they were written: run `regard audit verify`");
            return Ok(0);
        }
        let last = || end.last.cast_signed().into();
        let sql = "INSERT INTO audit_trim (lane, sequence, hash, at, mac) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (lane) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, \
                   at = excluded.at, mac = excluded.mac";
        let now = db.now().0;
        let mac = mark(key, lane, end, now);
        let values = vec![
            value(),
            last(),
            end.hash.to_vec().into(),
            now.into(),
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

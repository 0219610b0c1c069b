//! Chaining what is new. Two sealers at once do no harm: both begin at the same entry, and the second finds it taken.

use super::{Audit, Code, Key, number};
use crate::database::{begin, begin_read};
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

/// Entries of one seal.
pub(super) const RANGE: i64 = 5_000;

/// A lane's last seal: up to which entry, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
    pub last: u64,
    pub hash: [u8; 32],
}

/// What a lane's first seal follows.
pub(super) const GENESIS: Sealed = Sealed {
    last: 0,
    hash: [0; 32],
};

/// The hash of a range: over the one before it and the codes of its entries.
pub(super) fn hash<'a>(
    key: &Key,
    lane: u16,
    before: Sealed,
    last: u64,
    macs: impl Iterator<Item = &'a [u8]>,
) -> [u8; 32] {
    let mut code = Code::new(key, b"seal");
    code.part(&before.hash);
    code.number(u64::from(lane));
    code.number(before.last + 1);
    code.number(last);
    for mac in macs {
        code.part(mac);
    }
    code.done()
}

/// A lane's last seal, or what its first one follows.
pub(super) async fn last(tx: &Tx, lane: u16) -> Result<Sealed, StoreError> {
    let value = || vec![i64::from(lane).into()];
    let sql = "SELECT last, hash FROM audit_seal WHERE lane = $1 ORDER BY first DESC LIMIT 1";
    let mut row = tx.fetch_one(sql, value()).await?;
    if row.is_none() {
        let sql = "SELECT sequence, hash FROM audit_trim WHERE lane = $1";
        row = tx.fetch_one(sql, value()).await?;
    }
    match row {
        None => Ok(GENESIS),
        Some(row) => Ok(Sealed {
            last: number(&row, 0)?,
            hash: row.digest(1)?,
        }),
    }
}

impl Audit {
    /// Seals what is new in every lane; the number of entries sealed.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn seal(&self) -> Result<u64, StoreError> {
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        // a lane whose last seal ends at its last entry has nothing new
        let sql = "SELECT lane FROM lane WHERE audited > coalesce((SELECT s.last FROM audit_seal s \
                   WHERE s.lane = lane.lane ORDER BY s.first DESC LIMIT 1), \
                   (SELECT t.sequence FROM audit_trim t WHERE t.lane = lane.lane), 0) ORDER BY lane";
        let rows = tx.fetch(sql, vec![]).await?;
        drop(tx);
        if rows.is_empty() {
            return Ok(0);
        }
        self.begin_roll().await?;
        let mut sealed = 0;
        for row in rows {
            let lane = u16::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?;
            loop {
                let n = match self.seal_range(lane).await {
                    // another sealer was faster
                    Err(StoreError::Taken(_)) => 0,
                    done => done?,
                };
                sealed += n;
                if n < RANGE.unsigned_abs() {
                    break;
                }
            }
        }
        if sealed > 0 {
            self.renew_roll().await?;
        }
        Ok(sealed)
    }

    async fn seal_range(&self, lane: u16) -> Result<u64, StoreError> {
        let db = &self.0;
        let tx = begin(&db.0.pools, View::Everyone).await?;
        let before = last(&tx, lane).await?;
        let sql = "SELECT sequence, mac FROM audit WHERE lane = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
        let from = before.last.cast_signed();
        let values = vec![i64::from(lane).into(), from.into(), RANGE.into()];
        let mut macs: Vec<Vec<u8>> = Vec::new();
        for row in tx.fetch(sql, values).await? {
            if number(&row, 0)? != before.last + 1 + macs.len() as u64 {
                let sequence = before.last + 1 + macs.len() as u64;
                tracing::error!(service = %db.service(), lane, sequence, "an audit entry is gone: run `regard audit verify`");
                break;
            }
            macs.push(row.get(1)?);
        }
        let n = macs.len() as u64;
        if n == 0 {
            return Ok(0);
        }
        let last = before.last + n;
        let key = &db.0.audit_key;
        let hash = hash(key, lane, before, last, macs.iter().map(Vec::as_slice));
        let sql = "INSERT INTO audit_seal (lane, first, last, previous, hash, at) VALUES ($1, $2, $3, $4, $5, $6)";
        let values = vec![
            i64::from(lane).into(),
            (from + 1).into(),
            last.cast_signed().into(),
            before.hash.to_vec().into(),
            hash.to_vec().into(),
            db.now().0.into(),
        ];
        tx.run(sql, values).await?;
        tx.commit().await?;
        Ok(n)
    }
}

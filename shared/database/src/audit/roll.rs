//! The roll: how far each lane was sealed, with one code over all of it, renewed whenever something was sealed. An end that
//! was cut off with its seals, a lane that began anew or is gone shows against it. It is renewed only where the seals that it
//! names still stand, so that a cut is never taken for the truth. Only a copy of an older roll, put back with everything
//! else of its time, passes: against that, keep heads elsewhere.

use super::seal::Sealed;
use super::verify::Anchor;
use super::{Audit, Code, Key, number};
use crate::database::{begin, begin_read};
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

/// Bytes of a lane in the roll: its number, the last sealed entry, the seal.
const LANE: usize = 2 + 8 + 32;

/// What the store holds of it.
pub(super) enum Kept {
    /// None was made yet: nothing was ever sealed.
    Unmade,
    /// It is gone, or not the service's.
    Broken,
    /// Each lane's last seal when it was made.
    Heads(Vec<Anchor>),
}

fn code(key: &Key, heads: &[u8], at: i64) -> [u8; 32] {
    let mut code = Code::new(key, b"roll");
    code.part(heads);
    code.number(at.cast_unsigned());
    code.done()
}

fn text(heads: &[Anchor]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(heads.len() * LANE);
    for head in heads {
        bytes.extend_from_slice(&head.lane.to_be_bytes());
        bytes.extend_from_slice(&head.sequence.to_be_bytes());
        bytes.extend_from_slice(&head.hash);
    }
    bytes
}

fn heads(bytes: &[u8]) -> Option<Vec<Anchor>> {
    let (lanes, []) = bytes.as_chunks::<LANE>() else {
        return None;
    };
    let head = |lane: &[u8; LANE]| {
        Some(Anchor {
            lane: u16::from_be_bytes(lane.get(..2)?.try_into().ok()?),
            sequence: u64::from_be_bytes(lane.get(2..10)?.try_into().ok()?),
            hash: lane.get(10..)?.try_into().ok()?,
        })
    };
    lanes.iter().map(head).collect()
}

impl Kept {
    pub async fn read(tx: &Tx, key: &Key) -> Result<Self, StoreError> {
        let sql = "SELECT heads, at, mac FROM audit_roll";
        let Some(row) = tx.fetch_one(sql, vec![]).await? else {
            let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM audit_seal LIMIT 1) s) \
                       + (SELECT count(*) FROM audit_trim)";
            let row = tx.fetch_one(sql, vec![]).await?;
            let sealed = row.map(|row| row.get::<i64>(0)).transpose()?;
            return Ok(match sealed {
                Some(0) | None => Self::Unmade,
                Some(_) => Self::Broken,
            });
        };
        let (bytes, at, mac): (Vec<u8>, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if mac != code(key, &bytes, at) {
            return Ok(Self::Broken);
        }
        Ok(heads(&bytes).map_or(Self::Broken, Self::Heads))
    }
}

/// Every lane's last seal, of lanes that have one.
async fn now(tx: &Tx) -> Result<Vec<Anchor>, StoreError> {
    let mut found = Vec::new();
    for row in tx
        .fetch("SELECT lane FROM lane ORDER BY lane", vec![])
        .await?
    {
        let lane = u16::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?;
        let Sealed { last, hash } = super::seal::last(tx, lane).await?;
        if last > 0 {
            found.push(Anchor {
                lane,
                sequence: last,
                hash,
            });
        }
    }
    Ok(found)
}

/// Whether a seal that the roll names stands, or lies before what retention left.
async fn stands(tx: &Tx, key: &Key, old: &Anchor, new: &[Anchor]) -> Result<bool, StoreError> {
    if new.contains(old) {
        return Ok(true);
    }
    let lane = || i64::from(old.lane).into();
    let sql = "SELECT last, hash FROM audit_seal WHERE lane = $1 AND first <= $2 ORDER BY first DESC LIMIT 1";
    let values = vec![lane(), old.sequence.cast_signed().into()];
    if let Some(row) = tx.fetch_one(sql, values).await?
        && number(&row, 0)? == old.sequence
    {
        return Ok(row.get::<Vec<u8>>(1)? == old.hash);
    }
    let Some((start, right)) = super::retention::start(tx, key, old.lane).await? else {
        return Ok(false);
    };
    Ok(
        right
            && (start.last > old.sequence || (start.last, start.hash) == (old.sequence, old.hash)),
    )
}

impl Audit {
    /// Makes the roll before anything is sealed for the first time.
    pub(super) async fn begin_roll(&self) -> Result<(), StoreError> {
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        let kept = Kept::read(&tx, &self.0.0.audit_key).await?;
        drop(tx);
        match kept {
            Kept::Unmade => self.write_roll(&[], "ON CONFLICT (id) DO NOTHING").await,
            _ => Ok(()),
        }
    }

    /// Renews the roll, where what it says so far is still so.
    pub(super) async fn renew_roll(&self) -> Result<(), StoreError> {
        let (db, key) = (&self.0, &self.0.0.audit_key);
        let tx = begin_read(&db.0.pools, View::Everyone).await?;
        let new = now(&tx).await?;
        let mut right = false;
        if let Kept::Heads(old) = Kept::read(&tx, key).await? {
            right = true;
            for head in &old {
                right &= stands(&tx, key, head, &new).await?;
            }
        }
        drop(tx);
        if !right {
            tracing::error!(service = %db.service(), "the audit does not follow from what was sealed before: run `regard audit verify`");
            return Ok(());
        }
        let update = "ON CONFLICT (id) DO UPDATE SET heads = excluded.heads, at = excluded.at, mac = excluded.mac";
        self.write_roll(&new, update).await
    }

    async fn write_roll(&self, heads: &[Anchor], conflict: &str) -> Result<(), StoreError> {
        let db = &self.0;
        let (bytes, at) = (text(heads), db.now().0);
        let mac = code(&db.0.audit_key, &bytes, at);
        let tx = begin(&db.0.pools, View::Everyone).await?;
        let sql = format!(
            "INSERT INTO audit_roll (id, heads, at, mac) VALUES (1, $1, $2, $3) {conflict}"
        );
        let values = vec![bytes.into(), at.into(), mac.to_vec().into()];
        tx.run(sql, values).await?;
        tx.commit().await
    }
}

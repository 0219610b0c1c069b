//! The table `customer_cursor`: how far the customer service's feed was read.

use std::collections::BTreeMap;

use regard_database::{Row, StoreError, Tx};
use regard_erasure::FeedCursor;
use regard_types::Uuid;

/// A stretch of a lane that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    /// After this position.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
    /// The mark of the transaction at `to`.
    pub nonce: u64,
}

/// The epoch and places to go on from; no epoch before anything was read.
pub(super) async fn cursors(tx: &Tx) -> Result<(Option<Uuid>, Vec<FeedCursor>), StoreError> {
    let sql = "SELECT lane, epoch, position, nonce FROM customer_cursor ORDER BY lane";
    let mut epoch = None;
    let mut out = Vec::new();
    for row in tx.fetch(sql, vec![]).await? {
        epoch = Some(row.get(1)?);
        out.push(cursor(&row)?);
    }
    Ok((epoch, out))
}

fn cursor(row: &Row) -> Result<FeedCursor, StoreError> {
    Ok(FeedCursor {
        lane: u32::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?,
        position: row.get::<i64>(2)?.cast_unsigned(),
        nonce: row.get::<i64>(3)?.cast_unsigned(),
    })
}

/// Moves the cursors over what was read; false if one does not stand where the reading began: another replica moved it.
pub(super) async fn advance(
    tx: &Tx,
    epoch: Uuid,
    read: &BTreeMap<u32, Read>,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO customer_cursor (lane, epoch, position, nonce) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (lane) DO UPDATE SET position = excluded.position, nonce = excluded.nonce \
               WHERE customer_cursor.epoch = excluded.epoch AND customer_cursor.position = $5";
    for (lane, read) in read {
        let values = vec![
            i64::from(*lane).into(),
            epoch.into(),
            read.to.cast_signed().into(),
            read.nonce.cast_signed().into(),
            read.from.cast_signed().into(),
        ];
        if tx.run(sql, values).await? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Begins anew where a snapshot says.
pub(super) async fn restart(tx: &Tx, epoch: Uuid, heads: &[FeedCursor]) -> Result<(), StoreError> {
    tx.run("DELETE FROM customer_cursor", vec![]).await?;
    let read = heads.iter().map(|head| {
        let read = Read {
            from: 0,
            to: head.position,
            nonce: head.nonce,
        };
        (head.lane, read)
    });
    advance(tx, epoch, &read.collect()).await?;
    Ok(())
}

/// Where this service's own lanes stand in this transaction's eyes.
pub(super) async fn heads(tx: &Tx) -> Result<Vec<FeedCursor>, StoreError> {
    let sql = "SELECT lane, head, nonce FROM lane ORDER BY lane";
    let one = |row: &Row| {
        Ok(FeedCursor {
            lane: u32::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?,
            position: row.get::<i64>(1)?.cast_unsigned(),
            nonce: row.get::<i64>(2)?.cast_unsigned(),
        })
    };
    tx.fetch(sql, vec![]).await?.iter().map(one).collect()
}

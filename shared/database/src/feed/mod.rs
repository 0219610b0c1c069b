//! The change feed. Every transaction writes its changes to one lane; positions of a lane are contiguous and in the order
//! of commits, because the lane's counter row stays locked from [`crate::Write::reserve`] to commit. So a reader that sees
//! head `h` sees every change up to `h`, and can prove that it missed nothing.
//!
//! A restored backup looks like the database it came from: cursors and tokens carry the nonce of the transaction at their
//! position, and a mismatch (or a position beyond the head) means another epoch.

mod hub;
mod retention;
pub mod snapshot;
mod watch;

use std::sync::Arc;

use regard_types::{ChangeToken, CustomerId, Fault, Kind, Micros, RecordId, TenantId, Trace};
use uuid::Uuid;

use crate::Database;
use crate::database::{begin, begin_read};
use crate::engine::View;
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

pub(crate) use hub::Hub;
pub use hub::{Head, Heads};

pub(crate) const EPOCH: &str = "SELECT epoch FROM feed ORDER BY ordinal DESC LIMIT 1";

/// A service's feed.
#[derive(Clone)]
pub struct Feed(pub(crate) Database);

/// A place in a lane: the last position that a reader has; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The lane.
    pub lane: u16,
    /// The position.
    pub position: u64,
    /// The nonce that came with the position; 0 at position 0.
    pub nonce: u64,
}

/// One change as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The lane.
    pub lane: u16,
    /// The position in the lane.
    pub position: u64,
    /// The transaction's nonce; 0 in a snapshot.
    pub nonce: u64,
    /// Whose.
    pub tenant: TenantId,
    /// What kind of record.
    pub kind: String,
    /// Which.
    pub record: RecordId,
    /// The version that it reached.
    pub version: i64,
    /// The customer as first written with it.
    pub customer: Option<CustomerId>,
    /// When it happened.
    pub occurred_at: Micros,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// The record's measures after the change.
    pub measures: Vec<u8>,
    /// The trace of the call that made it, where that one's spans are kept; none in a snapshot.
    pub trace: Option<Trace>,
}

/// A stretch of one lane. `(from, to]` is covered whole, even where changes of other tenants are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBatch {
    /// The epoch.
    pub epoch: Uuid,
    /// The lane.
    pub lane: u16,
    /// Where the stretch begins (excluded).
    pub from: u64,
    /// Where it ends (included): the next cursor.
    pub to: u64,
    /// The nonce at `to`.
    pub to_nonce: u64,
    /// The lane's head as it was then.
    pub head: u64,
    /// The changes, by position.
    pub changes: Vec<ChangeRow>,
    /// Whether this only tells that the lane is where it was.
    pub heartbeat: bool,
}

pub(crate) fn lane_of(row: &Row, column: usize) -> Result<u16, StoreError> {
    u16::try_from(row.get::<i64>(column)?).map_err(StoreError::corrupt)
}

pub(crate) fn unsigned(row: &Row, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.get::<i64>(column)?).map_err(StoreError::corrupt)
}

pub(crate) fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

impl Feed {
    /// The epoch and the head of every lane: where a reader who wants only what comes next begins, and what a snapshot
    /// notes before its first row.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn heads(&self) -> Result<(Uuid, Vec<Cursor>), StoreError> {
        let heads = self.read_heads().await?;
        let cursors = heads.lanes.iter().map(|h| Cursor {
            lane: h.lane,
            position: h.head,
            nonce: h.nonce,
        });
        Ok((heads.epoch, cursors.collect()))
    }

    pub(crate) async fn read_heads(&self) -> Result<Heads, StoreError> {
        let tx = begin_read(&self.0.0.pools, View::Nobody).await?;
        let heads = hub::read(&tx).await?;
        drop(tx);
        self.0.0.hub.set_epoch(heads.epoch);
        Ok(heads)
    }

    /// Whether a token's parts of this service are of this feed: its epoch, not beyond its heads, with its nonces
    /// (where retention left them).
    ///
    /// # Errors
    /// `TOKEN_EPOCH_GONE` if not; else as the store answers.
    pub async fn check_token(&self, token: &ChangeToken) -> Result<(), Fault> {
        let parts: Vec<_> = token.of(self.0.service()).collect();
        if parts.is_empty() {
            return Ok(());
        }
        let heads = self.read_heads().await?;
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        for part in parts {
            let cursor = Cursor {
                lane: part.lane,
                position: part.position,
                nonce: part.nonce,
            };
            let same =
                part.epoch == heads.epoch && place(&tx, &heads, cursor).await? != Place::Elsewhere;
            if !same {
                let message = "the store was restored from a backup since this change token was given; \
                               read without it and send the writes again";
                return Err(Fault::refused("TOKEN_EPOCH_GONE", message).meta("epoch", heads.epoch));
            }
        }
        Ok(())
    }

    /// Begins a new epoch: all tokens and cursors of the old one are gone. A restore calls it.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn new_epoch(&self) -> Result<Uuid, StoreError> {
        let heads = self.read_heads().await?;
        self.new_epoch_after(heads.epoch).await
    }

    /// Begins a new epoch unless someone else already did after `old`; the epoch that holds now.
    pub(crate) async fn new_epoch_after(&self, old: Uuid) -> Result<Uuid, StoreError> {
        let tx = begin(&self.0.0.pools, View::Nobody).await?;
        let sql = "INSERT INTO feed (ordinal, epoch, created) SELECT f.ordinal + 1, $1, $2 FROM feed f \
                   WHERE f.epoch = $3 AND f.ordinal = (SELECT max(ordinal) FROM feed) ON CONFLICT (ordinal) DO NOTHING";
        tx.run(
            sql,
            vec![Uuid::new_v4().into(), self.0.now().0.into(), old.into()],
        )
        .await?;
        tx.commit().await?;
        let epoch = self.read_heads().await?.epoch;
        self.0.0.hub.wake();
        Ok(epoch)
    }
}

/// Where a cursor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this feed, and what follows it is there.
    Here,
    /// In this feed or not: retention took what could tell.
    TooOld {
        /// The oldest cursor position that can go on.
        oldest: u64,
    },
    /// In another feed.
    Elsewhere,
}

pub(crate) async fn place(tx: &Tx, heads: &Heads, cursor: Cursor) -> Result<Place, StoreError> {
    let Some(head) = heads.lane(cursor.lane) else {
        return Ok(if cursor.position == 0 {
            Place::Here
        } else {
            Place::Elsewhere
        });
    };
    if cursor.position > head.head {
        return Ok(Place::Elsewhere);
    }
    if cursor.position < head.trimmed {
        return Ok(Place::TooOld {
            oldest: head.trimmed,
        });
    }
    let nonce = nonce_at(tx, head, cursor.position).await?;
    Ok(match nonce {
        Some(nonce) if nonce == cursor.nonce => Place::Here,
        Some(_) => Place::Elsewhere,
        // trimmed since the heads were read
        None => Place::TooOld {
            oldest: cursor.position + 1,
        },
    })
}

/// The nonce of the transaction at a position.
pub(crate) async fn nonce_at(
    tx: &Tx,
    head: &Head,
    position: u64,
) -> Result<Option<u64>, StoreError> {
    if position == 0 {
        return Ok(Some(0));
    }
    if position == head.head {
        return Ok(Some(head.nonce));
    }
    if position == head.trimmed {
        return Ok(Some(head.trimmed_nonce));
    }
    let sql = "SELECT nonce FROM change WHERE lane = $1 AND position = $2";
    let row = tx
        .fetch_one(
            sql,
            vec![i64::from(head.lane).into(), stored(position).into()],
        )
        .await?;
    row.map(|row| unsigned(&row, 0)).transpose()
}

pub(crate) fn too_old(lane: u16, oldest: u64) -> Fault {
    let message = "the cursor is older than the changes that are kept; take a snapshot and watch from its cursors";
    Fault::refused("CURSOR_TOO_OLD", message)
        .meta("lane", lane)
        .meta("oldest", oldest)
}

pub(crate) fn epoch_gone(epoch: Uuid) -> Fault {
    let message = "the cursor is not of this feed: its store was restored from a backup; \
                   take a snapshot and watch from its cursors";
    Fault::refused("FEED_EPOCH_GONE", message).meta("epoch", epoch)
}

pub(crate) fn closed() -> Fault {
    Fault::new(
        Kind::Down,
        "STORE_UNAVAILABLE",
        "the service stops; watch again from the last cursor",
    )
}

/// Heads as they are shared.
pub(crate) type SharedHeads = Arc<Heads>;

//! What the watchers of a process share: one reader of the lanes' heads. It looks after each commit of this process, and
//! every 50 ms for those of others, and only while someone watches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use uuid::Uuid;

use super::{SharedHeads, lane_of, unsigned};
use crate::Database;
use crate::database::{Shared, begin_read};
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

const POLL: Duration = Duration::from_millis(50);
/// Commits in quick succession are seen together.
const PAUSE: Duration = Duration::from_millis(4);
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// A lane's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub lane: u16,
    /// The last position given; 0 for none.
    pub head: u64,
    /// Its nonce.
    pub nonce: u64,
    /// The last position that retention took; 0 for none.
    pub trimmed: u64,
    /// Its nonce.
    pub trimmed_nonce: u64,
}

/// All lanes' ends at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads {
    /// The epoch.
    pub epoch: Uuid,
    /// By lane.
    pub lanes: Vec<Head>,
}

impl Heads {
    /// One lane's.
    #[must_use]
    pub fn lane(&self, lane: u16) -> Option<&Head> {
        self.lanes
            .binary_search_by_key(&lane, |h| h.lane)
            .ok()
            .and_then(|i| self.lanes.get(i))
    }
}

pub(crate) struct Hub {
    epoch: RwLock<Uuid>,
    wake: Arc<Notify>,
    heads: watch::Sender<SharedHeads>,
    running: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Hub {
    pub fn new(epoch: Uuid) -> Self {
        Self {
            epoch: RwLock::new(epoch),
            wake: Arc::new(Notify::new()),
            heads: watch::Sender::new(Arc::new(Heads {
                epoch,
                lanes: Vec::new(),
            })),
            running: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        }
    }

    pub fn epoch(&self) -> Uuid {
        *self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_epoch(&self, epoch: Uuid) {
        if self.epoch() != epoch {
            *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch;
        }
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn close(&self) {
        self.stop.send_replace(true);
        self.wake.notify_one();
    }

    /// Shares heads that were just read: a new watcher must not be judged by those of an earlier one.
    pub fn publish(&self, heads: &SharedHeads) {
        self.set_epoch(heads.epoch);
        self.heads.send_if_modified(|have| {
            let news = **have != **heads;
            if news {
                have.clone_from(heads);
            }
            news
        });
    }

    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Heads from now on; the reader starts with the first watcher.
    pub fn follow(db: &Database) -> watch::Receiver<SharedHeads> {
        let hub = &db.0.hub;
        let receiver = hub.heads.subscribe();
        if !hub.running.swap(true, Ordering::SeqCst) {
            tokio::spawn(poll(Arc::downgrade(&db.0), hub.wake.clone()));
        }
        hub.wake();
        receiver
    }
}

async fn poll(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        let Some(db) = shared.upgrade() else { return };
        if *db.hub.stop.borrow() {
            return;
        }
        let watched = db.hub.heads.receiver_count() > 0;
        let mut pause = PAUSE;
        if watched {
            match refresh(&db).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "the feed's heads cannot be read");
                    pause = AFTER_ERROR;
                }
            }
        }
        drop(db); // a database that nobody holds ends this task
        sleep(pause).await;
        if watched {
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(POLL) => {}
            }
        } else {
            // a new watcher wakes us; a database that went away is noticed within a second
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

async fn refresh(db: &Shared) -> Result<(), StoreError> {
    let tx = begin_read(&db.pools, View::Nobody).await?;
    let heads = Arc::new(read(&tx).await?);
    drop(tx);
    db.hub.publish(&heads);
    Ok(())
}

pub(super) async fn read(tx: &Tx) -> Result<Heads, StoreError> {
    let sql = "SELECT lane, head, nonce, trimmed, trimmed_nonce, \
               (SELECT epoch FROM feed ORDER BY ordinal DESC LIMIT 1) FROM lane ORDER BY lane";
    let rows = tx.fetch(sql, vec![]).await?;
    let mut lanes = Vec::with_capacity(rows.len());
    let mut epoch = Uuid::nil();
    for row in &rows {
        epoch = row.get(5)?;
        lanes.push(Head {
            lane: lane_of(row, 0)?,
            head: unsigned(row, 1)?,
            nonce: unsigned(row, 2)?,
            trimmed: unsigned(row, 3)?,
            trimmed_nonce: unsigned(row, 4)?,
        });
    }
    Ok(Heads { epoch, lanes })
}

//! Following the lanes. The stream reads only when it is asked for the next batch, so a slow reader holds one batch and
//! no connection.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use regard_types::{CustomerId, Fault, Micros, RecordId, TenantId, Trace};
use sea_orm::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::hub::{Head, Hub};
use super::{
    ChangeRow, Cursor, Feed, FeedBatch, Place, SharedHeads, closed, epoch_gone, lane_of, nonce_at,
    place, stored, too_old, unsigned,
};
use crate::Database;
use crate::database::begin_read;
use crate::engine::View;
use crate::error::StoreError;
use crate::hazard::Hazard;
use crate::tx::Tx;

/// The largest batch, whatever is asked.
const BATCH: usize = 5_000;
/// Measures of one batch, bytes: a batch must fit into a message of 4 MiB.
const BYTES: usize = 1 << 20;
/// A filtered reader passes over this many times its batch at once.
const STRIDE: u64 = 16;

impl Feed {
    /// Follows the feed from `cursors`; a lane that none names is read from its beginning. With a tenant, only its changes
    /// come, and ranges still cover every position. Batches of a lane come in order; lanes take turns. Every
    /// `heartbeat_ms` a quiet lane tells where it is.
    ///
    /// The stream ends with a fault: `CURSOR_TOO_OLD` once retention overtakes it, `FEED_EPOCH_GONE` when a new epoch
    /// begins, down when the store or the service goes.
    ///
    /// # Errors
    /// `FEED_EPOCH_GONE` if the epoch is another, a position lies beyond its lane or its nonce is another (for a reader of
    /// all tenants a new epoch begins then: the store was restored); `CURSOR_TOO_OLD`; a lane named twice.
    pub async fn watch(
        &self,
        epoch: Option<Uuid>,
        cursors: Vec<Cursor>,
        tenant: Option<TenantId>,
        batch_max: usize,
    ) -> Result<impl Stream<Item = Result<FeedBatch, Fault>> + Send + 'static + use<>, Fault> {
        self.watch_kinds(epoch, cursors, (tenant, Vec::new()), batch_max)
            .await
    }

    /// As [`Feed::watch`]; of some kinds of records only, where any are named. Ranges still cover every position.
    ///
    /// # Errors
    /// As [`Feed::watch`].
    pub async fn watch_kinds(
        &self,
        epoch: Option<Uuid>,
        cursors: Vec<Cursor>,
        (tenant, kinds): (Option<TenantId>, Vec<String>),
        batch_max: usize,
    ) -> Result<impl Stream<Item = Result<FeedBatch, Fault>> + Send + 'static + use<>, Fault> {
        let mut watcher = self.watcher(epoch, &cursors, tenant, batch_max).await?;
        watcher.kinds = kinds;
        Ok(futures::stream::unfold(Some(watcher), |watcher| async {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(batch) => Some((Ok(batch), Some(watcher))),
                Err(fault) => Some((Err(fault), None)),
            }
        }))
    }

    async fn watcher(
        &self,
        epoch: Option<Uuid>,
        cursors: &[Cursor],
        tenant: Option<TenantId>,
        batch_max: usize,
    ) -> Result<Watcher, Fault> {
        let heads = self.read_heads().await?;
        if epoch.is_some_and(|epoch| epoch != heads.epoch) {
            return Err(epoch_gone(heads.epoch));
        }
        let mut lanes: Vec<Standing> = Vec::new();
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        for cursor in cursors {
            if lanes.iter().any(|l| l.lane == cursor.lane) {
                return Err(Fault::invalid(
                    "cursors",
                    format!("lane {} is named twice", cursor.lane),
                ));
            }
            match place(&tx, &heads, *cursor).await? {
                Place::Here => lanes.push(Standing::at(*cursor)),
                Place::TooOld { oldest } => return Err(too_old(cursor.lane, oldest)),
                Place::Elsewhere => {
                    drop(tx);
                    let restored = tenant.is_none();
                    let epoch = if restored {
                        self.new_epoch_after(heads.epoch).await?
                    } else {
                        heads.epoch
                    };
                    return Err(epoch_gone(epoch));
                }
            }
        }
        drop(tx);
        let heads = Arc::new(heads);
        self.0.0.hub.publish(&heads);
        Ok(Watcher {
            db: self.0.clone(),
            epoch: heads.epoch,
            tenant,
            kinds: Vec::new(),
            batch_max: batch_max.clamp(1, BATCH),
            lanes,
            turn: 0,
            heads: Hub::follow(&self.0),
            stopped: self.0.0.hub.stopped(),
            heartbeat: Duration::from_millis(self.0.0.settings.heartbeat_ms.max(10)),
        })
    }
}

/// Where a watcher is in a lane.
struct Standing {
    lane: u16,
    position: u64,
    nonce: u64,
    told: Instant,
}

impl Standing {
    fn at(cursor: Cursor) -> Self {
        Self {
            lane: cursor.lane,
            position: cursor.position,
            nonce: cursor.nonce,
            told: Instant::now(),
        }
    }
}

struct Watcher {
    db: Database,
    epoch: Uuid,
    tenant: Option<TenantId>,
    /// Of which records; of all if none is named.
    kinds: Vec<String>,
    batch_max: usize,
    lanes: Vec<Standing>,
    turn: usize,
    heads: watch::Receiver<SharedHeads>,
    stopped: watch::Receiver<bool>,
    heartbeat: Duration,
}

impl Watcher {
    async fn next(&mut self) -> Result<FeedBatch, Fault> {
        loop {
            if *self.stopped.borrow() {
                return Err(closed());
            }
            let heads = self.heads.borrow_and_update().clone();
            // before the first reading there are no lanes
            if !heads.lanes.is_empty() {
                let news = match self.news(&heads) {
                    Ok(news) => news,
                    // shared heads may be older than the cursors; only the store's own end a stream
                    Err(_) => {
                        let heads = Arc::new(self.db.feed().read_heads().await?);
                        self.db.0.hub.publish(&heads);
                        self.news(&heads)?
                    }
                };
                if let Some((i, head)) = news {
                    return self.read(i, &head).await;
                }
            }
            let due = self
                .lanes
                .iter()
                .enumerate()
                .min_by_key(|(_, l)| l.told)
                .map(|(i, l)| (i, l.told + self.heartbeat));
            match due {
                Some((i, at)) if at <= Instant::now() => return Ok(self.beat(i)),
                _ => {}
            }
            let at = due.map_or_else(|| Instant::now() + self.heartbeat, |(_, at)| at);
            tokio::select! {
                changed = self.heads.changed() => changed.map_err(|_| closed())?,
                _ = self.stopped.changed() => {}
                () = tokio::time::sleep_until(at) => {}
            }
        }
    }

    /// Lanes that no cursor named, and lanes added since, begin at 0.
    fn meet_lanes(&mut self, heads: &SharedHeads) {
        for head in &heads.lanes {
            if !self.lanes.iter().any(|l| l.lane == head.lane) {
                self.lanes.push(Standing::at(Cursor {
                    lane: head.lane,
                    position: 0,
                    nonce: 0,
                }));
            }
        }
    }

    /// The next lane in turn that has something new.
    fn news(&mut self, heads: &SharedHeads) -> Result<Option<(usize, Head)>, Fault> {
        if heads.epoch != self.epoch {
            return Err(epoch_gone(heads.epoch));
        }
        self.meet_lanes(heads);
        let n = self.lanes.len();
        for i in (0..n).map(|k| (self.turn + k) % n) {
            let Some(lane) = self.lanes.get(i) else {
                continue;
            };
            let Some(head) = heads.lane(lane.lane) else {
                continue;
            };
            if head.head < lane.position {
                // only a restore under a running service does this
                return Err(epoch_gone(heads.epoch));
            }
            if lane.position < head.trimmed {
                return Err(too_old(head.lane, head.trimmed));
            }
            if head.head > lane.position {
                self.turn = i + 1;
                return Ok(Some((i, *head)));
            }
        }
        Ok(None)
    }

    fn beat(&mut self, i: usize) -> FeedBatch {
        let epoch = self.epoch;
        let Some(lane) = self.lanes.get_mut(i) else {
            return FeedBatch {
                epoch,
                lane: 0,
                from: 0,
                to: 0,
                to_nonce: 0,
                head: 0,
                changes: Vec::new(),
                heartbeat: true,
            };
        };
        lane.told = Instant::now();
        let (from, to_nonce) = (lane.position, lane.nonce);
        FeedBatch {
            epoch,
            lane: lane.lane,
            from,
            to: from,
            to_nonce,
            head: from, // beyond it nothing was seen
            changes: Vec::new(),
            heartbeat: true,
        }
    }

    async fn read(&mut self, i: usize, head: &Head) -> Result<FeedBatch, Fault> {
        let from = self.lanes.get(i).map_or(0, |l| l.position);
        let tx = begin_read(&self.db.0.pools, View::of(self.tenant)).await?;
        let (changes, to) = self.page(&tx, head, from).await?;
        let to_nonce = match changes.last() {
            Some(last) if last.position == to => last.nonce,
            _ => self
                .nonce(tx, head, to)
                .await?
                .ok_or_else(|| too_old(head.lane, to + 1))?,
        };
        if let Some(lane) = self.lanes.get_mut(i) {
            (lane.position, lane.nonce, lane.told) = (to, to_nonce, Instant::now());
        }
        Ok(FeedBatch {
            epoch: self.epoch,
            lane: head.lane,
            from,
            to,
            to_nonce,
            head: head.head,
            changes,
            heartbeat: false,
        })
    }

    /// The nonce at a position, which may be another tenant's: it tells nothing of it, and its change stays unread.
    async fn nonce(&self, tx: Tx, head: &Head, to: u64) -> Result<Option<u64>, StoreError> {
        if self.tenant.is_none() || to == head.head || to == head.trimmed {
            return nonce_at(&tx, head, to).await;
        }
        // never two connections at once: all could wait for their second
        drop(tx);
        let tx = begin_read(&self.db.0.pools, View::Everyone).await?;
        nonce_at(&tx, head, to).await
    }

    /// Changes after `from`, and the position up to which they are all.
    async fn page(&self, tx: &Tx, head: &Head, from: u64) -> Result<(Vec<ChangeRow>, u64), Fault> {
        let limit = self.batch_max as u64;
        let filtered = self.tenant.is_some() || !self.kinds.is_empty();
        let span = if filtered {
            limit.saturating_mul(STRIDE)
        } else {
            limit
        };
        let mut to = head.head.min(from.saturating_add(span));
        let mut values: Vec<Value> = vec![
            i64::from(head.lane).into(),
            stored(from).into(),
            stored(to).into(),
            stored(limit).into(),
        ];
        let mut filter = String::new();
        if let Some(tenant) = self.tenant {
            values.push(tenant.0.into());
            filter.push_str(" AND tenant = $5");
        }
        if !self.kinds.is_empty() {
            let mut places = Vec::with_capacity(self.kinds.len());
            for kind in &self.kinds {
                values.push(kind.clone().into());
                places.push(format!("${}", values.len()));
            }
            filter.push_str(&format!(" AND kind IN ({})", places.join(", ")));
        }
        let sql = format!(
            "SELECT lane, position, nonce, tenant, kind, record, version, customer, occurred_at, recorded_at, measures, trace \
             FROM change WHERE lane = $1 AND position > $2 AND position <= $3{filter} ORDER BY position LIMIT $4"
        );
        let rows = tx.fetch(sql, values).await?;
        let full = rows.len() as u64 == limit;
        let whole = rows.len() as u64 == to - from;
        if filtered || !whole {
            self.not_trimmed(
                tx,
                head.lane,
                from,
                filtered || self.db.0.doors.hazard() == Hazard::LoosePositions,
            )
            .await?;
        }
        let mut changes = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        let mut cut = full;
        for row in &rows {
            let change = change_row(row)?;
            bytes += change.measures.len();
            changes.push(change);
            if bytes > BYTES && changes.len() < rows.len() {
                cut = true;
                break;
            }
        }
        if let (true, Some(last)) = (cut, changes.last()) {
            to = last.position;
        }
        Ok((changes, to))
    }

    /// Tells a range that retention took from one with a hole, which must not be.
    async fn not_trimmed(&self, tx: &Tx, lane: u16, from: u64, partial: bool) -> Result<(), Fault> {
        let row = tx
            .fetch_one(
                "SELECT trimmed FROM lane WHERE lane = $1",
                vec![i64::from(lane).into()],
            )
            .await?;
        let trimmed = row.map(|row| unsigned(&row, 0)).transpose()?.unwrap_or(0);
        if trimmed > from {
            return Err(too_old(lane, trimmed));
        }
        if partial {
            return Ok(());
        }
        Err(Fault::bug(format!(
            "lane {lane} has a hole after position {from}"
        )))
    }
}

fn change_row(row: &crate::row::Row) -> Result<ChangeRow, StoreError> {
    Ok(ChangeRow {
        lane: lane_of(row, 0)?,
        position: unsigned(row, 1)?,
        nonce: unsigned(row, 2)?,
        tenant: TenantId(row.get(3)?),
        kind: row.get(4)?,
        record: RecordId(row.get(5)?),
        version: row.get(6)?,
        customer: row.get::<Option<Uuid>>(7)?.map(CustomerId),
        occurred_at: Micros(row.get(8)?),
        recorded_at: Micros(row.get(9)?),
        measures: row.get(10)?,
        trace: row
            .get::<Option<Vec<u8>>>(11)?
            .and_then(|bytes| Trace::from_bytes(&bytes)),
    })
}

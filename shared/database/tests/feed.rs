//! The change feed on both engines: nothing lost, nothing twice, whatever commits when.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use common::*;
use futures::{Stream, StreamExt};
use rand::Rng as _;
use regard_database::feed::{Cursor, FeedBatch};
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;
use tokio::time::timeout;

on_both_engines!(
    every_change_comes_once_in_order,
    a_tenant_sees_its_own_and_proves_the_rest,
    heartbeats_move_nothing,
    retention_and_old_cursors,
    a_cursor_of_another_history_is_refused,
    a_replica_that_saw_older_heads_goes_on,
    a_slow_watcher_holds_one_batch,
    closing_ends_watchers,
    snapshots_resume,
);

const LIMIT: Duration = Duration::from_secs(60);

/// What a watcher saw.
#[derive(Default)]
struct Seen {
    records: Vec<Uuid>,
    at: BTreeMap<u16, u64>,
}

impl Seen {
    fn take(&mut self, batch: &FeedBatch) {
        let at = self.at.entry(batch.lane).or_default();
        assert_eq!(
            batch.from, *at,
            "lane {} has a gap between batches",
            batch.lane
        );
        assert!(batch.to >= batch.from);
        let mut last = batch.from;
        for change in &batch.changes {
            assert!(change.position > last && change.position <= batch.to);
            last = change.position;
            self.records.push(change.record.0);
        }
        *at = batch.to;
    }
}

async fn watch(
    db: &Database,
    tenant: Option<TenantId>,
    batch: usize,
) -> impl Stream<Item = Result<FeedBatch, Fault>> + Send + use<> {
    db.feed().watch(None, vec![], tenant, batch).await.unwrap()
}

/// Follows until `n` changes came and a moment longer.
async fn collect(stream: impl Stream<Item = Result<FeedBatch, Fault>>, n: usize) -> Seen {
    let mut stream = pin!(stream);
    let mut seen = Seen::default();
    while seen.records.len() < n {
        let batch = timeout(LIMIT, stream.next())
            .await
            .expect("the feed stands still")
            .unwrap()
            .unwrap();
        seen.take(&batch);
    }
    while let Ok(Some(batch)) = timeout(Duration::from_millis(200), stream.next()).await {
        seen.take(&batch.unwrap());
    }
    seen
}

/// Writers that dawdle before they commit, and give up once in five; the records that were committed.
async fn write_all(
    dbs: &[Database],
    writers: usize,
    each: usize,
    dawdle_ms: u64,
) -> BTreeSet<Uuid> {
    let tasks: Vec<_> = (0..writers)
        .map(|w| {
            let db = dbs[w % dbs.len()].clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for i in 0..each {
                    let me = caller(if w % 4 == 0 { "a" } else { "b" });
                    let n = rand::rng().random_range(1..=3u32);
                    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
                    let positions = write.reserve(n).await.unwrap();
                    let mut records = Vec::new();
                    for k in 0..n as usize {
                        let id = Uuid::from_u128((w as u128) << 64 | (i as u128) << 32 | k as u128);
                        write.change(change(id, positions.at(k)));
                        records.push(id);
                    }
                    let (pause, abort) = (
                        rand::rng().random_range(0..=dawdle_ms * 1000),
                        rand::rng().random_bool(0.2),
                    );
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                    if abort {
                        drop(write);
                    } else {
                        write.commit(vec![]).await.unwrap();
                        kept.extend(records);
                    }
                }
                kept
            })
        })
        .collect();
    let mut all = BTreeSet::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn dawdle(store: &TestStore) -> u64 {
    if store.engine == regard_testkit::Engine::Sqlite {
        2
    } else {
        15
    }
}

async fn every_change_comes_once_in_order(store: TestStore) {
    // two replicas share the lanes
    let dbs = [open(&store).await, open(&store).await];
    let before = watch(&dbs[0], None, 7).await;
    let (sent, total) = tokio::sync::watch::channel(None::<usize>);
    let follow =
        |stream: std::pin::Pin<Box<dyn Stream<Item = Result<FeedBatch, Fault>> + Send>>| {
            let mut total = total.clone();
            tokio::spawn(async move {
                let (mut stream, mut seen) = (stream, Seen::default());
                loop {
                    let n = *total.borrow_and_update();
                    if n.is_some_and(|n| seen.records.len() >= n) {
                        return collect_rest(stream, seen).await;
                    }
                    tokio::select! {
                        batch = stream.next() => seen.take(&batch.unwrap().unwrap()),
                        _ = total.changed() => {}
                    }
                }
            })
        };
    let first = follow(Box::pin(before));
    let writing = {
        let dbs = dbs.clone();
        let dawdle = dawdle(&store);
        tokio::spawn(async move { write_all(&dbs, 32, 12, dawdle).await })
    };
    tokio::time::sleep(Duration::from_millis(60)).await;
    let second = follow(Box::pin(watch(&dbs[1], None, 100).await));
    let kept = writing.await.unwrap();
    sent.send_replace(Some(kept.len()));
    let third = collect(watch(&dbs[1], None, 1000).await, kept.len()).await;
    for seen in [first.await.unwrap(), second.await.unwrap(), third] {
        assert_eq!(
            seen.records.len(),
            kept.len(),
            "a change came twice or not at all"
        );
        assert_eq!(seen.records.into_iter().collect::<BTreeSet<_>>(), kept);
    }
    dbs[0].close().await;
    dbs[1].close().await;
}

async fn collect_rest(
    mut stream: std::pin::Pin<Box<dyn Stream<Item = Result<FeedBatch, Fault>> + Send>>,
    mut seen: Seen,
) -> Seen {
    while let Ok(Some(batch)) = timeout(Duration::from_millis(200), stream.next()).await {
        seen.take(&batch.unwrap());
    }
    seen
}

/// The proof that the locked counter is what keeps the feed whole: positions taken outside of the transaction lose changes,
/// and a reader that checks contiguity notices.
#[cfg(debug_assertions)]
#[test]
fn without_the_lock_changes_are_lost_and_it_shows() {
    regard_testkit::run(async {
        let store = TestStore::new(regard_testkit::Engine::Postgres).await;
        let unsafe_settings = DatabaseSettings {
            max_connections: 40,
            ..settings(&store)
        };
        // another name for the same server: only this one's doors are broken
        let honest_db = open(&store).await;
        let url = format!("{}?application_name=unsafe", store.url);
        hazard::arm(&url, hazard::Hazard::LoosePositions);
        let unsafe_db = open_with(&DatabaseSettings {
            url,
            ..unsafe_settings
        })
        .await;
        let honest = watch(&honest_db, None, 100).await;
        let honest = tokio::spawn(async move {
            let mut honest = pin!(honest);
            loop {
                match timeout(LIMIT, honest.next())
                    .await
                    .expect("no hole was noticed")
                    .unwrap()
                {
                    Ok(_) => {}
                    Err(fault) => return fault,
                }
            }
        });
        let blind = watch(&unsafe_db, None, 100).await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let blind = tokio::spawn(async move {
            let mut blind = pin!(blind);
            let mut seen = BTreeSet::new();
            loop {
                tokio::select! {
                    batch = blind.next() => seen.extend(batch.unwrap().unwrap().changes.iter().map(|c| c.record.0)),
                    _ = &mut stopped => return seen,
                }
            }
        });
        let kept = write_all(std::slice::from_ref(&unsafe_db), 32, 12, 15).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.send(()).unwrap();
        let seen = blind.await.unwrap();
        let lost = kept.difference(&seen).count();
        println!("without the lock: {lost} of {} changes lost", kept.len());
        assert!(lost > 0, "nothing was lost: the test proves nothing");
        let fault = honest.await.unwrap();
        assert_eq!(fault.kind, Kind::Bug, "{fault:?}");
        assert!(fault.source.unwrap().to_string().contains("hole"));
        unsafe_db.close().await;
        honest_db.close().await;
    });
}

async fn a_tenant_sees_its_own_and_proves_the_rest(store: TestStore) {
    let db = open(&store).await;
    let (a, b) = (caller("a"), caller("b"));
    for i in 0..40 {
        put(&db, if i % 8 == 0 { &a } else { &b }, "", &format!("n{i}"))
            .await
            .unwrap();
    }
    let mut stream = pin!(watch(&db, Some(a.tenant), 2).await);
    let mut seen = Seen::default();
    let (_, heads) = db.feed().heads().await.unwrap();
    while heads
        .iter()
        .any(|h| seen.at.get(&h.lane).copied().unwrap_or(0) < h.position)
    {
        let batch = timeout(LIMIT, stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(batch.changes.iter().all(|c| c.tenant == a.tenant));
        seen.take(&batch);
        if let Some(h) = heads
            .iter()
            .find(|h| h.lane == batch.lane && h.position == batch.to)
        {
            assert_eq!(batch.to_nonce, h.nonce);
        }
    }
    assert_eq!(seen.records.len(), 5);
    // any place that a batch named can be gone on from
    let cursors: Vec<_> = heads.clone();
    drop(
        db.feed()
            .watch(Some(db.epoch()), cursors, Some(a.tenant), 10)
            .await
            .unwrap(),
    );
    db.close().await;
}

async fn heartbeats_move_nothing(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        heartbeat_ms: 20,
        ..settings(&store)
    })
    .await;
    put(&db, &caller("a"), "", "x").await.unwrap();
    let (epoch, heads) = db.feed().heads().await.unwrap();
    let mut stream = pin!(
        db.feed()
            .watch(Some(epoch), heads.clone(), None, 10)
            .await
            .unwrap()
    );
    let mut told = BTreeSet::new();
    while told.len() < heads.len() {
        let batch = timeout(LIMIT, stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let head = heads.iter().find(|h| h.lane == batch.lane).unwrap();
        assert!(batch.heartbeat && batch.changes.is_empty());
        assert_eq!(
            (batch.epoch, batch.from, batch.to, batch.to_nonce),
            (epoch, head.position, head.position, head.nonce)
        );
        told.insert(batch.lane);
    }
    db.close().await;
}

async fn retention_and_old_cursors(store: TestStore) {
    let clock = Clock::fixed(Micros(1_000_000));
    let db = Database::open(
        &settings(&store),
        Service::Customer,
        notes(),
        clock.clone(),
        SECRET,
    )
    .await
    .unwrap();
    let me = caller("a");
    for i in 0..60 {
        put(&db, &me, "", &format!("old{i}")).await.unwrap();
    }
    let (epoch, middle) = db.feed().heads().await.unwrap();
    let token = put(&db, &me, "r", "last").await.unwrap().1;
    clock.set(Micros(100_000_000));
    for i in 0..60 {
        put(&db, &me, "", &format!("new{i}")).await.unwrap();
    }
    assert_eq!(db.feed().trim(Duration::from_secs(50)).await.unwrap(), 61);
    assert_eq!(db.feed().trim(Duration::from_secs(50)).await.unwrap(), 0);
    // from the beginning, and from a place that was taken
    let mut stream = pin!(
        db.feed()
            .watch(Some(epoch), vec![], None, 10)
            .await
            .unwrap()
    );
    let fault = loop {
        match timeout(LIMIT, stream.next()).await.unwrap().unwrap() {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.reason, "CURSOR_TOO_OLD");
    let lane = token.0[0].lane;
    let old: Vec<_> = middle
        .iter()
        .map(|c| {
            if c.lane == lane {
                *c
            } else {
                Cursor {
                    position: c.position,
                    ..*c
                }
            }
        })
        .collect();
    let fault = db
        .feed()
        .watch(Some(epoch), old.clone(), None, 10)
        .await
        .err()
        .unwrap();
    assert_eq!(fault.reason, "CURSOR_TOO_OLD");
    // the last place that was taken goes on without a loss
    let part = token.0[0];
    let at_border: Vec<_> = middle
        .iter()
        .map(|c| {
            if c.lane == lane {
                Cursor {
                    lane,
                    position: part.position,
                    nonce: part.nonce,
                }
            } else {
                *c
            }
        })
        .collect();
    let seen = {
        let mut stream = pin!(
            db.feed()
                .watch(Some(epoch), at_border, None, 1000)
                .await
                .unwrap()
        );
        let mut n = 0;
        while n < 60 {
            n += timeout(LIMIT, stream.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap()
                .changes
                .len();
        }
        n
    };
    assert_eq!(seen, 60);
    // trimming takes no version, and a token of a trimmed place is still good
    assert_eq!(count(&db, &me, "note").await, 121);
    db.feed().check_token(&token).await.unwrap();
    assert_eq!(
        db.forget_requests(Duration::from_secs(50)).await.unwrap(),
        1
    );
    db.close().await;
}

/// A backup is put back: everything after it is gone, and what comes next takes the same positions.
async fn a_cursor_of_another_history_is_refused(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let early = put(&db, &me, "", "kept").await.unwrap().1;
    let backup = Backup::take(&store, db).await;
    let db = open(&store).await;
    let mut last = ChangeToken::default();
    for i in 0..40 {
        last = put(&db, &me, "", &format!("lost{i}")).await.unwrap().1;
    }
    let (epoch, cursors) = db.feed().heads().await.unwrap();
    db.feed().check_token(&last).await.unwrap();
    let db = backup.put_back(&store, db).await;

    // it looks like the old feed, but is behind it
    assert_eq!(db.epoch(), epoch);
    assert_eq!(
        db.feed().check_token(&last).await.unwrap_err().reason,
        "TOKEN_EPOCH_GONE"
    );
    let mine = db
        .feed()
        .watch(Some(epoch), cursors.clone(), Some(me.tenant), 10)
        .await
        .err()
        .unwrap();
    assert_eq!(mine.reason, "FEED_EPOCH_GONE");
    assert_eq!(db.epoch(), epoch, "a tenant's reader begins no epoch");

    // it grows beyond the old positions: only the nonces tell
    for i in 0..60 {
        put(&db, &me, "", &format!("other{i}")).await.unwrap();
    }
    assert_eq!(
        db.feed().check_token(&last).await.unwrap_err().reason,
        "TOKEN_EPOCH_GONE"
    );
    let all = db
        .feed()
        .watch(Some(epoch), cursors.clone(), None, 10)
        .await
        .err()
        .unwrap();
    assert_eq!(all.reason, "FEED_EPOCH_GONE");
    let fresh = db.epoch();
    assert_ne!(fresh, epoch, "a reader of all tenants begins an epoch");
    assert_eq!(all.meta[0].1, fresh.to_string());
    // even what was kept is of the old epoch now
    assert_eq!(
        db.feed().check_token(&early).await.unwrap_err().reason,
        "TOKEN_EPOCH_GONE"
    );
    // the second reader with the old epoch does not begin another
    let again = db
        .feed()
        .watch(Some(epoch), cursors, None, 10)
        .await
        .err()
        .unwrap();
    assert_eq!((again.reason, db.epoch()), ("FEED_EPOCH_GONE", fresh));
    db.feed()
        .check_token(&put(&db, &me, "", "anew").await.unwrap().1)
        .await
        .unwrap();
    db.close().await;
}

/// A watcher moves between replicas, and comes back to one that nobody watched meanwhile.
async fn a_replica_that_saw_older_heads_goes_on(store: TestStore) {
    let (left, right) = (open(&store).await, open(&store).await);
    let me = caller("a");
    put(&left, &me, "", "early").await.unwrap();
    assert_eq!(
        collect(watch(&right, None, 10).await, 1)
            .await
            .records
            .len(),
        1
    );
    // twice: once behind, once behind and of the epoch before
    for round in 0..2 {
        if round == 1 {
            left.feed().new_epoch().await.unwrap();
        }
        for i in 0..20 {
            put(&left, &me, "", &format!("{round} {i}")).await.unwrap();
        }
        let (epoch, cursors) = left.feed().heads().await.unwrap();
        let feed = right.feed();
        let stream = feed.watch(Some(epoch), cursors, None, 10).await;
        let mut stream = pin!(stream.unwrap());
        let last = put(&left, &me, "", &format!("{round} last"))
            .await
            .unwrap()
            .0;
        let mut seen = Vec::new();
        while seen.is_empty() {
            let batch = timeout(LIMIT, stream.next()).await.unwrap().unwrap();
            let batch = batch.unwrap();
            assert_eq!(batch.epoch, epoch);
            seen.extend(batch.changes.iter().map(|c| c.record.0));
        }
        assert_eq!(seen, [last]);
    }
    left.close().await;
    right.close().await;
}

enum Backup {
    File(Vec<u8>),
    Copy(regard_testkit::TestDb),
}

impl Backup {
    /// Closes the database and copies it whole.
    async fn take(store: &TestStore, db: Database) -> Self {
        db.close().await;
        match (store.folder(), store.database()) {
            (Some(folder), _) => Self::File(std::fs::read(folder.join("x.db")).unwrap()),
            (_, Some(live)) => {
                Self::Copy(regard_testkit::postgres().database_from(&live.name).await)
            }
            _ => unreachable!(),
        }
    }

    async fn put_back(&self, store: &TestStore, db: Database) -> Database {
        db.close().await;
        match self {
            Self::File(bytes) => {
                let folder = store.folder().unwrap();
                for name in ["x.db-wal", "x.db-shm"] {
                    let _ = std::fs::remove_file(folder.join(name));
                }
                std::fs::write(folder.join("x.db"), bytes).unwrap();
                open(store).await
            }
            Self::Copy(copy) => {
                open_with(&DatabaseSettings {
                    url: copy.url.clone(),
                    migrate_url: copy.migrate_url.clone(),
                    ..settings(store)
                })
                .await
            }
        }
    }
}

async fn a_slow_watcher_holds_one_batch(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let mut stream = pin!(watch(&db, None, 10).await);
    for _ in 0..20 {
        let mut write = db.mutate(&me, command("", 0)).await.unwrap();
        let positions = write.reserve(500).await.unwrap();
        for i in 0..500 {
            let mut c = change(Uuid::from_u128(i as u128), positions.at(i));
            c.measures = vec![7; 400];
            write.change(c);
        }
        write.commit(vec![]).await.unwrap();
        // one batch between two large writes, and no connection kept
        let batch = timeout(LIMIT, stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(batch.changes.len(), 10);
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let (size, idle) = db.connections();
    assert!(
        idle + 1 >= size as usize,
        "a waiting watcher holds a connection: {idle} of {size} idle"
    );
    // large measures end a batch before its number does
    let mut wide = pin!(watch(&db, None, 5_000).await);
    let mut n = 0;
    while n < 10_000 {
        let batch = timeout(LIMIT, wide.next()).await.unwrap().unwrap().unwrap();
        assert!(
            batch
                .changes
                .iter()
                .map(|c| c.measures.len())
                .sum::<usize>()
                <= (1 << 20) + 400
        );
        n += batch.changes.len();
    }
    db.close().await;
}

async fn closing_ends_watchers(store: TestStore) {
    let db = open(&store).await;
    let mut stream = pin!(watch(&db, None, 10).await);
    let ending = {
        let db = db.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            db.close().await;
        })
    };
    let fault = loop {
        match timeout(LIMIT, stream.next()).await.unwrap().unwrap() {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, Kind::Down);
    assert!(timeout(LIMIT, stream.next()).await.unwrap().is_none());
    ending.await.unwrap();
}

struct Notes;

#[async_trait::async_trait]
impl feed::snapshot::Source for Notes {
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&feed::snapshot::Key>,
        limit: usize,
    ) -> Result<Vec<(feed::snapshot::Key, feed::ChangeRow)>, StoreError> {
        let after = after.map_or(Uuid::nil(), |k| Uuid::from_slice(k).unwrap());
        let sql = "SELECT id, tenant FROM note WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = tx
            .fetch(sql, vec![after.into(), (limit as i64).into()])
            .await?;
        rows.iter()
            .map(|row| {
                let id: Uuid = row.get(0)?;
                let row = feed::ChangeRow {
                    lane: 0,
                    position: 0,
                    nonce: 0,
                    tenant: tenant.unwrap_or(TenantId(row.get(1)?)),
                    kind: "note".to_owned(),
                    record: RecordId(id),
                    version: 1,
                    customer: None,
                    occurred_at: Micros(0),
                    recorded_at: Micros(0),
                    measures: vec![],
                    trace: None,
                };
                Ok((id.as_bytes().to_vec(), row))
            })
            .collect()
    }
}

async fn snapshots_resume(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let mut ids = BTreeSet::new();
    for i in 0..25 {
        ids.insert(put(&db, &me, "", &format!("n{i}")).await.unwrap().0);
    }
    let sources = || -> Vec<std::sync::Arc<dyn feed::snapshot::Source>> {
        vec![std::sync::Arc::new(Notes), std::sync::Arc::new(Notes)]
    };
    let (epoch, heads) = db.feed().heads().await.unwrap();
    let (mut resume, mut seen) = (None::<Vec<u8>>, Vec::new());
    let cursors = loop {
        // one page, then resumed as if after a crash
        let page = {
            let mut stream = pin!(
                db.feed()
                    .snapshot(sources(), None, resume.as_deref(), 10)
                    .await
                    .unwrap()
            );
            stream.next().await.unwrap().unwrap()
        };
        seen.extend(page.changes.iter().map(|c| c.record.0));
        assert_eq!(page.epoch, epoch);
        if page.last {
            break page.cursors;
        }
        resume = Some(page.resume);
        let id = put(&db, &me, "", &format!("late{}", seen.len()))
            .await
            .unwrap()
            .0;
        ids.insert(id);
    };
    assert_eq!(cursors, heads, "the cursors are those of the beginning");
    // what came after the heads comes by the lanes; what was seen twice is harmless
    let mut stream = pin!(
        db.feed()
            .watch(Some(epoch), cursors, None, 10)
            .await
            .unwrap()
    );
    while let Ok(Some(batch)) = timeout(Duration::from_millis(300), stream.next()).await {
        let batch = batch.unwrap();
        if !batch.heartbeat {
            seen.extend(batch.changes.iter().map(|c| c.record.0));
        }
    }
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids);
    let fault = db
        .feed()
        .snapshot(sources(), None, Some(b"rubbish"), 10)
        .await
        .err()
        .unwrap();
    assert_eq!(fault.reason, "TOKEN_INVALID");
    db.feed().new_epoch().await.unwrap();
    let fault = db
        .feed()
        .snapshot(sources(), None, resume.as_deref(), 10)
        .await
        .err()
        .unwrap();
    assert_eq!(fault.reason, "FEED_EPOCH_GONE");
    db.close().await;
}

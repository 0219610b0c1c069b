//! What nobody waits for any more does not run on at the database.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;

on_both_engines!(
    a_read_stops_at_its_deadline,
    a_glance_stops_at_its_deadline,
    glances_that_are_dropped_give_their_places_back_at_once,
    a_write_stops_at_its_deadline,
    commands_after_it_are_not_touched,
);

/// Would run for many minutes.
fn endless(db: &Database) -> &'static str {
    match db.engine() {
        Engine::Sqlite => {
            "WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless WHERE n < 100000000000) \
             SELECT count(*) FROM endless"
        }
        Engine::Postgres => "SELECT count(*) FROM generate_series(1, 100000000000) AS endless",
    }
}

fn late(after: Duration) -> Caller {
    Caller {
        deadline: Some(Instant::now() + after),
        ..caller("a")
    }
}

/// Every connection is back in its pool, idle: on SQLite none is busy with a statement then.
async fn whole(db: &Database) {
    let began = Instant::now();
    loop {
        let (size, idle) = db.connections();
        if idle == size as usize {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "connections do not come back: {:?}",
            db.connections()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Nothing of ours runs at the server.
async fn quiet(db: &Database) {
    if db.engine() == Engine::Sqlite {
        return; // within the process: see `whole`
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%endless%' \
               AND datname = current_database() AND pid <> pg_backend_pid()";
    let began = Instant::now();
    loop {
        let tx = db.read_system().await.unwrap();
        let row = tx.fetch_one(sql, vec![]).await.unwrap().unwrap();
        if row.get::<i64>(0).unwrap() == 0 {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it runs on at the server"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_read_stops_at_its_deadline(store: TestStore) {
    let db = open(&store).await;
    // As the edge does: the work is dropped when the time is up.
    for wait in [300, 10_000] {
        let me = late(Duration::from_millis(300));
        let work = async {
            let read = db.read(&me).await?;
            read.fetch_one(endless(&db), vec![]).await
        };
        match tokio::time::timeout(Duration::from_millis(wait), work).await {
            Err(_) => assert_eq!(wait, 300, "the database itself did not stop it"),
            Ok(done) => assert!(matches!(done, Err(StoreError::Late)), "{done:?}"),
        }
        quiet(&db).await;
        whole(&db).await;
    }
    db.ping().await.unwrap();
    db.close().await;
}

async fn a_glance_stops_at_its_deadline(store: TestStore) {
    let db = open(&store).await;
    for round in 0..2 {
        let read = db.glance(&late(Duration::from_millis(300))).await.unwrap();
        let done = match round {
            0 => read.fetch_one(endless(&db), vec![]).await.map(drop),
            _ => read.fetch(endless(&db), vec![]).await.map(drop),
        };
        assert!(matches!(done, Err(StoreError::Late)), "{done:?}");
        drop(read);
        quiet(&db).await;
        whole(&db).await;
    }
    db.close().await;
}

async fn glances_that_are_dropped_give_their_places_back_at_once(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        max_connections: 2,
        acquire_ms: 2_000,
        ..settings(&store)
    })
    .await;
    let me = late(Duration::from_secs(60));
    for _ in 0..3 {
        let work = async {
            let read = db.glance(&me).await?;
            read.fetch_one(endless(&db), vec![]).await
        };
        let both = futures::future::join(work, async {
            let read = db.glance(&me).await?;
            read.fetch_one(endless(&db), vec![]).await
        });
        let done = tokio::time::timeout(Duration::from_millis(100), both).await;
        assert!(done.is_err(), "{done:?}");
        // both places were taken
        assert_eq!(count(&db, &caller("a"), "note").await, 0);
    }
    quiet(&db).await;
    whole(&db).await;
    // what has ended is kept for the next
    let (before, _) = db.connections();
    for _ in 0..10 {
        let read = db.glance(&me).await.unwrap();
        read.fetch_one("SELECT 1", vec![]).await.unwrap();
    }
    whole(&db).await;
    assert!(db.connections().0 <= before.max(2));
    db.close().await;
}

async fn a_write_stops_at_its_deadline(store: TestStore) {
    let db = open(&store).await;
    let me = late(Duration::from_millis(300));
    let work = async {
        let mut write = db.mutate(&me, command("r", 0)).await.unwrap();
        insert(&mut write, "never").await.unwrap();
        write.fetch_one(endless(&db), vec![]).await
    };
    let done = tokio::time::timeout(Duration::from_millis(250), work).await;
    assert!(done.is_err(), "{done:?}");
    quiet(&db).await;
    whole(&db).await;
    // The lane, the request id and SQLite's one writer are free at once.
    let began = Instant::now();
    put(&db, &caller("a"), "r", "after").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(count(&db, &caller("a"), "note").await, 1);
    db.close().await;
}

async fn commands_after_it_are_not_touched(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        max_connections: 2,
        ..settings(&store)
    })
    .await;
    for i in 0..20 {
        let me = late(Duration::from_millis(20));
        let work = async {
            let read = db.read(&me).await?;
            read.fetch_one(endless(&db), vec![]).await
        };
        let _ = tokio::time::timeout(Duration::from_millis(20), work).await;
        // On the same connections, long enough to be looked at: they must not hear of another's deadline.
        let long = match db.engine() {
            Engine::Sqlite => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT count(*) FROM n"
            }
            Engine::Postgres => "SELECT count(*) FROM generate_series(1, 100000)",
        };
        let me = late(Duration::from_secs(60));
        for read in [db.read(&me).await.unwrap(), db.read_system().await.unwrap()] {
            let row = read.fetch_one(long, vec![]).await.unwrap().unwrap();
            assert_eq!(row.get::<i64>(0).unwrap(), 100_000, "round {i}");
        }
    }
    whole(&db).await;
    db.close().await;
}

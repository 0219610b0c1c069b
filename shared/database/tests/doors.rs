//! The three doors on both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;

on_both_engines!(
    a_mutation_is_kept_whole,
    a_repeat_is_answered,
    concurrent_repeats_are_one
);

async fn a_mutation_is_kept_whole(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let (id, token) = put(&db, &me, "", "hello").await.unwrap();
    assert_eq!(token.0.len(), 1);
    assert_eq!(token.0[0].position, 1);
    assert_eq!(token.0[0].epoch, db.epoch());
    let read = db.read(&me).await.unwrap();
    let row = read
        .fetch_one(
            "SELECT id, body, extra, done FROM note WHERE tenant = $1",
            vec![me.tenant.0.into()],
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<Uuid>(0).unwrap(), id);
    assert_eq!(row.get::<String>(1).unwrap(), "hello");
    assert_eq!(row.get::<Option<String>>(2).unwrap(), None);
    assert!(!row.flag(3).unwrap());
    drop(read);
    assert_eq!(
        (
            count(&db, &me, "change").await,
            count(&db, &me, "audit").await,
            count(&db, &me, "idempotency").await
        ),
        (1, 1, 0)
    );
    db.close().await;
}

async fn a_repeat_is_answered(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let first = put(&db, &me, "r1", "hello").await.unwrap();
    assert_eq!(put(&db, &me, "r1", "hello").await.unwrap(), first);
    let fault = put(&db, &me, "r1", "other").await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason),
        (Kind::WrongState, "REQUEST_ID_REUSED")
    );
    // another tenant, caller or method is another request
    put(&db, &caller("b"), "r1", "other").await.unwrap();
    let mut other = me.clone();
    other.name = "someone".into();
    put(&db, &other, "r1", "third").await.unwrap();
    assert_eq!(count(&db, &me, "note").await, 2);
    db.close().await;
}

async fn concurrent_repeats_are_one(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let (db, me) = (db.clone(), me.clone());
            tokio::spawn(async move { put(&db, &me, "same", "once").await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(count(&db, &me, "note").await, 1);
    db.close().await;
}

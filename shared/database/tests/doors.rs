//! The three doors on both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::*;
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;

on_both_engines!(
    a_mutation_is_kept_whole,
    a_repeat_is_answered,
    concurrent_repeats_are_one,
    a_failed_first_call_leaves_the_id_free,
    validate_only_keeps_nothing,
    dropped_and_cancelled_work_is_gone,
    a_cancelled_begin_leaves_the_pool_whole,
    a_spoiled_transaction_is_not_committed,
    positions_and_changes_must_agree,
    taken_keys_read_alike,
    entities_and_builders_work,
    readers_see_one_snapshot,
    late_callers_are_refused,
    busy_is_told_in_time,
    a_tenant_that_is_closed_takes_no_lanes_from_others,
    the_system_door_writes_for_many_tenants,
    replicas_may_start_at_once,
    leases_have_one_holder,
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
    assert_eq!(fault.meta, [("request_id".to_owned(), "r1".to_owned())]);
    // another tenant, credential or method is another request
    put(&db, &caller("b"), "r1", "other").await.unwrap();
    let mut other = me.clone();
    other.id = "key:someone".into();
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

async fn a_failed_first_call_leaves_the_id_free(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    put(&db, &me, "", "taken").await.unwrap();
    let fault = put(&db, &me, "r1", "taken").await.unwrap_err();
    assert_eq!((fault.kind, fault.reason), (Kind::Exists, "RECORD_EXISTS"));
    // the failure is not kept: the same id with another body is a first call
    put(&db, &me, "r1", "free").await.unwrap();
    assert_eq!(count(&db, &me, "idempotency").await, 1);
    db.close().await;
}

async fn validate_only_keeps_nothing(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    for _ in 0..2 {
        let asked = Command {
            validate_only: true,
            ..command("r1", 1)
        };
        let mut write = db.mutate(&me, asked).await.unwrap();
        assert!(write.repeated().is_none());
        let id = insert(&mut write, "hello").await.unwrap();
        assert_eq!(
            write.commit(vec![("note", RecordId(id), 1)]).await.unwrap(),
            None
        );
    }
    for table in ["note", "change", "audit", "idempotency"] {
        assert_eq!(count(&db, &me, table).await, 0, "{table}");
    }
    let (_, heads) = db.feed().heads().await.unwrap();
    assert!(heads.iter().all(|h| h.position == 0));
    db.close().await;
}

async fn whole(db: &Database) {
    for _ in 0..400 {
        let (size, idle) = db.connections();
        if idle == size as usize {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("connections do not come back: {:?}", db.connections());
}

async fn dropped_and_cancelled_work_is_gone(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        max_connections: 4,
        ..settings(&store)
    })
    .await;
    let me = caller("a");
    let mut write = db.mutate(&me, command("r0", 0)).await.unwrap();
    insert(&mut write, "dropped").await.unwrap();
    drop(write);
    // cancelled at any moment, in the middle of whatever statement runs
    for i in 0..150u64 {
        let work = async {
            let (id, body) = (format!("r{}", i % 7), format!("n{i}"));
            let mut write = db.mutate(&me, command(&id, 0)).await?;
            insert(&mut write, &body).await?;
            tokio::task::yield_now().await;
            insert_again(&write, &body).await?;
            std::future::pending::<Result<(), Fault>>().await
        };
        let _ = tokio::time::timeout(Duration::from_micros(i * 20), work).await;
    }
    whole(&db).await;
    for table in ["note", "change", "audit", "idempotency"] {
        assert_eq!(count(&db, &me, table).await, 0, "{table}");
    }
    // every connection and every lane still serves, and positions begin where nothing was
    let calls: Vec<_> = (0..40)
        .map(|i| {
            let (db, me) = (db.clone(), me.clone());
            tokio::spawn(async move {
                put(&db, &me, &format!("r{i}"), &format!("m{i}"))
                    .await
                    .unwrap()
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(count(&db, &me, "change").await, 40);
    let (_, heads) = db.feed().heads().await.unwrap();
    assert_eq!(heads.iter().map(|h| h.position).sum::<u64>(), 40);
    db.close().await;
}

async fn insert_again(write: &Write, body: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO note (tenant, id, version, body, weight, done, state) VALUES ($1, $2, 1, $3, 0.5, 0, 'open')";
    let id = new_record_id(&Clock::System).0;
    write
        .run(
            sql,
            vec![
                write.caller().tenant.0.into(),
                id.into(),
                format!("{body} again").into(),
            ],
        )
        .await?;
    Ok(())
}

async fn a_cancelled_begin_leaves_the_pool_whole(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        max_connections: 2,
        ..settings(&store)
    })
    .await;
    let me = caller("a");
    for i in 0..300u64 {
        let _ = tokio::time::timeout(
            Duration::from_micros(i * 3),
            db.mutate(&me, command("same", 0)),
        )
        .await;
        let _ = tokio::time::timeout(Duration::from_micros(i * 3), db.read(&me)).await;
    }
    whole(&db).await;
    put(&db, &me, "same", "hello").await.unwrap();
    assert_eq!(count(&db, &me, "note").await, 1);
    if let Some(database) = store.database() {
        // no connection of ours sits in a transaction
        let admin = open_with(&DatabaseSettings {
            url: database.admin_url.clone(),
            migrate: false,
            row_security: false,
            ..settings(&store)
        })
        .await;
        let mut stuck = 1;
        for _ in 0..100 {
            let read = admin.read_system().await.unwrap();
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()";
            stuck = read
                .fetch_one(sql, vec![])
                .await
                .unwrap()
                .unwrap()
                .get::<i64>(0)
                .unwrap();
            if stuck == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(stuck, 0);
        admin.close().await;
    }
    db.close().await;
}

async fn a_spoiled_transaction_is_not_committed(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    put(&db, &me, "", "taken").await.unwrap();
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    insert(&mut write, "fine").await.unwrap();
    assert!(matches!(insert_again(&write, "x").await, Ok(())));
    let sql = "UPDATE note SET body = 'taken' WHERE tenant = $1 AND body = 'fine'";
    let error = write.run(sql, vec![me.tenant.0.into()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken(_)));
    assert_eq!(write.commit(vec![]).await.unwrap_err().kind, Kind::Bug);
    assert_eq!(count(&db, &me, "note").await, 1);
    db.close().await;
}

async fn positions_and_changes_must_agree(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    let p = write.reserve(2).await.unwrap();
    write.change(change(Uuid::from_u128(1), p.at(0)));
    assert_eq!(write.commit(vec![]).await.unwrap_err().kind, Kind::Bug);
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    let p = write.reserve(2).await.unwrap();
    write.change(change(Uuid::from_u128(1), p.at(1)));
    write.change(change(Uuid::from_u128(2), p.at(1)));
    assert_eq!(write.commit(vec![]).await.unwrap_err().kind, Kind::Bug);
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    write.reserve(1).await.unwrap();
    assert_eq!(write.reserve(1).await.unwrap_err().kind, Kind::Bug);
    drop(write);
    // nothing changed: no position, an empty token, the request id still answers
    let mut write = db.mutate(&me, command("none", 0)).await.unwrap();
    write.reserve(0).await.unwrap();
    write.audit("note.ingest", None, None, None);
    assert_eq!(
        write.commit(vec![]).await.unwrap(),
        Some(ChangeToken::default())
    );
    let again = db.mutate(&me, command("none", 0)).await.unwrap();
    assert_eq!(again.repeated().unwrap().token, ChangeToken::default());
    drop(again);
    assert_eq!(count(&db, &me, "audit").await, 1);
    db.close().await;
}

async fn taken_keys_read_alike(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let (id, _) = put(&db, &me, "", "taken").await.unwrap();
    let write = db.mutate(&me, command("", 0)).await.unwrap();
    match insert_again(&write, "taken").await {
        Ok(()) => {}
        other => panic!("{other:?}"),
    }
    let sql = "UPDATE note SET body = 'taken' WHERE tenant = $1 AND id <> $2";
    match write.run(sql, vec![me.tenant.0.into(), id.into()]).await {
        Err(StoreError::Taken(key)) => assert_eq!(key, "note"),
        other => panic!("{other:?}"),
    }
    drop(write);
    let write = db.mutate(&me, command("", 0)).await.unwrap();
    let sql = "INSERT INTO note (tenant, id, version, body, weight, done, state) VALUES ($1, $2, 1, 'y', 0.5, 0, 'open')";
    match write.run(sql, vec![me.tenant.0.into(), id.into()]).await {
        Err(StoreError::Taken(key)) => assert_eq!(key, "note"),
        other => panic!("{other:?}"),
    }
    drop(write);
    // a CHECK is a fault of ours
    let write = db.mutate(&me, command("", 0)).await.unwrap();
    let sql = "INSERT INTO note (tenant, id, version, body, weight, done, state) VALUES ($1, $2, 1, 'y', 0.5, 0, 'odd')";
    let error = write
        .run(sql, vec![me.tenant.0.into(), Uuid::from_u128(3).into()])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)));
    db.close().await;
}

mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub body: String,
        pub extra: Option<String>,
        pub number: Option<i64>,
        pub weight: f64,
        pub done: i16,
        pub raw: Option<Vec<u8>>,
        pub state: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn entities_and_builders_work(store: TestStore) {
    use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
    let db = open(&store).await;
    let me = caller("a");
    let model = note::Model {
        tenant: me.tenant.0,
        id: Uuid::from_u128(9),
        version: 1,
        body: "ünïcödé %_".to_owned(),
        extra: None,
        number: Some(i64::MIN),
        weight: 0.1 + 0.2,
        done: 1,
        raw: Some(vec![0, 255]),
        state: "open".to_owned(),
    };
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    write.reserve(0).await.unwrap();
    let active: note::ActiveModel = model.clone().into();
    note::Entity::insert(note::ActiveModel {
        version: Set(1),
        ..active
    })
    .exec_without_returning(&*write)
    .await
    .unwrap();
    let hit = note::Entity::update_many()
        .col_expr(note::Column::Version, Expr::value(2i64))
        .filter(note::Column::Id.eq(model.id))
        .filter(note::Column::Version.eq(1i64))
        .exec(&*write)
        .await
        .unwrap();
    assert_eq!(hit.rows_affected, 1);
    write.commit(vec![]).await.unwrap();
    let read = db.read(&me).await.unwrap();
    let found = note::Entity::find_by_id((me.tenant.0, model.id))
        .one(&*read)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        found,
        note::Model {
            version: 2,
            ..model
        }
    );
    drop(read);
    db.close().await;
}

async fn readers_see_one_snapshot(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    put(&db, &me, "", "one").await.unwrap();
    let read = db.read(&me).await.unwrap();
    let sql = "SELECT count(*) FROM note";
    let seen = async || {
        read.fetch_one(sql, vec![])
            .await
            .unwrap()
            .unwrap()
            .get::<i64>(0)
            .unwrap()
    };
    assert_eq!(seen().await, 1);
    put(&db, &me, "", "two").await.unwrap();
    assert_eq!(seen().await, 1);
    // and cannot write
    assert!(read.run("DELETE FROM note", vec![]).await.is_err());
    drop(read);
    assert_eq!(count(&db, &me, "note").await, 2);
    db.close().await;
}

async fn late_callers_are_refused(store: TestStore) {
    let db = open(&store).await;
    let mut me = caller("a");
    me.deadline = Some(std::time::Instant::now());
    assert!(matches!(db.read(&me).await, Err(StoreError::Late)));
    assert_eq!(
        db.mutate(&me, command("", 0)).await.err().unwrap().kind,
        Kind::Late
    );
    db.close().await;
}

async fn busy_is_told_in_time(store: TestStore) {
    let db = open_with(&DatabaseSettings {
        max_connections: 1,
        acquire_ms: 100,
        ..settings(&store)
    })
    .await;
    let me = caller("a");
    let held = db.mutate(&me, command("", 0)).await.unwrap();
    let began = std::time::Instant::now();
    let fault = db.mutate(&me, command("", 0)).await.err().unwrap();
    assert_eq!(fault.kind, Kind::Busy, "{fault:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(held);
    whole(&db).await;
    put(&db, &me, "", "fine").await.unwrap();
    db.close().await;
}

async fn a_tenant_that_is_closed_takes_no_lanes_from_others(store: TestStore) {
    // SQLite's one writer is everybody's.
    if store.engine == regard_testkit::Engine::Sqlite {
        return;
    }
    let db = open(&store).await;
    let (a, b) = (caller("a"), caller("b"));
    for alone in [true, false] {
        // Someone is alone with the tenant, and many want to write; then one writes, and many want to be alone.
        let held = match alone {
            true => db.mutate_alone(&a, command("", 0)).await.unwrap(),
            false => db.mutate(&a, command("", 0)).await.unwrap(),
        };
        let waiting: Vec<_> = (0..40)
            .map(|_| {
                let (db, a) = (db.clone(), a.clone());
                tokio::spawn(async move {
                    match alone {
                        true => drop(db.mutate(&a, command("", 0)).await?),
                        false => drop(db.mutate_alone(&a, command("", 0)).await?),
                    }
                    Ok::<(), Fault>(())
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for n in 0..20 {
            let body = format!("{alone} {n}");
            let other = put(&db, &b, "", &body);
            let other = tokio::time::timeout(Duration::from_secs(10), other).await;
            other.unwrap().unwrap();
        }
        assert!(waiting.iter().all(|task| !task.is_finished()));
        drop(held);
        for task in waiting {
            task.await.unwrap().unwrap();
        }
    }
    db.close().await;
}

async fn the_system_door_writes_for_many_tenants(store: TestStore) {
    let db = open(&store).await;
    let (a, b) = (caller("a"), caller("b"));
    let mut system = db.system().await.unwrap();
    let p = system.reserve(2).await.unwrap();
    system.change(a.tenant, change(Uuid::from_u128(1), p.at(0)));
    system.change(
        b.tenant,
        Change {
            kind: "other",
            ..change(Uuid::from_u128(2), p.at(1))
        },
    );
    let token = system.commit().await.unwrap();
    assert_eq!(token.0[0].position, p.at(1));
    assert_eq!(
        (
            count(&db, &a, "change").await,
            count(&db, &b, "change").await
        ),
        (1, 1)
    );
    assert!(
        db.system()
            .await
            .unwrap()
            .commit()
            .await
            .unwrap()
            .is_empty()
    );
    db.ping().await.unwrap();
    db.close().await;
}

async fn replicas_may_start_at_once(store: TestStore) {
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let settings = settings(&store);
            tokio::spawn(async move { open_with(&settings).await })
        })
        .collect();
    let mut epochs = Vec::new();
    for db in opening {
        let db = db.await.unwrap();
        epochs.push(db.epoch());
        db.close().await;
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
    // a server that may not migrate refuses a schema that lacks a step
    let fixed = DatabaseSettings {
        migrate: false,
        ..settings(&store)
    };
    open_with(&fixed).await.close().await;
    let mut steps = notes();
    steps.push(Step::boxed("test_2_more", |_| vec!["SELECT 1".to_owned()]));
    let error = Database::open(&fixed, Service::Customer, steps, Clock::System, SECRET)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt(cause) if cause.to_string().contains("test_2_more"))
    );
}

async fn leases_have_one_holder(store: TestStore) {
    let clock = Clock::fixed(Micros(1_000_000));
    let db = Database::open(
        &settings(&store),
        Service::Scoring,
        notes(),
        clock.clone(),
        SECRET,
    )
    .await
    .unwrap();
    let (one, two) = (db.lease("apply"), db.lease("apply"));
    let keep = Duration::from_secs(10);
    assert_eq!(one.take(keep).await.unwrap(), Some(1));
    assert_eq!(two.take(keep).await.unwrap(), None);
    assert_eq!(
        one.take(keep).await.unwrap(),
        Some(1),
        "renewal keeps the term"
    );
    clock.set(Micros(12_000_000));
    assert_eq!(two.take(keep).await.unwrap(), Some(2));
    let tx = db.system().await.unwrap();
    assert!(!one.holds(&tx, 1).await.unwrap());
    assert!(two.holds(&tx, 2).await.unwrap());
    drop(tx);
    assert_eq!(one.take(keep).await.unwrap(), None);
    two.release().await.unwrap();
    assert_eq!(one.take(keep).await.unwrap(), Some(3));
    db.close().await;
}

#[test]
fn closing_waits_for_open_work_only_so_long() {
    regard_testkit::run(async {
        let store = TestStore::new(regard_testkit::Engine::Sqlite).await;
        let db = open_with(&DatabaseSettings {
            close_ms: 50,
            ..settings(&store)
        })
        .await;
        let held = db.mutate(&caller("a"), command("", 0)).await.unwrap();
        db.close().await;
        assert!(db.read(&caller("a")).await.is_err());
        drop(held);
    });
}

#[test]
fn connections_that_died_are_passed_over() {
    regard_testkit::run(async {
        let store = TestStore::new(regard_testkit::Engine::Postgres).await;
        let db = open(&store).await;
        let me = caller("a");
        let calls: Vec<_> = (0..8).map(|i| put_later(&db, &me, i)).collect();
        for call in calls {
            call.await.unwrap();
        }
        let other = open_with(&DatabaseSettings {
            url: store.admin_url(),
            migrate: false,
            row_security: false,
            ..settings(&store)
        })
        .await;
        let read = other.read_system().await.unwrap();
        let sql = "SELECT pg_terminate_backend(pid)::int::bigint FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(!read.fetch(sql, vec![]).await.unwrap().is_empty());
        drop(read);
        tokio::time::sleep(Duration::from_millis(100)).await;
        put(&db, &me, "again", "after").await.unwrap();
        assert_eq!(count(&db, &me, "note").await, 9);
        other.close().await;
        db.close().await;
    });
}

fn put_later(db: &Database, me: &Caller, i: usize) -> tokio::task::JoinHandle<()> {
    let (db, me) = (db.clone(), me.clone());
    tokio::spawn(async move {
        put(&db, &me, "", &format!("n{i}")).await.unwrap();
    })
}

//! Bulk statements on both engines: the same call, the same result.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;

on_both_engines!(
    statements_over_many_ids,
    rows_come_back_as_they_went,
    conflicts,
    updates,
    many_ids,
    bad_shapes
);

struct Rows {
    ids: Vec<Uuid>,
    bodies: Vec<String>,
    extras: Vec<Option<String>>,
    numbers: Vec<Option<i64>>,
    weights: Vec<f64>,
    done: Vec<bool>,
    raw: Vec<Option<Vec<u8>>>,
    states: Vec<&'static str>,
}

fn rows(n: usize) -> Rows {
    let each = |f: &dyn Fn(usize) -> bool| (0..n).map(f).collect::<Vec<_>>();
    Rows {
        ids: (0..n).map(|i| Uuid::from_u128(i as u128 + 1)).collect(),
        bodies: (0..n).map(|i| format!("body {i} '\"\\{{}},NULL")).collect(),
        extras: (0..n)
            .map(|i| (i % 3 != 0).then(|| format!("ü{i}")))
            .collect(),
        numbers: (0..n)
            .map(|i| (i % 2 == 0).then_some(i64::MAX - i as i64))
            .collect(),
        weights: (0..n).map(|i| i as f64 * 0.1).collect(),
        done: each(&|i| i % 5 == 0),
        raw: (0..n)
            .map(|i| (i % 7 == 0).then(|| vec![0, 255, (i % 256) as u8]))
            .collect(),
        states: (0..n)
            .map(|i| if i % 2 == 0 { "open" } else { "closed" })
            .collect(),
    }
}

fn columns(tenant: TenantId, r: &Rows) -> Vec<(&'static str, ColumnData<'_>)> {
    vec![
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", (&r.ids).into()),
        ("version", ColumnData::OneI64(1)),
        ("body", (&r.bodies).into()),
        ("extra", (&r.extras).into()),
        ("number", (&r.numbers).into()),
        ("weight", (&r.weights).into()),
        ("done", r.done.clone().into()),
        ("raw", (&r.raw).into()),
        ("state", r.states.clone().into()),
    ]
}

async fn fill(db: &Database, me: &Caller, n: usize) -> Rows {
    let r = rows(n);
    let tx = db.mutate(me, command("", 0)).await.unwrap();
    assert_eq!(
        tx.bulk_insert("note", &columns(me.tenant, &r), Conflict::Fail)
            .await
            .unwrap(),
        n as u64
    );
    tx.commit(vec![]).await.unwrap();
    r
}

async fn rows_come_back_as_they_went(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    // more than one statement on either engine
    let r = fill(&db, &me, 5_777).await;
    let read = db.read(&me).await.unwrap();
    let sql = "SELECT id, body, extra, number, weight, done, raw, state FROM note WHERE tenant = $1 ORDER BY id";
    let found = read.fetch(sql, vec![me.tenant.0.into()]).await.unwrap();
    assert_eq!(found.len(), 5_777);
    for (i, row) in found.iter().enumerate() {
        assert_eq!(row.get::<Uuid>(0).unwrap(), r.ids[i]);
        assert_eq!(row.get::<String>(1).unwrap(), r.bodies[i]);
        assert_eq!(row.get::<Option<String>>(2).unwrap(), r.extras[i]);
        assert_eq!(row.get::<Option<i64>>(3).unwrap(), r.numbers[i]);
        assert_eq!(row.get::<f64>(4).unwrap().to_bits(), r.weights[i].to_bits());
        assert_eq!(row.flag(5).unwrap(), r.done[i]);
        assert_eq!(row.get::<Option<Vec<u8>>>(6).unwrap(), r.raw[i]);
        assert_eq!(row.get::<String>(7).unwrap(), r.states[i]);
    }
    drop(read);
    db.close().await;
}

async fn conflicts(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let mut r = fill(&db, &me, 10).await;
    r.ids = (0..10).map(|i| Uuid::from_u128(i + 6)).collect();
    r.bodies = (0..10).map(|i| format!("new {i}")).collect();
    let key = &["tenant", "id"];
    let tx = db.mutate(&me, command("", 0)).await.unwrap();
    match tx
        .bulk_insert("note", &columns(me.tenant, &r), Conflict::Fail)
        .await
    {
        Err(StoreError::Taken(key)) => assert_eq!(key, "note"),
        other => panic!("{other:?}"),
    }
    drop(tx);
    let tx = db.mutate(&me, command("", 0)).await.unwrap();
    let made = tx
        .bulk_insert_returning(
            "note",
            &columns(me.tenant, &r),
            Conflict::Ignore { key },
            "id",
        )
        .await
        .unwrap();
    let mut made: Vec<Uuid> = made.iter().map(|row| row.get(0).unwrap()).collect();
    made.sort();
    assert_eq!(
        made,
        (10..15).map(|i| Uuid::from_u128(i + 1)).collect::<Vec<_>>()
    );
    let set = &["body"];
    let condition = "excluded.weight > 0.55 AND note.version = 1";
    let newer = Conflict::UpdateWhere {
        key,
        set,
        condition,
    };
    assert_eq!(
        tx.bulk_insert("note", &columns(me.tenant, &r), newer)
            .await
            .unwrap(),
        4
    );
    let all = Conflict::Update {
        key,
        set: &["body", "version"],
    };
    assert_eq!(
        tx.bulk_insert("note", &columns(me.tenant, &r), all)
            .await
            .unwrap(),
        10
    );
    tx.commit(vec![]).await.unwrap();
    assert_eq!(count(&db, &me, "note").await, 15);
    db.close().await;
}

async fn updates(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let r = fill(&db, &me, 700).await;
    let tx = db.mutate(&me, command("", 0)).await.unwrap();
    let ids = r.ids.iter().copied().step_by(2).collect::<Vec<_>>();
    let versions: Vec<i64> = (0..ids.len())
        .map(|i| if i < 300 { 1 } else { 9 })
        .collect();
    let extras: Vec<Option<String>> = (0..ids.len())
        .map(|i| (i % 2 == 0).then(|| format!("x{i}")))
        .collect();
    let key = vec![
        ("tenant", ColumnData::OneUuid(me.tenant.0)),
        ("id", (&ids).into()),
        ("version", versions.into()),
    ];
    let set = vec![
        ("extra", (&extras).into()),
        ("version", ColumnData::OneI64(2)),
        ("done", vec![true; ids.len()].into()),
    ];
    assert_eq!(tx.bulk_update("note", &key, &set).await.unwrap(), 300);
    tx.commit(vec![]).await.unwrap();
    let read = db.read(&me).await.unwrap();
    let sql = "SELECT extra, version, done, id FROM note WHERE tenant = $1 AND id {in}";
    let found = read
        .fetch_in(sql, vec![me.tenant.0.into()], &ids)
        .await
        .unwrap();
    assert_eq!(found.len(), ids.len());
    for row in &found {
        let i = ids
            .iter()
            .position(|id| *id == row.get::<Uuid>(3).unwrap())
            .unwrap();
        assert_eq!(row.get::<i64>(1).unwrap(), if i < 300 { 2 } else { 1 });
        if i < 300 {
            assert_eq!(row.get::<Option<String>>(0).unwrap(), extras[i]);
            assert!(row.flag(2).unwrap());
        }
    }
    drop(read);
    db.close().await;
}

async fn many_ids(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let r = fill(&db, &me, 3_000).await;
    let read = db.read(&me).await.unwrap();
    let sql = "SELECT id FROM note WHERE tenant = $1 AND id {in}";
    let mut ask = r.ids.clone();
    ask.extend((0..500).map(|i| Uuid::from_u128(1 << 100 | i)));
    assert_eq!(
        read.fetch_in(sql, vec![me.tenant.0.into()], &ask)
            .await
            .unwrap()
            .len(),
        3_000
    );
    assert_eq!(
        read.fetch_in(sql, vec![me.tenant.0.into()], &[])
            .await
            .unwrap()
            .len(),
        0
    );
    drop(read);
    // by the key's index from the first row on, not by reading all of the tenant
    if db.engine() == Engine::Sqlite {
        let plan = db.read(&me).await.unwrap();
        let plan = plan
            .fetch_in(
                &format!("EXPLAIN QUERY PLAN {sql}"),
                vec![me.tenant.0.into()],
                &ask,
            )
            .await
            .unwrap();
        let text: Vec<String> = plan.iter().map(|row| row.get(3).unwrap()).collect();
        assert!(
            text.iter()
                .any(|line| line.contains("sqlite_autoindex_note_1 (tenant=? AND id=?)")),
            "{text:?}"
        );
    } else {
        let read = db.read(&me).await.unwrap();
        let scans = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'note'";
        read.fetch_in(sql, vec![me.tenant.0.into()], &ask)
            .await
            .unwrap();
        assert_eq!(
            read.fetch_one(scans, vec![])
                .await
                .unwrap()
                .unwrap()
                .get::<i64>(0)
                .unwrap(),
            0
        );
        let index = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'note'";
        let fetched = read
            .fetch_one(index, vec![])
            .await
            .unwrap()
            .unwrap()
            .get::<i64>(0)
            .unwrap();
        assert!(fetched <= 2 * ask.len() as i64, "{fetched}");
    }
    let read = db.read(&me).await.unwrap();
    drop(read);
    db.close().await;
}

async fn bad_shapes(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let tx = db.mutate(&me, command("", 0)).await.unwrap();
    let uneven = vec![
        ("id", vec![Uuid::nil()].into()),
        ("version", vec![1i64, 2].into()),
    ];
    assert!(matches!(
        tx.bulk_insert("note", &uneven, Conflict::Fail).await,
        Err(StoreError::Corrupt(_))
    ));
    let constant = vec![("version", ColumnData::OneI64(1))];
    assert!(matches!(
        tx.bulk_insert("note", &constant, Conflict::Fail).await,
        Err(StoreError::Corrupt(_))
    ));
    let empty = vec![("id", Vec::<Uuid>::new().into())];
    assert_eq!(
        tx.bulk_insert("note", &empty, Conflict::Fail)
            .await
            .unwrap(),
        0
    );
    drop(tx);
    db.close().await;
}

async fn statements_over_many_ids(store: TestStore) {
    let db = open(&store).await;
    let me = caller("a");
    let r = fill(&db, &me, 100).await;
    let t = || vec![me.tenant.0.into()];
    let tx = db.mutate(&me, command("", 0)).await.unwrap();
    let tail = if tx.engine() == Engine::Postgres {
        " ORDER BY id FOR UPDATE"
    } else {
        ""
    };
    let sql = format!("SELECT id FROM note WHERE tenant = $1 AND id {{in}}{tail}");
    let mut twice = r.ids[..40].to_vec();
    twice.extend(&r.ids[..40]);
    assert_eq!(tx.fetch_in(&sql, t(), &twice).await.unwrap().len(), 40);
    let sql = "SELECT id, count(*) FROM note WHERE tenant = $1 AND id {in} GROUP BY id";
    assert_eq!(tx.fetch_in(sql, t(), &r.ids).await.unwrap().len(), 100);
    let sql = "INSERT INTO note SELECT tenant, $2, version, body || ' again', extra, number, weight, done, raw, state \
               FROM note WHERE tenant = $1 AND id {in}";
    let new = new_record_id(&Clock::System).0;
    tx.fetch_in(sql, vec![me.tenant.0.into(), new.into()], &r.ids[..1])
        .await
        .unwrap();
    let gone = tx
        .fetch_in(
            "DELETE FROM note WHERE tenant = $1 AND id {in} RETURNING id",
            t(),
            &r.ids[..9],
        )
        .await
        .unwrap();
    assert_eq!(gone.len(), 9);
    tx.commit(vec![]).await.unwrap();
    assert_eq!(count(&db, &me, "note").await, 92);
    db.close().await;
}

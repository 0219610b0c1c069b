//! The audit: what mutations leave, how it is chained, and that whatever is done to it behind the service's back is found.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use regard_database::audit::{Anchor, Filter, Finding, Report, Tampering};
use regard_database::*;
use regard_testkit::{Engine as On, TestStore, on_both_engines};
use regard_types::*;
use sqlx::AssertSqlSafe;

on_both_engines!(
    every_mutation_leaves_its_entry,
    entries_are_listed_by_an_index,
    sequences_have_no_gaps_under_load,
    tampering_is_found_and_named,
    retention_takes_whole_seals_and_says_so,
    retention_vouches_for_nothing_that_is_not_the_services,
    what_was_cut_off_stays_found_when_work_goes_on,
    entries_cannot_be_changed_through_the_doors,
);

async fn list(db: &Database, who: &Caller, filter: Filter) -> Vec<audit::Entry> {
    let read = db.read(who).await.unwrap();
    filter.page(&read, who.tenant, None, 100).await.unwrap()
}

async fn every_mutation_leaves_its_entry(store: TestStore) {
    let db = open(&store).await;
    let me = Caller {
        roles: ["agent".into(), "writer".into()].into(),
        request_id: "r-1".into(),
        ..caller("a")
    };
    let (id, token) = put(&db, &me, "once", "hello").await.unwrap();
    // a repeat, a rehearsal and a mutation that changed nothing leave none
    put(&db, &me, "once", "hello").await.unwrap();
    let rehearsal = Command {
        validate_only: true,
        ..command("", 0)
    };
    let mut write = db.mutate(&me, rehearsal).await.unwrap();
    insert(&mut write, "never").await.unwrap();
    write.commit(vec![]).await.unwrap();
    let write = db.mutate(&me, command("", 0)).await.unwrap();
    write.commit(vec![]).await.unwrap();
    let all = list(&db, &me, Filter::default()).await;
    assert_eq!(all.len(), 1, "{all:?}");
    let e = &all[0];
    assert_eq!(
        (e.caller.as_str(), e.roles.as_str()),
        ("tester", "agent,writer")
    );
    assert_eq!(
        (e.method.as_str(), e.action.as_str()),
        ("CreateNote", "note.create")
    );
    assert_eq!(
        (e.record, e.before, e.after),
        (Some(RecordId(id)), None, Some([1; 32]))
    );
    assert_eq!(
        (e.request_id.as_str(), e.caller_id.as_str()),
        ("r-1", "local:tester")
    );
    // another credential of this name is somebody else
    let namesake = Caller {
        id: "key:rgd_x".into(),
        ..me.clone()
    };
    let (other, _) = put(&db, &namesake, "once", "hullo").await.unwrap();
    assert_ne!(other, id);
    let all = list(&db, &me, Filter::default()).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all.iter()
            .any(|e| e.caller == "tester" && e.caller_id == "key:rgd_x")
    );
    let part = token.of(Service::Customer).next().unwrap();
    assert_eq!((e.lane, e.position), (part.lane, Some(part.position)));
    assert_eq!(e.sequence, 1);

    // what nobody noted is noted all the same: changes, and rows without changes
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    let id = new_record_id(&Clock::System).0;
    let positions = write.reserve(1).await.unwrap();
    write.change(change(id, positions.at(0)));
    write.commit(vec![("note", RecordId(id), 1)]).await.unwrap();
    let write = db.mutate(&me, command("", 0)).await.unwrap();
    write
        .run(
            "UPDATE note SET done = 1 WHERE tenant = $1",
            vec![me.tenant.0.into()],
        )
        .await
        .unwrap();
    write.commit(vec![]).await.unwrap();
    let all = list(&db, &me, Filter::default()).await;
    assert_eq!(all.len(), 4);
    let unnoted = all.iter().find(|e| e.record == Some(RecordId(id))).unwrap();
    assert_eq!(unnoted.action, "CreateNote");
    assert!(unnoted.after.is_some());
    assert!(
        all.iter()
            .any(|e| e.record.is_none() && e.position.is_none())
    );

    // several entries of one mutation
    let mut write = db.mutate(&me, command("", 0)).await.unwrap();
    insert(&mut write, "several").await.unwrap();
    write.audit("note.also", None, None, None);
    write.audit("note.too", None, None, None);
    write.commit(vec![]).await.unwrap();
    assert_eq!(list(&db, &me, Filter::default()).await.len(), 7);
    clean(&db).await;
    db.close().await;
}

async fn clean(db: &Database) -> Report {
    let report = db.audit().verify(&[]).await.unwrap();
    assert_eq!(report.findings, []);
    report
}

async fn entries_are_listed_by_an_index(store: TestStore) {
    let clock = Clock::Fixed(std::sync::Arc::new(1_700_000_000_000_000.into()));
    let settings = settings(&store);
    let db = Database::open(&settings, Service::Customer, notes(), clock.clone(), SECRET)
        .await
        .unwrap();
    let Clock::Fixed(now) = &clock else {
        unreachable!()
    };
    let tick = || now.fetch_add(1_500, std::sync::atomic::Ordering::SeqCst);
    let (a, b) = (caller("a"), caller("b"));
    let other = Caller {
        name: "other".into(),
        ..a.clone()
    };
    let mut ids = Vec::new();
    for i in 0..6 {
        tick();
        let who = if i % 3 == 0 { &other } else { &a };
        ids.push(put(&db, who, "", &format!("n{i}")).await.unwrap().0);
        put(&db, &b, "", &format!("n{i}")).await.unwrap();
    }
    let all = list(&db, &a, Filter::default()).await;
    assert_eq!(all.len(), 6);
    assert!(
        all.windows(2).all(|w| w[0].at > w[1].at),
        "the newest first"
    );
    let read = db.read(&a).await.unwrap();
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = Filter::default()
            .page(&read, a.tenant, after, 4)
            .await
            .unwrap();
        after = page.last().map(|e| e.id);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    drop(read);
    let by = |filter| list(&db, &a, filter);
    let one = by(Filter {
        record: Some(RecordId(ids[2])),
        ..Filter::default()
    })
    .await;
    assert_eq!(one.len(), 1);
    let callers = by(Filter {
        caller: Some("other".to_owned()),
        ..Filter::default()
    })
    .await;
    assert_eq!(callers.len(), 2);
    // both ends to the microsecond, though ids know milliseconds only
    let span = by(Filter {
        from: Some(all[4].at),
        to: Some(all[1].at),
        ..Filter::default()
    })
    .await;
    assert_eq!(span, all[2..5]);
    db.close().await;
}

async fn sequences_have_no_gaps_under_load(store: TestStore) {
    let db = open(&store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for t in 0..8 {
        let db = db.clone();
        tasks.spawn(async move {
            let me = caller("a");
            for i in 0..20 {
                let mut write = db.mutate(&me, command("", 0)).await.unwrap();
                if i % 4 != 3 {
                    insert(&mut write, &format!("{t} {i}")).await.unwrap();
                }
                if i % 4 == 1 {
                    continue; // rolled back
                }
                if i % 4 == 2 {
                    write.audit("note.also", None, None, None);
                }
                if i % 4 == 3 {
                    write.audit("note.only", None, None, None);
                }
                write.commit(vec![]).await.unwrap();
                if i % 7 == 0 {
                    db.audit().seal().await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    db.audit().seal().await.unwrap();
    let report = clean(&db).await;
    assert_eq!((report.entries, report.unsealed), (8 * 20, 0));
    assert!(report.seals > 0);
    db.close().await;
}

/// Runs statements as one who can do all: a superuser, or whoever has the file.
async fn meddle(store: &TestStore, sql: &str) {
    match store.engine {
        On::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&store.url).await.unwrap();
            for table in ["audit", "audit_seal"] {
                for trigger in ["stays", "is_kept"] {
                    let drop = format!("DROP TRIGGER IF EXISTS {table}_{trigger}");
                    sqlx::raw_sql(AssertSqlSafe(drop))
                        .execute(&pool)
                        .await
                        .unwrap();
                }
            }
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
        On::Postgres => {
            let pool = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
    }
}

/// A store whose lane 0 has 30 entries in three seals and 5 more, alone of its lanes.
async fn chained(store: &TestStore) -> (Database, u16) {
    let settings = DatabaseSettings {
        max_connections: 4,
        ..settings(store)
    };
    let db = open_with(&settings).await;
    if store.engine == On::Postgres {
        db.close().await;
        meddle(store, "DELETE FROM lane WHERE lane <> 0").await;
    } else {
        db.close().await;
    }
    let db = open_with(&settings).await;
    for i in 0..35 {
        put(&db, &caller("a"), "", &format!("n{i}")).await.unwrap();
        if i % 10 == 9 {
            assert_eq!(db.audit().seal().await.unwrap(), 10);
        }
    }
    assert_eq!(clean(&db).await.unsealed, 5);
    (db, 0)
}

async fn tampering_is_found_and_named(store: TestStore) {
    let (db, lane) = chained(&store).await;
    let anchors = {
        let read = db.audit();
        let sealed = read.heads().await.unwrap();
        // heads() sealed the rest, too
        assert_eq!(
            sealed,
            [Anchor {
                sequence: 35,
                ..sealed[0].clone()
            }]
        );
        sealed
    };
    let cases: Vec<(&str, Vec<Finding>)> = {
        let f = |sequence, what| Finding {
            lane,
            sequence,
            what,
        };
        let swap = "UPDATE audit SET sequence = 1007 WHERE sequence = 7; \
                    UPDATE audit SET sequence = 7 WHERE sequence = 8; \
                    UPDATE audit SET sequence = 8 WHERE sequence = 1007";
        let forged = "INSERT INTO audit SELECT tenant, before_digest_id, lane, 36, position, caller, roles, method, action, \
                      record, before_digest, after_digest, request_id, at, mac, caller_id FROM audit WHERE sequence = 5";
        let new_id = match store.engine {
            On::Sqlite => "randomblob(16)",
            On::Postgres => "gen_random_uuid()",
        };
        let forged: &'static str =
            Box::leak(forged.replace("before_digest_id", new_id).into_boxed_str());
        let beyond: &'static str = Box::leak(
            format!("{forged}; UPDATE lane SET audited = 36 WHERE lane = 0").into_boxed_str(),
        );
        let strange: &'static str =
            Box::leak(forged.replace("lane, 36", "77, 36").into_boxed_str());
        vec![
            (
                "UPDATE audit SET caller = 'somebody' WHERE sequence = 7",
                vec![f(7, Tampering::Changed)],
            ),
            (
                "UPDATE audit SET roles = 'agent' WHERE sequence = 35",
                vec![f(35, Tampering::Changed)],
            ),
            (
                "UPDATE audit SET after_digest = before_digest WHERE sequence = 12",
                vec![f(12, Tampering::Changed)],
            ),
            (
                "UPDATE audit SET at = at + 1 WHERE sequence = 30",
                vec![f(30, Tampering::Changed)],
            ),
            (
                "UPDATE audit SET request_id = 'x', mac = after_digest WHERE sequence = 1",
                vec![f(1, Tampering::Changed)],
            ),
            (
                "DELETE FROM audit WHERE sequence = 7",
                vec![f(7, Tampering::Removed { to: 7 })],
            ),
            (
                "DELETE FROM audit WHERE sequence BETWEEN 9 AND 22",
                vec![f(9, Tampering::Removed { to: 22 })],
            ),
            (
                "DELETE FROM audit WHERE sequence = 1",
                vec![f(1, Tampering::Removed { to: 1 })],
            ),
            // closing the gap does not help
            (
                "DELETE FROM audit WHERE sequence = 34; UPDATE audit SET sequence = 34 WHERE sequence = 35; \
              UPDATE lane SET audited = 34 WHERE lane = 0",
                vec![f(34, Tampering::Changed)],
            ),
            (
                swap,
                vec![f(7, Tampering::Changed), f(8, Tampering::Changed)],
            ),
            (forged, vec![f(36, Tampering::Changed)]),
            (beyond, vec![f(36, Tampering::Changed)]),
            (
                strange,
                vec![Finding {
                    lane: 77,
                    ..f(36, Tampering::Inserted)
                }],
            ),
            (
                "DELETE FROM audit_seal WHERE first = 11",
                vec![f(21, Tampering::Seal)],
            ),
            (
                "UPDATE audit_seal SET hash = previous WHERE first = 11",
                vec![f(11, Tampering::Seal), f(21, Tampering::Seal)],
            ),
            // cut off at the end: entries alone, with their seal, and with the lane's own count
            (
                "DELETE FROM audit WHERE sequence > 30",
                vec![f(31, Tampering::Removed { to: 35 })],
            ),
            (
                "DELETE FROM audit WHERE sequence > 30; DELETE FROM audit_seal WHERE first > 30; \
              UPDATE lane SET audited = 30 WHERE lane = 0",
                vec![f(35, Tampering::Anchor)],
            ),
            // taken from the beginning, as if by retention
            (
                "DELETE FROM audit WHERE sequence <= 10; DELETE FROM audit_seal WHERE first = 1; \
              INSERT INTO audit_trim SELECT 0, 10, previous, 1, hash FROM audit_seal WHERE first = 11",
                vec![f(10, Tampering::Mark)],
            ),
            // a lane that begins anew, one that is gone, and an audit that is gone
            (
                "DELETE FROM audit; DELETE FROM audit_seal; UPDATE lane SET audited = 0",
                vec![cut(lane), emptied(lane)],
            ),
            (
                "INSERT INTO lane SELECT 1, 0, nonce, 0, 0, 0 FROM lane; DELETE FROM lane WHERE lane = 0; DELETE FROM audit",
                vec![f(35, Tampering::Anchor), f(1, Tampering::Seal)],
            ),
            (
                "DELETE FROM audit; DELETE FROM audit_seal; DELETE FROM audit_roll; UPDATE lane SET audited = 0",
                vec![f(0, Tampering::Emptied)],
            ),
            ("DELETE FROM audit_roll", vec![f(0, Tampering::Roll)]),
            (
                "UPDATE audit_roll SET at = at + 1",
                vec![f(0, Tampering::Roll)],
            ),
            // retention never took what this seal claims
            (
                "INSERT INTO audit_seal SELECT lane, 0, last, previous, hash, 0 FROM audit_seal WHERE last = 20",
                vec![f(0, Tampering::Seal)],
            ),
        ]
    };
    db.close().await;
    let saved = Saved::of(&store).await;
    for (sql, expected) in cases {
        meddle(&store, sql).await;
        let db = open(&store).await;
        for anchors in [&anchors[..], &[]] {
            // with the last emptied, only an anchor from elsewhere knows the end
            let mut expected = expected.clone();
            if !anchors.is_empty() && expected == [emptied(lane)] {
                expected.insert(0, cut(lane));
            }
            let report = db.audit().verify(anchors).await.unwrap();
            assert_eq!(report.findings, expected, "{sql}");
        }
        db.close().await;
        saved.put_back(&store).await;
    }
    let db = open(&store).await;
    assert_eq!(db.audit().verify(&anchors).await.unwrap().findings, []);
    // another secret cannot make anything that holds
    db.close().await;
    let other = Database::open(
        &settings(&store),
        Service::Customer,
        notes(),
        Clock::System,
        IdSecret([8; 32]),
    )
    .await
    .unwrap();
    assert_eq!(other.audit().verify(&[]).await.unwrap().findings.len(), 36);
    other.close().await;
}

fn emptied(lane: u16) -> Finding {
    Finding {
        lane,
        sequence: 0,
        what: Tampering::Emptied,
    }
}

fn cut(lane: u16) -> Finding {
    Finding {
        lane,
        sequence: 35,
        what: Tampering::Anchor,
    }
}

async fn what_was_cut_off_stays_found_when_work_goes_on(store: TestStore) {
    let (db, lane) = chained(&store).await;
    assert_eq!(db.audit().seal().await.unwrap(), 5);
    db.close().await;
    let cut_off = "DELETE FROM audit WHERE sequence > 20; DELETE FROM audit_seal WHERE last > 20; \
                   UPDATE lane SET audited = 20 WHERE lane = 0";
    meddle(&store, cut_off).await;
    let db = open(&store).await;
    for n in 0..20 {
        put(&db, &caller("a"), "", &format!("later {n}"))
            .await
            .unwrap();
        assert_eq!(db.audit().seal().await.unwrap(), 1);
    }
    // beyond the number that was there before
    let report = db.audit().verify(&[]).await.unwrap();
    assert_eq!((report.entries, report.findings), (40, vec![cut(lane)]));
    db.close().await;
}

async fn retention_vouches_for_nothing_that_is_not_the_services(store: TestStore) {
    let (db, lane) = chained(&store).await;
    db.audit().seal().await.unwrap();
    db.close().await;
    let saved = Saved::of(&store).await;
    let day = std::time::Duration::from_secs(86_400);
    let of = |sequence, what| Finding {
        lane,
        sequence,
        what,
    };
    let all = std::time::Duration::ZERO;
    for (sql, keep, expected) in [
        // a seal that nobody looks at, over what shall go
        (
            "INSERT INTO audit_seal SELECT lane, 0, last, previous, hash, 0 FROM audit_seal WHERE last = 20",
            all,
            vec![of(0, Tampering::Seal)],
        ),
        (
            "UPDATE audit_seal SET last = 20, hash = (SELECT hash FROM audit_seal WHERE last = 20) WHERE first = 1",
            all,
            vec![of(1, Tampering::Seal)],
        ),
        // seals that claim to be old: they are not believed
        ("UPDATE audit_seal SET at = 0", day, vec![]),
        (
            "UPDATE audit SET at = 0 WHERE sequence = 10",
            day,
            vec![of(10, Tampering::Changed)],
        ),
        (
            "UPDATE audit SET caller = 'somebody' WHERE sequence = 3",
            all,
            vec![of(3, Tampering::Changed)],
        ),
        (
            "DELETE FROM audit WHERE sequence = 4",
            all,
            vec![of(4, Tampering::Removed { to: 4 })],
        ),
        (
            "INSERT INTO audit_trim SELECT 0, 10, previous, 1, hash FROM audit_seal WHERE first = 11",
            all,
            vec![
                of(10, Tampering::Mark),
                of(1, Tampering::Inserted),
                of(1, Tampering::Seal),
            ],
        ),
    ] {
        meddle(&store, sql).await;
        let db = open(&store).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!(db.audit().trim(keep).await.unwrap(), 0, "{sql}");
        let found = db.audit().verify(&[]).await.unwrap().findings;
        match &found[..] {
            // what else a seal over a wrong range brings to light
            [first, ..] if sql.starts_with("UPDATE audit_seal SET last") => {
                assert_eq!(*first, expected[0]);
            }
            found => assert_eq!(found, expected, "{sql}"),
        }
        db.close().await;
        saved.put_back(&store).await;
    }
    let db = open(&store).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(db.audit().trim(all).await.unwrap(), 35);
    clean(&db).await;
    db.close().await;
}

/// The audit's tables as they were.
enum Saved {
    File(Vec<u8>),
    Tables,
}

impl Saved {
    async fn of(store: &TestStore) -> Self {
        match store.folder() {
            Some(folder) => Self::File(std::fs::read(folder.join("x.db")).unwrap()),
            None => {
                let sql = "CREATE SCHEMA saved; CREATE TABLE saved.audit AS TABLE audit; \
                           CREATE TABLE saved.audit_seal AS TABLE audit_seal; CREATE TABLE saved.lane AS TABLE lane; \
                           CREATE TABLE saved.audit_roll AS TABLE audit_roll";
                meddle(store, sql).await;
                Self::Tables
            }
        }
    }

    async fn put_back(&self, store: &TestStore) {
        match self {
            Self::File(bytes) => {
                let folder = store.folder().unwrap();
                for name in ["x.db-wal", "x.db-shm"] {
                    let _ = std::fs::remove_file(folder.join(name));
                }
                std::fs::write(folder.join("x.db"), bytes).unwrap();
            }
            Self::Tables => {
                let sql = "DELETE FROM audit; DELETE FROM audit_seal; DELETE FROM audit_trim; DELETE FROM lane; \
                           DELETE FROM audit_roll; INSERT INTO audit_roll TABLE saved.audit_roll; \
                           INSERT INTO audit TABLE saved.audit; INSERT INTO audit_seal TABLE saved.audit_seal; \
                           INSERT INTO lane TABLE saved.lane";
                meddle(store, sql).await;
            }
        }
    }
}

async fn retention_takes_whole_seals_and_says_so(store: TestStore) {
    let (db, _) = chained(&store).await;
    let anchors = db.audit().heads().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    // nothing is old enough
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(db.audit().trim(day).await.unwrap(), 0);
    let old = {
        let read = db.read_system().await.unwrap();
        let sql = "SELECT at FROM audit_seal WHERE first = 21";
        read.fetch_one(sql, vec![])
            .await
            .unwrap()
            .unwrap()
            .get::<i64>(0)
            .unwrap()
    };
    let keep = std::time::Duration::from_micros((db.now().0 - old).unsigned_abs());
    // up to the seal that is exactly so old: two are older for certain
    let taken = db.audit().trim(keep).await.unwrap();
    assert!(taken == 20 || taken == 30, "{taken}");
    assert_eq!(db.audit().verify(&anchors).await.unwrap().findings, []);
    put(&db, &caller("a"), "", "later").await.unwrap();
    db.audit().seal().await.unwrap();
    let report = db.audit().verify(&anchors).await.unwrap();
    assert_eq!((report.findings, report.entries), (vec![], 36 - taken));
    // all of it, and on from there
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    db.audit().trim(std::time::Duration::ZERO).await.unwrap();
    put(&db, &caller("a"), "", "latest").await.unwrap();
    assert_eq!(db.audit().seal().await.unwrap(), 1);
    let report = db.audit().verify(&anchors).await.unwrap();
    assert_eq!((report.findings, report.entries), (vec![], 1));
    assert_eq!(report.outdated_anchors, 1);
    db.close().await;
}

async fn entries_cannot_be_changed_through_the_doors(store: TestStore) {
    let (db, _) = chained(&store).await;
    for sql in [
        "UPDATE audit SET caller = 'nobody'",
        "DELETE FROM audit",
        "UPDATE audit_seal SET at = 0",
        "DELETE FROM audit_seal",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit",
    ] {
        if sql.contains("REPLACE") && store.engine == On::Postgres {
            continue; // no such statement there
        }
        let write = db.mutate(&caller("a"), command("", 0)).await.unwrap();
        let error = write.run(sql, vec![]).await.unwrap_err();
        let why = format!("{error:?}");
        assert!(
            why.contains("42501") || why.contains("append-only"),
            "{sql}: {why}"
        );
    }
    clean(&db).await;
    db.close().await;
}

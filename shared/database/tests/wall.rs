//! The second wall: on PostgreSQL, row-level security stops what a broken door or a forgetful query lets pass.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use regard_database::hazard::Hazard;
use regard_database::*;
use regard_testkit::{Engine as On, TestStore};
use regard_types::*;

/// Every note that a caller's door shows, whoever's it is; and the number that a change of all touched.
async fn all(db: &Database, who: &Caller) -> (i64, u64) {
    let read = db.read(who).await.unwrap();
    let seen = read
        .fetch_one("SELECT count(*) FROM note", vec![])
        .await
        .unwrap()
        .unwrap()
        .get(0)
        .unwrap();
    drop(read);
    let write = db.mutate(who, command("", 0)).await.unwrap();
    let changed = write
        .run("UPDATE note SET version = version + 1", vec![])
        .await
        .unwrap();
    (seen, changed)
}

async fn seeded(store: &TestStore) -> (Caller, Caller) {
    let (a, b) = (caller("a"), caller("b"));
    let db = open(store).await;
    for i in 0..3 {
        put(&db, &a, "", &format!("a{i}")).await.unwrap();
    }
    for i in 0..5 {
        put(&db, &b, "", &format!("b{i}")).await.unwrap();
    }
    db.close().await;
    (a, b)
}

fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestStore) -> F) {
    regard_testkit::run(async { test(TestStore::new(On::Postgres).await).await });
}

#[test]
fn statements_without_a_tenant_touch_the_callers_rows_alone() {
    on_postgres(|store| async move {
        let (a, b) = seeded(&store).await;
        let db = open(&store).await;
        assert_eq!(all(&db, &a).await, (3, 3));
        assert_eq!(all(&db, &b).await, (5, 5));
        // a new row of another tenant is refused, and so is a row moved there
        let write = db.mutate(&a, command("", 0)).await.unwrap();
        let moved = write
            .run("UPDATE note SET tenant = $1", vec![b.tenant.0.into()])
            .await;
        assert!(matches!(moved, Err(StoreError::Corrupt(_))), "{moved:?}");
        drop(write);
        // the service's own work sees all
        let system = db.system().await.unwrap();
        let sql = "SELECT count(*) FROM note";
        let n: i64 = system
            .fetch_one(sql, vec![])
            .await
            .unwrap()
            .unwrap()
            .get(0)
            .unwrap();
        assert_eq!(n, 8);
        drop(system);
        // and what it took is gone with its transaction: the same connections serve callers again
        for _ in 0..30 {
            assert_eq!(all(&db, &a).await.0, 3);
        }
        db.close().await;
    });
}

#[cfg(debug_assertions)]
#[test]
fn a_door_that_sets_no_tenant_shows_nothing() {
    on_postgres(|store| async move {
        let (a, _) = seeded(&store).await;
        hazard::arm(&store.url, Hazard::NoTenant);
        let db = open(&store).await;
        assert_eq!(all(&db, &a).await, (0, 0));
        assert_eq!(count(&db, &a, "note").await, 0);
        put(&db, &a, "", "new").await.unwrap_err();
        db.close().await;
    });
}

#[cfg(debug_assertions)]
#[test]
fn a_door_that_sets_another_tenant_shows_a_query_with_the_right_one_nothing() {
    on_postgres(|store| async move {
        let (a, b) = seeded(&store).await;
        hazard::arm(&store.url, Hazard::WrongTenant(b.tenant));
        let db = open(&store).await;
        assert_eq!(count(&db, &a, "note").await, 0);
        put(&db, &a, "", "new").await.unwrap_err();
        db.close().await;
    });
}

#[cfg(debug_assertions)]
#[test]
fn queries_that_forget_their_tenant_are_kept_to_it_and_without_the_wall_are_not() {
    on_postgres(|store| async move {
        let (a, _) = seeded(&store).await;
        hazard::arm(&store.url, Hazard::ForgottenTenant);
        let db = open(&store).await;
        assert_eq!(count(&db, &a, "note").await, 3);
        db.close().await;
        // the proof that the test can fail
        let db = open_with(&DatabaseSettings {
            row_security: false,
            ..settings(&store)
        })
        .await;
        assert_eq!(count(&db, &a, "note").await, 8);
        db.close().await;
        // and back
        let db = open(&store).await;
        assert_eq!(count(&db, &a, "note").await, 3);
        db.close().await;
    });
}

async fn refused(settings: &DatabaseSettings) -> String {
    let opened = Database::open(settings, Service::Customer, notes(), Clock::System, SECRET).await;
    let error = opened.err().unwrap();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn a_role_that_could_pass_the_wall_is_refused() {
    on_postgres(|store| async move {
        // the owner itself
        let owner = DatabaseSettings {
            url: store.migrate_url.clone(),
            migrate_url: String::new(),
            ..settings(&store)
        };
        let why = refused(&owner).await;
        assert!(
            why.contains("migrate_url") && why.contains("row_security"),
            "{why}"
        );
        open(&store).await.close().await;
        let later = DatabaseSettings {
            migrate: false,
            ..owner
        };
        let why = refused(&later).await;
        assert!(why.contains("owns the table"), "{why}");
        let superuser = DatabaseSettings {
            url: store.admin_url(),
            migrate: false,
            ..settings(&store)
        };
        let why = refused(&superuser).await;
        assert!(why.contains("BYPASSRLS"), "{why}");
        // a table that someone opened by hand
        let admin = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
        let run = |sql: &'static str| {
            let admin = admin.clone();
            async move { sqlx::raw_sql(sql).execute(&admin).await.unwrap() }
        };
        let fixed = DatabaseSettings {
            migrate: false,
            ..settings(&store)
        };
        run("ALTER TABLE note NO FORCE ROW LEVEL SECURITY").await;
        let why = refused(&fixed).await;
        assert!(why.contains("table note"), "{why}");
        run("ALTER TABLE note FORCE ROW LEVEL SECURITY; DROP POLICY tenant ON note; CREATE POLICY tenant ON note FOR SELECT USING (true)").await;
        let why = refused(&fixed).await;
        assert!(why.contains("table note"), "{why}");
        open(&store).await.close().await;
        // a policy that lets all through, under the right name
        for sql in [
            "ALTER POLICY tenant ON note USING (true)",
            "ALTER POLICY tenant ON note WITH CHECK (true)",
            "ALTER POLICY system ON note USING (false)",
        ] {
            run(sql).await;
            let why = refused(&fixed).await;
            assert!(why.contains("table note"), "{sql}: {why}");
            open(&store).await.close().await;
            open_with(&fixed).await.close().await;
        }
        // the migrations set it right
        open(&store).await.close().await;
        open_with(&fixed).await.close().await;
        // switched off without the migrations
        let off = DatabaseSettings {
            row_security: false,
            ..fixed.clone()
        };
        let why = refused(&off).await;
        assert!(why.contains("row_security is \"off\""), "{why}");
        admin.close().await;
    });
}

#[test]
fn a_schema_step_moves_rows_of_every_tenant() {
    on_postgres(|store| async move {
        let (a, b) = seeded(&store).await;
        let mut steps = notes();
        steps.push(Step::boxed("note_moved", |_| {
            vec!["UPDATE note SET body = body || '!'".to_owned()]
        }));
        let settings = settings(&store);
        let db = Database::open(&settings, Service::Customer, steps, Clock::System, SECRET).await;
        let db = db.unwrap();
        for (who, n) in [(&a, 3), (&b, 5)] {
            let read = db.read(who).await.unwrap();
            let sql = "SELECT count(*) FROM note WHERE body LIKE '%!'";
            let row = read.fetch_one(sql, vec![]).await.unwrap().unwrap();
            assert_eq!(row.get::<i64>(0).unwrap(), n);
        }
        db.close().await;
    });
}

#[test]
fn the_migrations_make_the_system_role_or_say_what_an_administrator_runs() {
    on_postgres(|store| async move {
        let admin = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
        let name = store.database().unwrap().name.clone();
        let run = |sql: String| {
            let admin = admin.clone();
            async move {
                let sql = sqlx::AssertSqlSafe(sql);
                sqlx::raw_sql(sql).execute(&admin).await.unwrap()
            }
        };
        let (owner, service) = (format!("o_{name}"), format!("s_{name}"));
        run(format!(
            "CREATE ROLE {owner} LOGIN; CREATE ROLE {service} LOGIN; ALTER DATABASE {name} OWNER TO {owner}"
        ))
        .await;
        let with = |role: &str| store.url.replacen("regard@", &format!("{role}@"), 1);
        let mine = DatabaseSettings {
            url: with(&service),
            migrate_url: with(&owner),
            ..settings(&store)
        };
        let why = refused(&mine).await;
        let remedy = format!(
            "CREATE ROLE \"{service}_system\" NOLOGIN; GRANT \"{service}_system\" TO \"{service}\""
        );
        assert!(why.contains(&remedy), "{why}");
        run(format!("ALTER ROLE {owner} CREATEROLE")).await;
        let db = open_with(&mine).await;
        put(&db, &caller("a"), "", "x").await.unwrap();
        assert_eq!(all(&db, &caller("b")).await, (0, 0));
        assert_eq!(all(&db, &caller("a")).await, (1, 1));
        db.close().await;
        admin.close().await;
    });
}

#[test]
fn a_service_cannot_change_or_remove_what_it_has_audited() {
    on_postgres(|store| async move {
        let (a, _) = seeded(&store).await;
        let db = open(&store).await;
        for sql in [
            "UPDATE audit SET caller = 'nobody'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "DELETE FROM seaql_migrations",
            "ALTER TABLE note DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON note",
            "CREATE TABLE mine (id int)",
        ] {
            let write = db.mutate(&a, command("", 0)).await.unwrap();
            let error = write.run(sql, vec![]).await.unwrap_err();
            let why = format!("{error:?}");
            assert!(why.contains("42501"), "{sql}: {why}");
        }
        db.close().await;
    });
}

#[test]
fn statements_apart_set_their_tenant_themselves() {
    on_postgres(|store| async move {
        let (a, b) = seeded(&store).await;
        let db = open(&store).await;
        for _ in 0..3 {
            for (who, n) in [(&a, 3), (&b, 5)] {
                let read = db.glance(who).await.unwrap();
                let ids: Vec<Uuid> = read
                    .fetch("SELECT id, body FROM note ORDER BY body LIMIT 100", vec![])
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| row.get(0).unwrap())
                    .collect();
                assert_eq!(ids.len(), n);
                // a further statement of the same door, by every way to ask
                let sql = "SELECT count(*), max(body) FROM note WHERE tenant = $1";
                let row = read
                    .fetch_one(sql, vec![who.tenant.0.into()])
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(row.get::<i64>(0).unwrap(), n as i64);
                let sql = "SELECT id FROM note WHERE tenant = $1 AND id {in}";
                let found = read
                    .fetch_in(sql, vec![who.tenant.0.into()], &ids)
                    .await
                    .unwrap();
                assert_eq!(found.len(), n);
                let other = if n == 3 { &b } else { &a };
                let found = read
                    .fetch_in(sql, vec![other.tenant.0.into()], &ids)
                    .await
                    .unwrap();
                assert!(found.is_empty());
                // it only reads
                assert!(read.run("DELETE FROM note", vec![]).await.is_err());
            }
        }
        // a connection that died is passed over
        let admin = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
        sqlx::raw_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&admin)
        .await
        .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let read = db.glance(&a).await.unwrap();
        assert_eq!(
            read.fetch("SELECT id FROM note", vec![])
                .await
                .unwrap()
                .len(),
            3
        );
        drop(read);
        admin.close().await;
        db.close().await;
    });
}

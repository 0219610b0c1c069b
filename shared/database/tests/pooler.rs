//! Behind a transaction pooler: the doors work, tenants stay apart though they share server connections, and no statement
//! meets another's.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use regard_database::*;
use regard_testkit::{Engine as On, Pooler, TestStore, run};

#[test]
fn a_transaction_pooler_keeps_tenants_apart() {
    run(async {
        let store = TestStore::new(On::Postgres).await;
        let pooler = Pooler::start(store.database().unwrap()).await;
        let db = open_with(&DatabaseSettings {
            url: pooler.url.clone(),
            pooler: true,
            ..settings(&store)
        })
        .await;
        let mut tasks = tokio::task::JoinSet::new();
        for t in 0..8 {
            let db = db.clone();
            tasks.spawn(async move {
                let me = caller(if t % 2 == 0 { "even" } else { "odd" });
                for i in 0..25 {
                    put(&db, &me, &format!("{t}-{i}"), &format!("{t} {i}"))
                        .await
                        .unwrap();
                    // one at a time: few server connections are shared by all
                    for glance in [false, true] {
                        let read = match glance {
                            true => db.glance(&me).await.unwrap(),
                            false => db.read(&me).await.unwrap(),
                        };
                        let sql = "SELECT DISTINCT tenant FROM note";
                        let rows = read.fetch(sql, vec![]).await.unwrap();
                        assert_eq!(rows.len(), 1);
                        assert_eq!(rows[0].get::<regard_types::Uuid>(0).unwrap(), me.tenant.0);
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        for name in ["even", "odd"] {
            assert_eq!(count(&db, &caller(name), "note").await, 100);
        }
        let system = db.read_system().await.unwrap();
        let sql = "SELECT count(*) FROM note";
        let all = system.fetch_one(sql, vec![]).await.unwrap().unwrap();
        assert_eq!(all.get::<i64>(0).unwrap(), 200);
        drop(system);
        assert_eq!(db.audit().seal().await.unwrap(), 200);
        assert_eq!(db.audit().verify(&[]).await.unwrap().findings, []);
        db.close().await;
    });
}

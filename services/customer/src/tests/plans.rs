//! Every list reads by an index: the engines' own plans say so, on tables of a size where it matters.

use regard_database::{Engine, Tx, Value};
use regard_testkit::{TestStore, on_both_engines};
use regard_types::{CustomerId, TenantId, Uuid};
use sea_orm::{DbBackend, QueryTrait as _};

use super::*;
use crate::customer::CustomerKind;
use crate::customer::store::Filter;

on_both_engines!(lists_use_their_indexes);

/// The plan of a statement as one text.
async fn plan(tx: &Tx, sql: &str, values: Vec<Value>) -> String {
    let explain = match tx.engine() {
        Engine::Sqlite => "EXPLAIN QUERY PLAN",
        Engine::Postgres => "EXPLAIN",
    };
    let column = match tx.engine() {
        Engine::Sqlite => 3,
        Engine::Postgres => 0,
    };
    let rows = tx.fetch(format!("{explain} {sql}"), values).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(column).unwrap()).collect();
    lines.join("\n")
}

async fn check<E: sea_orm::EntityTrait>(tx: &Tx, query: sea_orm::Select<E>, index: &str) {
    let backend = match tx.engine() {
        Engine::Sqlite => DbBackend::Sqlite,
        Engine::Postgres => DbBackend::Postgres,
    };
    let statement = query.build(backend);
    let plan = plan(tx, &statement.sql, statement.values.unwrap().0).await;
    assert!(plan.contains(index), "{}\n{plan}", statement.sql);
    assert!(!plan.contains("Seq Scan"), "{plan}");
    assert!(
        !plan.contains("Sort") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

async fn lists_use_their_indexes(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    for batch in 0..4 {
        let rows = (0..2_000).map(|i| {
            let mut order = order(&format!("{batch}-{i}"), &format!("c{}", i % 500), 100, i);
            order.units = i;
            pb::OrderRow {
                order: Some(order),
                revision: 0,
            }
        });
        client.ingest(rows.collect()).await;
    }
    let people = (0..3_000).map(|i| pb::CustomerRow {
        customer: Some(pb::Customer {
            key: Some(key(&format!("p{i}"))),
            email: format!("p{i}@example.org"),
            kind: i32::from(i % 50 == 0) + 1,
            ..pb::Customer::default()
        }),
        revision: 0,
    });
    client.ingest_customers(people.collect()).await;
    let system = world.core.db.system().await.unwrap();
    for table in [
        "sales_order",
        "customer",
        "customer_key",
        "refund",
        "merge_edge",
    ] {
        let sql = match system.engine() {
            Engine::Sqlite => format!("ANALYZE {table}"),
            // only the owner may, and this function is its
            Engine::Postgres => format!("SELECT regard_analyze('{table}')"),
        };
        system.run(sql, vec![]).await.unwrap();
    }
    system.commit().await.unwrap();
    let tenant: TenantId = world.core.db.secret().tenant_id("default");
    let ids = world.core.db.ids(tenant);
    let customer = CustomerId(ids.id_parts("customer", "shop", "c7"));
    let sqlite = world.core.db.engine() == Engine::Sqlite;
    let caller = regard_types::Caller::new(tenant, "default", "plans");
    let tx = world.core.db.read(&caller).await.unwrap();
    let orders = crate::order::store::page_query;
    for after in [None, Some((NOW, Uuid::from_u128(7)))] {
        for voided in [false, true] {
            check(
                &tx,
                orders(tenant, customer, voided, after, 51),
                "sales_order_customer",
            )
            .await;
        }
    }
    let customers = crate::customer::store::page_query;
    let key = if sqlite {
        "sqlite_autoindex_customer"
    } else {
        "customer_pkey"
    };
    let all = Filter::default();
    let after = Some(Uuid::from_u128(7));
    check(&tx, customers(tenant, &ids, &all, after, 51), key).await;
    let kind = Filter {
        kind: Some(CustomerKind::Organisation),
        ..Filter::default()
    };
    check(
        &tx,
        customers(tenant, &ids, &kind, after, 51),
        "customer_kind",
    )
    .await;
    // an e-mail address has few customers: they are looked up, and may be sorted
    let email = Filter {
        email: "p7@example.org".into(),
        ..Filter::default()
    };
    let statement = customers(tenant, &ids, &email, after, 51).build(match sqlite {
        true => DbBackend::Sqlite,
        false => DbBackend::Postgres,
    });
    let text = plan(&tx, &statement.sql, statement.values.unwrap().0).await;
    assert!(
        !text.contains("Seq Scan") && !text.contains("SCAN customer"),
        "{text}"
    );
    // what is linked to an order, and what is looked up by id
    let sums = "SELECT order_id, SUM(amount) FROM refund WHERE tenant = $1 AND order_id IS NOT NULL AND order_id = $2 \
         GROUP BY order_id";
    let text = plan(&tx, sums, vec![tenant.0.into(), customer.0.into()]).await;
    assert!(text.contains("refund_order") || !sqlite, "{text}");
    let some = "SELECT id FROM sales_order WHERE tenant = $1 AND id = $2";
    let text = plan(&tx, some, vec![tenant.0.into(), customer.0.into()]).await;
    assert!(
        !text.contains("Seq Scan") && !text.contains("SCAN"),
        "{text}"
    );
}

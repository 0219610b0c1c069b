use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regard_proto::customer::v1::measures::Record;
use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    a_watcher_sees_every_change_once,
    a_snapshot_equals_the_feed,
    a_caller_sees_its_tenant
);

/// (kind, record, version) of a change.
fn name(change: &pb::Change) -> (&'static str, String, i64) {
    let header = change.header.as_ref().unwrap();
    let kind = match change.measures.as_ref().unwrap().record.as_ref().unwrap() {
        Record::Customer(_) => "customer",
        Record::Order(_) => "order",
        Record::Refund(_) => "refund",
        Record::Merge(_) => "merge",
        Record::Tenant(_) => "tenant",
        Record::Erasure(_) => "erasure",
    };
    (kind, header.record_id.clone(), header.version)
}

/// What a busy day leaves: customers, orders, corrections, refunds, merges.
async fn busy(client: &mut Client) {
    let rows = (0..60).map(|i| row(&i.to_string(), &format!("c{}", i % 11), i * 10 + 10));
    client.ingest(rows.collect()).await;
    client
        .ingest(
            (0..20)
                .map(|i| row(&i.to_string(), &format!("c{}", i % 11), i * 10 + 15))
                .collect(),
        )
        .await;
    let refund = pb::RecordRefundRequest {
        refund: Some(pb::Refund {
            customer: Some(customer_ref("c3")),
            order: Some(record_ref("3")),
            refund_time: Some(at(10)),
            amount: Some(usd(1)),
            ..pb::Refund::default()
        }),
        ..pb::RecordRefundRequest::default()
    };
    client.orders.record_refund(refund).await.unwrap();
    let merge = pb::MergeCustomersRequest {
        from: Some(customer_ref("c1")),
        into: Some(customer_ref("c2")),
        ..pb::MergeCustomersRequest::default()
    };
    client.customers.merge_customers(merge).await.unwrap();
    let end = pb::UnmergeCustomersRequest {
        customer: Some(customer_ref("c1")),
        ..pb::UnmergeCustomersRequest::default()
    };
    client.customers.unmerge_customers(end).await.unwrap();
}

/// Follows the feed until nothing is missing for a while; the changes by lane.
async fn follow(client: &mut Client, expected: usize) -> BTreeMap<u32, Vec<pb::Change>> {
    let request = pb::WatchChangesRequest::default();
    let mut stream = client
        .changes
        .watch_changes(request)
        .await
        .unwrap()
        .into_inner();
    let mut lanes: BTreeMap<u32, (u64, Vec<pb::Change>)> = BTreeMap::new();
    while lanes.values().map(|l| l.1.len()).sum::<usize>() < expected {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
        let batch = next.unwrap().unwrap().unwrap();
        let lane = lanes.entry(batch.lane).or_default();
        assert_eq!(lane.0, batch.from_position, "a lane has no gap");
        lane.0 = batch.to_position;
        lane.1.extend(batch.changes);
    }
    lanes
        .into_iter()
        .map(|(lane, (_, changes))| (lane, changes))
        .collect()
}

async fn snapshot(client: &mut Client, restarts: bool) -> BTreeSet<(&'static str, String, i64)> {
    let mut seen = BTreeSet::new();
    let mut token = String::new();
    loop {
        let request = pb::SnapshotChangesRequest {
            resume_token: token.clone(),
            ..pb::SnapshotChangesRequest::default()
        };
        let mut stream = client
            .changes
            .snapshot_changes(request)
            .await
            .unwrap()
            .into_inner();
        while let Some(page) = stream.message().await.unwrap() {
            assert!(!token.is_empty() || !page.heads.is_empty());
            seen.extend(page.changes.iter().map(name));
            token = page.resume_token;
            if page.done {
                return seen;
            }
            if restarts {
                break;
            }
        }
    }
}

async fn a_watcher_sees_every_change_once(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let mut watcher = world.operator();
    let (lanes, ()) = tokio::join!(
        // the tenant, 11 customers, 60 orders, 20 corrections, a refund, two versions of an edge
        follow(&mut watcher, 95),
        busy(&mut client)
    );
    let all: Vec<_> = lanes.values().flatten().map(name).collect();
    let once: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!((all.len(), once.len()), (95, 95));
    for changes in lanes.values() {
        let positions: Vec<_> = changes
            .iter()
            .map(|c| c.header.as_ref().unwrap().position)
            .collect();
        assert!(positions.windows(2).all(|w| w[0] + 1 == w[1]));
    }
    let order = lanes
        .values()
        .flatten()
        .find(|c| name(c).0 == "order" && name(c).2 == 2)
        .unwrap();
    let header = order.header.as_ref().unwrap();
    assert_eq!((header.occurred_micros, header.recorded_micros), (NOW, NOW));
    assert!(!header.customer_id.is_empty());
}

async fn a_snapshot_equals_the_feed(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    busy(&mut client).await;
    let mut operator = world.operator();
    let fed: BTreeSet<_> = follow(&mut operator, 95)
        .await
        .values()
        .flatten()
        .map(name)
        .collect();
    assert_eq!(snapshot(&mut operator, false).await, fed);
    assert_eq!(snapshot(&mut operator, true).await, fed);
    let bad = pb::SnapshotChangesRequest {
        resume_token: "AAAA".into(),
        ..pb::SnapshotChangesRequest::default()
    };
    let status = operator.changes.snapshot_changes(bad).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOKEN_INVALID");
}

async fn a_caller_sees_its_tenant(store: TestStore) {
    let world = World::new(store).await;
    let mut acme = world.client_of("acme");
    let request = pb::CreateTenantRequest {
        tenant: Some(pb::Tenant {
            name: "acme".into(),
            ..pb::Tenant::default()
        }),
        ..pb::CreateTenantRequest::default()
    };
    acme.tenants.create_tenant(request).await.unwrap();
    busy(&mut world.client()).await;
    acme.ingest(vec![row("1", "ann", 1)]).await;
    let id = world.core.db.secret().tenant_id("acme").to_string();
    let lanes = follow(&mut acme, 3).await;
    assert!(
        lanes
            .values()
            .flatten()
            .all(|c| c.header.as_ref().unwrap().tenant_id == id)
    );
    assert_eq!(snapshot(&mut acme, false).await.len(), 3);
}

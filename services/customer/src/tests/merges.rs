use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    a_merge_and_its_end,
    evidence_is_a_code,
    rings_cannot_be_made,
    merges_at_once_make_no_ring
);

async fn merge(
    client: &mut Client,
    from: &str,
    into: &str,
) -> Result<pb::MergeCustomersResponse, Status> {
    let request = pb::MergeCustomersRequest {
        from: Some(customer_ref(from)),
        into: Some(customer_ref(into)),
        evidence: "same_email".into(),
        ..pb::MergeCustomersRequest::default()
    };
    Ok(client
        .customers
        .merge_customers(request)
        .await?
        .into_inner())
}

async fn unmerge(
    client: &mut Client,
    customer: &str,
) -> Result<pb::UnmergeCustomersResponse, Status> {
    let request = pb::UnmergeCustomersRequest {
        customer: Some(customer_ref(customer)),
        ..pb::UnmergeCustomersRequest::default()
    };
    Ok(client
        .customers
        .unmerge_customers(request)
        .await?
        .into_inner())
}

async fn evidence_is_a_code(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    for evidence in ["mother of Ada Byron, +43 1 2345", "Ada", "9", "a-b"] {
        let request = pb::MergeCustomersRequest {
            from: Some(customer_ref("a")),
            into: Some(customer_ref("b")),
            evidence: evidence.to_owned(),
            ..pb::MergeCustomersRequest::default()
        };
        let status = client.customers.merge_customers(request).await.unwrap_err();
        assert_eq!(
            reason(&status, Code::InvalidArgument),
            "FIELD_INVALID",
            "{evidence}"
        );
    }
}

async fn canonical(client: &mut Client, customer: &str) -> String {
    let request = pb::GetCustomerRequest {
        customer: Some(customer_ref(customer)),
    };
    client
        .customers
        .get_customer(request)
        .await
        .unwrap()
        .into_inner()
        .customer
        .unwrap()
        .canonical_id
}

async fn a_merge_and_its_end(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let (ann, bob, cid) = (
        client.customer("ann").await,
        client.customer("bob").await,
        client.customer("cid").await,
    );
    assert_eq!(ann.canonical_id, ann.id);
    let merged = merge(&mut client, "ann", "bob").await.unwrap();
    assert_eq!(merged.customer.unwrap().canonical_id, bob.id);
    merge(&mut client, "bob", "cid").await.unwrap();
    assert_eq!(canonical(&mut client, "ann").await, cid.id);
    let end = unmerge(&mut client, "bob").await.unwrap();
    assert_eq!(end.customer.unwrap().canonical_id, bob.id);
    assert_eq!(canonical(&mut client, "ann").await, bob.id);
    let status = unmerge(&mut client, "bob").await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    unmerge(&mut client, "ann").await.unwrap();
    // the same edge again: its versions count on
    merge(&mut client, "ann", "cid").await.unwrap();
    assert_eq!(canonical(&mut client, "ann").await, cid.id);
    let sql = "SELECT max(version) FROM merge_edge";
    assert_eq!(world.count(sql).await, 3);
    assert_eq!(
        world.count("SELECT count(*) FROM merge_edge_history").await,
        3
    );
    // orders stay with the customer that they were recorded for
    client.record(order("1", "ann", 500, 0)).await.unwrap();
    assert_eq!(
        client.order("1").await.unwrap().customer.unwrap().customer,
        Some(common::customer_ref::Customer::Id(ann.id))
    );
    // a repeat answers as the first call did
    let mut request = pb::UnmergeCustomersRequest {
        customer: Some(customer_ref("ann")),
        request_id: request_id(),
        ..pb::UnmergeCustomersRequest::default()
    };
    let first = client
        .customers
        .unmerge_customers(request.clone())
        .await
        .unwrap()
        .into_inner();
    merge(&mut client, "ann", "bob").await.unwrap();
    let again = client
        .customers
        .unmerge_customers(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    request.validate_only = true;
    request.request_id = String::new();
    client.customers.unmerge_customers(request).await.unwrap();
    assert_eq!(canonical(&mut client, "ann").await, bob.id);
}

async fn rings_cannot_be_made(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    for name in ["ann", "bob", "cid"] {
        client.customer(name).await;
    }
    merge(&mut client, "ann", "bob").await.unwrap();
    let bob = canonical(&mut client, "bob").await;
    for (from, into) in [
        ("bob", "ann"),
        ("cid", "ann"),
        ("ann", "cid"),
        ("ann", "bob"),
    ] {
        let status = merge(&mut client, from, into).await.unwrap_err();
        assert_eq!(
            reason(&status, Code::FailedPrecondition),
            "MERGE_NOT_CANONICAL",
            "{from} {into}"
        );
        assert_eq!(meta(&status, "canonical_id"), bob);
    }
    let status = merge(&mut client, "bob", "bob").await.unwrap_err();
    assert_eq!(fields(&status), ["from"]);
    let status = merge(&mut client, "bob", "nobody").await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    assert_eq!(fields(&status), ["into"]);
}

async fn merges_at_once_make_no_ring(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let names: Vec<String> = (0..6).map(|i| format!("c{i}")).collect();
    for name in &names {
        client.customer(name).await;
    }
    for round in 0..6 {
        // every customer into the next one, all at once: at least one must lose
        let tries = (0..names.len()).map(|i| {
            let (from, into) = (&names[i], &names[(i + 1 + round) % names.len()]);
            let mut client = world.client();
            async move { from != into && merge(&mut client, from, into).await.is_ok() }
        });
        let done = futures::future::join_all(tries).await;
        assert!(done.iter().any(|ok| *ok) || round == 5 || done.len() == 1);
        // reading walks every edge: a ring would be an error
        for name in &names {
            canonical(&mut client, name).await;
        }
        for name in &names {
            let _ = unmerge(&mut client, name).await;
        }
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM merge_edge WHERE ended = 0")
            .await,
        0
    );
}

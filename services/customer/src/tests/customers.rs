use regard_proto::common::v1::ErrorReason;
use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    a_customer_is_created_read_and_changed,
    lists_filter_and_page,
    ingest_of_customers,
    names_are_not_in_the_measures,
    large_customers_still_fit,
);

fn person(external_id: &str, name: &str, email: &str) -> pb::Customer {
    pb::Customer {
        key: Some(key(external_id)),
        display_name: name.into(),
        email: email.into(),
        ..pb::Customer::default()
    }
}

async fn create(client: &mut Client, customer: pb::Customer) -> Result<pb::Customer, Status> {
    let request = pb::CreateCustomerRequest {
        customer: Some(customer),
        ..pb::CreateCustomerRequest::default()
    };
    Ok(client
        .customers
        .create_customer(request)
        .await?
        .into_inner()
        .customer
        .unwrap())
}

async fn a_customer_is_created_read_and_changed(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let mut request = pb::CreateCustomerRequest {
        customer: Some(pb::Customer {
            attributes: [("age_band".to_owned(), "30-39".to_owned())]
                .into_iter()
                .collect(),
            customer_since: Some(regard_proto::google::r#type::Date {
                year: 2020,
                month: 2,
                day: 29,
            }),
            ..person("1", "Ann Lee", "Ann@Example.org")
        }),
        request_id: request_id(),
        ..pb::CreateCustomerRequest::default()
    };
    let first = client
        .customers
        .create_customer(request.clone())
        .await
        .unwrap()
        .into_inner();
    let ann = first.customer.clone().unwrap();
    assert_eq!((ann.version, ann.kind()), (1, pb::CustomerKind::Person));
    let get = pb::GetCustomerRequest {
        customer: Some(customer_ref("1")),
    };
    assert_eq!(
        client
            .customers
            .get_customer(get.clone())
            .await
            .unwrap()
            .into_inner()
            .customer,
        Some(ann.clone())
    );
    let status = create(&mut client, person("1", "Ann", ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::AlreadyExists), "RECORD_EXISTS");
    world.later(5);
    let change = |paths: &[&str], etag: &str| pb::UpdateCustomerRequest {
        target: Some(customer_ref("1")),
        customer: Some(pb::Customer {
            email: "new@example.org".into(),
            kind: pb::CustomerKind::Organisation.into(),
            ..pb::Customer::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        }),
        etag: etag.to_owned(),
        ..pb::UpdateCustomerRequest::default()
    };
    let second = client
        .customers
        .update_customer(change(&["email"], &ann.etag))
        .await
        .unwrap()
        .into_inner();
    let second = second.customer.unwrap();
    assert_eq!(
        (second.email.as_str(), second.display_name.as_str()),
        ("new@example.org", "Ann Lee")
    );
    assert_eq!(
        (second.version, &second.attributes, second.kind()),
        (2, &ann.attributes, pb::CustomerKind::Person)
    );
    let status = client
        .customers
        .update_customer(change(&["kind"], &ann.etag))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::Aborted), "ETAG_MISMATCH");
    // nothing new is no version
    let same = client
        .customers
        .update_customer(change(&["email"], ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (same.customer.unwrap().version, same.change_token.as_str()),
        (2, "")
    );
    // an empty mask takes everything
    let all = client
        .customers
        .update_customer(change(&[], ""))
        .await
        .unwrap()
        .into_inner()
        .customer
        .unwrap();
    assert_eq!(
        (all.kind(), all.display_name.as_str(), all.customer_since),
        (pb::CustomerKind::Organisation, "", None)
    );
    // look-ups follow
    for (email, found) in [("ann@example.org", 0), ("NEW@example.org", 1)] {
        let list = pb::ListCustomersRequest {
            email: email.into(),
            ..pb::ListCustomersRequest::default()
        };
        assert_eq!(
            client
                .customers
                .list_customers(list)
                .await
                .unwrap()
                .into_inner()
                .customers
                .len(),
            found
        );
    }
    // the first answer again, name and all
    assert_eq!(
        client
            .customers
            .create_customer(request.clone())
            .await
            .unwrap()
            .into_inner(),
        first
    );
    request.customer.as_mut().unwrap().display_name = "Eve".into();
    let status = client.customers.create_customer(request).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::FailedPrecondition),
        "REQUEST_ID_REUSED"
    );
    let missing = pb::GetCustomerRequest {
        customer: Some(customer_ref("none")),
    };
    let status = client.customers.get_customer(missing).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    let batch = pb::BatchGetCustomersRequest {
        customers: vec![
            customer_ref("x"),
            customer_ref("1"),
            customer_ref("y"),
            customer_ref("1"),
        ],
    };
    let found = client
        .customers
        .batch_get_customers(batch)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((found.customers.len(), found.missing), (2, vec![0, 2]));
}

async fn lists_filter_and_page(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let rows = (0..30).map(|i| pb::CustomerRow {
        customer: Some(pb::Customer {
            kind: i32::from(i % 3 == 0) + 1,
            ..person(
                &i.to_string(),
                "",
                if i < 3 { "shared@example.org" } else { "" },
            )
        }),
        revision: 0,
    });
    client.ingest_customers(rows.collect()).await;
    let list = |kind: i32, email: &str, page_token: String| pb::ListCustomersRequest {
        kind,
        email: email.into(),
        page_size: 4,
        page_token,
    };
    for (kind, email, expected) in [
        (0, "", 30),
        (2, "", 10),
        (1, "", 20),
        (0, "Shared@Example.org", 3),
        (2, "shared@example.org", 1),
    ] {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = client
                .customers
                .list_customers(list(kind, email, token))
                .await
                .unwrap()
                .into_inner();
            ids.extend(page.customers.into_iter().map(|c| c.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(ids.len(), expected, "{kind} {email}");
        assert!(ids.is_sorted());
        ids.dedup();
        assert_eq!(ids.len(), expected);
    }
}

async fn ingest_of_customers(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let row = |id: &str, name: &str, revision| pb::CustomerRow {
        customer: Some(person(id, name, "")),
        revision,
    };
    let mut bad = row("3", "x", 0);
    bad.customer
        .as_mut()
        .unwrap()
        .attributes
        .insert("Bad Name".into(), "1".into());
    let mut keyless = row("4", "x", 0);
    keyless.customer.as_mut().unwrap().key = None;
    let mut both = bad.clone();
    both.customer.as_mut().unwrap().key = None;
    let rows = vec![
        row("1", "Ann", 0),
        row("2", "Bob", 7),
        row("1", "Ann", 0),
        row("1", "Anna", 0),
        bad,
        keyless,
        both,
    ];
    let result = client.ingest_customers(rows).await;
    assert_eq!(counts(&result), (2, 1, 4));
    assert_eq!(
        rejected(&result),
        [
            (3, ErrorReason::DuplicateInBatch),
            (4, ErrorReason::FieldInvalid),
            (5, ErrorReason::FieldInvalid),
            (6, ErrorReason::FieldInvalid)
        ]
    );
    let told = &result.rejected[3].violations;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1].field, "customer.key");
    for (name, revision, expected) in [
        ("Bob", 7, (0, 1, 0)),
        ("Rob", 6, (0, 1, 0)),
        ("Rob", 8, (1, 0, 0)),
        ("Bob", 0, (0, 1, 0)),
        ("Bob", 9, (1, 0, 0)),
    ] {
        let result = client
            .ingest_customers(vec![row("2", name, revision)])
            .await;
        assert_eq!(counts(&result), expected, "{name} {revision}");
    }
    // a customer that an order made gets its name later
    client.record(order("o", "5", 100, 0)).await.unwrap();
    assert_eq!(
        counts(&client.ingest_customers(vec![row("5", "Eve", 0)]).await),
        (1, 0, 0)
    );
    assert_eq!(
        world.count("SELECT count(*) FROM customer_history").await,
        3
    );
}

async fn names_are_not_in_the_measures(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    create(&mut client, person("1", "Ann Lee", "ann@example.org"))
        .await
        .unwrap();
    let tx = world.core.db.read_system().await.unwrap();
    for row in tx
        .fetch("SELECT measures FROM change", vec![])
        .await
        .unwrap()
    {
        let bytes: Vec<u8> = row.get(0).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("Ann"));
    }
    // neither in clear among the look-ups
    for row in tx
        .fetch("SELECT digest FROM customer_key", vec![])
        .await
        .unwrap()
    {
        assert_eq!(row.digest(0).unwrap().len(), 32);
    }
    assert_eq!(world.count("SELECT count(*) FROM customer_key").await, 3);
}

async fn large_customers_still_fit(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let traits = |i: usize| (0..50).map(move |n| (format!("a{n}_{i:0>50}"), "x".repeat(60)));
    let rows = |from: usize| {
        let row = |i: usize| pb::CustomerRow {
            customer: Some(pb::Customer {
                attributes: traits(i).collect(),
                ..person(&i.to_string(), "", "")
            }),
            revision: 0,
        };
        (from..from + 300).map(row).collect::<Vec<_>>()
    };
    for from in [0, 300, 600] {
        assert_eq!(
            counts(&client.ingest_customers(rows(from)).await),
            (300, 0, 0)
        );
    }
    let mut list = pb::ListCustomersRequest {
        page_size: 1_000,
        ..pb::ListCustomersRequest::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client
            .customers
            .list_customers(list.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.customers.len() < 900);
        ids.extend(page.customers.into_iter().map(|c| c.id));
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
    }
    assert_eq!(ids.len(), 900);
    assert!(ids.is_sorted());
    let batch = pb::BatchGetCustomersRequest {
        customers: (0..900).map(|i| customer_ref(&i.to_string())).collect(),
    };
    let status = client
        .customers
        .batch_get_customers(batch)
        .await
        .unwrap_err();
    assert_eq!(
        reason(&status, Code::ResourceExhausted),
        "MESSAGE_TOO_LARGE"
    );
}

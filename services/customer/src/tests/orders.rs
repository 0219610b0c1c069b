use regard_proto::common::v1::ErrorReason;
use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    a_repeated_row_changes_nothing,
    revisions_order_the_versions_of_a_source,
    a_bad_row_rejects_only_itself,
    one_key_twice_in_a_batch,
    unknown_customers,
    the_customer_of_an_order_is_fixed,
    corrections_keep_the_history,
    a_request_id_answers_once,
    validate_only_stores_nothing,
    batches_are_all_or_none,
    pages_are_stable_under_inserts,
    writers_of_the_same_rows,
    a_token_names_the_write,
);

async fn a_repeated_row_changes_nothing(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let result = client
        .ingest(vec![row("1", "ann", 500), row("2", "bob", 700)])
        .await;
    assert_eq!(counts(&result), (2, 0, 0));
    assert!(!result.change_token.is_empty());
    let heads = world
        .count("SELECT CAST(SUM(head) AS bigint) FROM lane")
        .await;
    // the same again
    let result = client
        .ingest(vec![row("1", "ann", 500), row("2", "bob", 700)])
        .await;
    assert_eq!(counts(&result), (0, 2, 0));
    assert_eq!(result.change_token, "");
    // another content is a correction, and the first content again is a late resend of what was
    assert_eq!(
        counts(&client.ingest(vec![row("1", "ann", 900)]).await),
        (1, 0, 0)
    );
    assert_eq!(
        counts(&client.ingest(vec![row("1", "ann", 500)]).await),
        (0, 1, 0)
    );
    let order = client.order("1").await.unwrap();
    assert_eq!((order.gross, order.version), (Some(usd(900)), 2));
    assert_eq!(
        world
            .count("SELECT CAST(SUM(head) AS bigint) FROM lane")
            .await,
        heads + 1
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM sales_order_history")
            .await,
        1
    );
    // two customers, two orders, one correction, and the tenant
    assert_eq!(world.count("SELECT count(*) FROM change").await, 6);
}

async fn revisions_order_the_versions_of_a_source(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    for (cents, revision, expected) in [
        (500, 1, (1, 0, 0)),
        (600, 3, (1, 0, 0)),
        (550, 2, (0, 1, 0)), // late: older than what is stored
        (600, 3, (0, 1, 0)),
        (700, 3, (0, 1, 0)), // the same revision says it once
        (500, 4, (1, 0, 0)), // A, B, A
        (500, 5, (1, 0, 0)), // a newer revision counts even with the same content
        (900, 0, (1, 0, 0)), // without a revision, content decides
        (500, 0, (0, 1, 0)),
        (800, 5, (0, 1, 0)), // the last revision is still known
    ] {
        let result = client
            .ingest(vec![revised("1", "ann", cents, revision)])
            .await;
        assert_eq!(counts(&result), expected, "{cents} {revision}");
    }
    let order = client.order("1").await.unwrap();
    assert_eq!((order.gross, order.version), (Some(usd(900)), 5));
}

async fn a_bad_row_rejects_only_itself(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let mut euro = row("1", "ann", 500);
    euro.order
        .as_mut()
        .unwrap()
        .gross
        .as_mut()
        .unwrap()
        .currency_code = "EUR".into();
    let mut negative = row("2", "ann", 500);
    negative.order.as_mut().unwrap().gross = Some(Money {
        currency_code: "USD".into(),
        units: -5,
        nanos: 0,
    });
    let mut keyless = row("3", "ann", 500);
    keyless.order.as_mut().unwrap().key = None;
    let mut fine = row("4", "ann", 500);
    fine.order.as_mut().unwrap().gross.as_mut().unwrap().nanos = 1;
    let mut early = row("5", "ann", 500);
    early
        .order
        .as_mut()
        .unwrap()
        .order_time
        .as_mut()
        .unwrap()
        .seconds = -3_000_000_000;
    let mut channel = row("6", "ann", 500);
    channel.order.as_mut().unwrap().channel = 99;
    let empty = pb::OrderRow::default();
    let good = row("7", "ann", 0);
    let mut several = negative.clone();
    several.order.as_mut().unwrap().key = None;
    let result = client
        .ingest(vec![
            euro, negative, keyless, fine, early, channel, empty, good, several,
        ])
        .await;
    assert_eq!(counts(&result), (1, 0, 8));
    let reasons: Vec<_> = rejected(&result)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons[0], ErrorReason::CurrencyMismatch);
    assert!(
        reasons[1..].iter().all(|r| *r == ErrorReason::FieldInvalid),
        "{reasons:?}"
    );
    let fields: Vec<_> = result
        .rejected
        .iter()
        .map(|r| r.violations[0].field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "order.gross.currency_code",
            "order.gross",
            "order.key",
            "order.gross",
            "order.order_time",
            "order.channel",
            "order",
            "order.gross"
        ]
    );
    let last = result.rejected.last().unwrap().violations.iter();
    let last: Vec<_> = last.map(|violation| violation.field.as_str()).collect();
    assert_eq!(last, ["order.gross", "order.key"]);
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 1);
}

async fn one_key_twice_in_a_batch(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let rows = vec![
        row("1", "ann", 500),
        row("1", "ann", 500),
        row("1", "ann", 600),
        row("2", "ann", 1),
    ];
    let result = client.ingest(rows.clone()).await;
    assert_eq!(counts(&result), (2, 1, 1));
    assert_eq!(rejected(&result), [(2, ErrorReason::DuplicateInBatch)]);
    let result = client.ingest(rows).await;
    assert_eq!(counts(&result), (0, 3, 1));
}

async fn unknown_customers(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.customer("ann").await;
    let batch = |create_missing| pb::IngestOrdersRequest {
        rows: vec![
            row("1", "ann", 500),
            row("2", "bob", 500),
            row("3", "bob", 500),
        ],
        create_missing,
        validate_only: false,
    };
    let results = client.ingest_orders(vec![batch(false), batch(true)]).await;
    assert_eq!(counts(&results[0]), (1, 0, 2));
    assert_eq!(
        rejected(&results[0]),
        [
            (1, ErrorReason::CustomerUnknown),
            (2, ErrorReason::CustomerUnknown)
        ]
    );
    assert_eq!((results[1].batch, counts(&results[1])), (1, (2, 1, 0)));
    assert_eq!(world.count("SELECT count(*) FROM customer").await, 2);
    // by id nobody is created
    let mut order = order("4", "x", 500, 0);
    order.customer = Some(common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Id(
            uuid::Uuid::from_u128(1).to_string(),
        )),
    });
    let status = client.record(order).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    let mut plain = pb::RecordOrderRequest {
        order: Some(super::order("5", "cid", 500, 0)),
        ..pb::RecordOrderRequest::default()
    };
    let status = client.orders.record_order(plain.clone()).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    assert_eq!(meta(&status, "external_id"), "cid");
    plain.create_missing = true;
    client.orders.record_order(plain).await.unwrap();
}

async fn the_customer_of_an_order_is_fixed(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.ingest(vec![row("1", "ann", 500)]).await;
    let result = client.ingest(vec![row("1", "bob", 500)]).await;
    assert_eq!(rejected(&result), [(0, ErrorReason::CustomerFixed)]);
    let status = client.record(order("1", "bob", 500, 0)).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "CUSTOMER_FIXED");
    // and nobody was made on the way
    assert_eq!(world.count("SELECT count(*) FROM customer").await, 1);
}

async fn corrections_keep_the_history(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let first = client
        .record(order("1", "ann", 500, 0))
        .await
        .unwrap()
        .order
        .unwrap();
    assert_eq!((first.version, first.voided), (1, false));
    world.later(60);
    let correct = pb::CorrectOrderRequest {
        target: Some(record_ref("1")),
        gross: Some(usd(450)),
        units: Some(3),
        channel: common::Channel::Store.into(),
        etag: first.etag.clone(),
        ..pb::CorrectOrderRequest::default()
    };
    let second = client
        .orders
        .correct_order(correct.clone())
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(
        (second.version, second.units, second.gross.clone()),
        (2, 3, Some(usd(450)))
    );
    assert_eq!(
        (second.order_time, second.create_time),
        (first.order_time, first.create_time)
    );
    assert_eq!(second.update_time, Some(at(60)));
    // the first etag is stale now
    let status = client.orders.correct_order(correct).await.unwrap_err();
    assert_eq!(reason(&status, Code::Aborted), "ETAG_MISMATCH");
    let void = pb::VoidOrderRequest {
        target: Some(record_ref("1")),
        etag: second.etag,
        ..pb::VoidOrderRequest::default()
    };
    let third = client
        .orders
        .void_order(void.clone())
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!((third.version, third.voided), (3, true));
    let again = pb::VoidOrderRequest {
        etag: String::new(),
        ..void
    };
    let status = client.orders.void_order(again).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    assert_eq!(meta(&status, "state"), "voided");
    let correct = pb::CorrectOrderRequest {
        target: Some(record_ref("1")),
        units: Some(1),
        ..pb::CorrectOrderRequest::default()
    };
    let status = client.orders.correct_order(correct).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    let result = client.ingest(vec![row("1", "ann", 123)]).await;
    assert_eq!(rejected(&result), [(0, ErrorReason::WrongState)]);
    // a resend of the file that it came from is no correction
    assert_eq!(
        counts(&client.ingest(vec![row("1", "ann", 500)]).await),
        (0, 1, 0)
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM sales_order_history")
            .await,
        2
    );
    let missing = pb::CorrectOrderRequest {
        target: Some(record_ref("none")),
        ..pb::CorrectOrderRequest::default()
    };
    let status = client.orders.correct_order(missing).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    assert_eq!(meta(&status, "external_id"), "none");
}

async fn a_request_id_answers_once(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.customer("ann").await;
    let request = |cents, id: &str| pb::RecordOrderRequest {
        order: Some(pb::Order {
            key: None,
            ..order("-", "ann", cents, 0)
        }),
        request_id: id.to_owned(),
        ..pb::RecordOrderRequest::default()
    };
    let id = request_id();
    let first = client
        .orders
        .record_order(request(500, &id))
        .await
        .unwrap()
        .into_inner();
    let number = first.order.clone().unwrap().id;
    // it is corrected meanwhile; a repeat still gets the first answer
    let correct = pb::CorrectOrderRequest {
        target: Some(common::RecordRef {
            record: Some(common::record_ref::Record::Id(number.clone())),
        }),
        gross: Some(usd(1)),
        ..pb::CorrectOrderRequest::default()
    };
    client.orders.correct_order(correct).await.unwrap();
    let repeat = client
        .orders
        .record_order(request(500, &id))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(repeat, first);
    let status = client
        .orders
        .record_order(request(501, &id))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&status, Code::FailedPrecondition),
        "REQUEST_ID_REUSED"
    );
    // another id, another order
    let other = client
        .orders
        .record_order(request(500, &request_id()))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(other.order.unwrap().id, number);
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 2);
    // two at once with one id
    let id = request_id();
    let mut twin = world.client();
    let (a, b) = tokio::join!(
        client.orders.record_order(request(700, &id)),
        twin.orders.record_order(request(700, &id))
    );
    assert_eq!(a.unwrap().into_inner(), b.unwrap().into_inner());
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 3);
}

async fn validate_only_stores_nothing(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let before = world.count("SELECT count(*) FROM change").await;
    let request = pb::RecordOrderRequest {
        order: Some(order("1", "ann", 500, 0)),
        create_missing: true,
        validate_only: true,
        ..pb::RecordOrderRequest::default()
    };
    let answer = client
        .orders
        .record_order(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.order.unwrap().version, answer.change_token.as_str()),
        (1, "")
    );
    let batch = pb::IngestOrdersRequest {
        rows: vec![row("1", "ann", 500)],
        create_missing: true,
        validate_only: true,
    };
    let results = client.ingest_orders(vec![batch]).await;
    assert_eq!(counts(&results[0]), (1, 0, 0));
    assert_eq!(results[0].change_token, "");
    assert_eq!(world.count("SELECT count(*) FROM change").await, before);
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM customer").await, 0);
}

async fn batches_are_all_or_none(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let request = |rows, create_missing| pb::BatchRecordOrdersRequest {
        rows,
        create_missing,
        ..pb::BatchRecordOrdersRequest::default()
    };
    let bad = request(
        vec![row("1", "ann", 500), row("2", "bob", 1), row("2", "bob", 2)],
        true,
    );
    let status = client.orders.batch_record_orders(bad).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "DUPLICATE_IN_BATCH");
    assert_eq!(fields(&status), ["rows[2].order.key"]);
    let bad = request(vec![row("1", "ann", 500), row("2", "bob", 1)], false);
    let status = client.orders.batch_record_orders(bad).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    // every bad field of every row is named, whatever is wrong with the others
    let mut euro = row("3", "ann", 500);
    let gross = euro.order.as_mut().unwrap().gross.as_mut();
    gross.unwrap().currency_code = "EUR".into();
    let mut keyless = euro.clone();
    keyless.order.as_mut().unwrap().key = None;
    let bad = request(vec![row("1", "zoe", 500), euro.clone(), keyless], false);
    let status = client.orders.batch_record_orders(bad).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "FIELD_INVALID");
    assert_eq!(
        fields(&status),
        [
            "rows[0].order.customer",
            "rows[1].order.gross.currency_code",
            "rows[2].order.key",
            "rows[2].order.gross.currency_code"
        ]
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata.len(), 0, "{info:?}");
    let told = status.get_details_bad_request().unwrap().field_violations;
    for (violation, expected) in told
        .iter()
        .zip(["known customer", "USD", "required", "USD"])
    {
        assert!(violation.description.contains(expected), "{violation:?}");
    }
    // of one reason it stays that reason, with its facts
    let bad = request(vec![euro, row("1", "ann", 500)], true);
    let status = client.orders.batch_record_orders(bad).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "CURRENCY_MISMATCH");
    assert_eq!(meta(&status, "expected"), "USD");
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 0);
    let good = request(
        vec![row("2", "bob", 1), row("1", "ann", 500), row("2", "bob", 1)],
        true,
    );
    let orders = client
        .orders
        .batch_record_orders(good)
        .await
        .unwrap()
        .into_inner()
        .orders;
    let keys: Vec<_> = orders
        .into_iter()
        .map(|o| o.key.unwrap().external_id)
        .collect();
    assert_eq!(keys, ["2", "1", "2"]);
}

async fn pages_are_stable_under_inserts(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    // ties in time across pages
    let rows = |from: i64| -> Vec<pb::OrderRow> {
        let make = |i: i64| pb::OrderRow {
            order: Some(order(&format!("{from}-{i}"), "ann", i, i / 7)),
            revision: 0,
        };
        (0..50).map(make).collect()
    };
    client.ingest(rows(0)).await;
    client.ingest(vec![row("x", "bob", 1)]).await;
    let mut list = pb::ListOrdersRequest {
        customer: Some(customer_ref("ann")),
        include_voided: false,
        page_size: 8,
        page_token: String::new(),
    };
    let mut seen = Vec::new();
    loop {
        let page = client
            .orders
            .list_orders(list.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.orders.len() <= 8);
        seen.extend(
            page.orders
                .into_iter()
                .map(|o| (o.order_time.unwrap().seconds, o.key.unwrap().external_id)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
        if seen.len() == 8 {
            // newer ones come while a reader pages: it neither loses nor repeats one of those that were there
            let newer = (0..20).map(|i| pb::OrderRow {
                order: Some(order(&format!("new-{i}"), "ann", 1, 1_000)),
                revision: 0,
            });
            client.ingest(newer.collect()).await;
        }
    }
    assert_eq!(seen.len(), 50);
    assert!(seen.windows(2).all(|w| w[0].0 >= w[1].0));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 50);
    // a token is bound to its question
    let first = client.orders.list_orders(pb::ListOrdersRequest {
        page_token: String::new(),
        ..list.clone()
    });
    let token = first.await.unwrap().into_inner().next_page_token;
    let other = pb::ListOrdersRequest {
        include_voided: true,
        page_token: token,
        ..list.clone()
    };
    let status = client.orders.list_orders(other).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::InvalidArgument),
        "PAGE_TOKEN_MISMATCH"
    );
    list.page_token = "nonsense".into();
    let status = client.orders.list_orders(list).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOKEN_INVALID");
}

async fn writers_of_the_same_rows(store: TestStore) {
    let world = World::new(store).await;
    // every writer sends the same orders of the same new customers, in its own order
    let writers = (0..4).map(|writer| {
        let mut client = world.client();
        async move {
            let mut total = (0, 0);
            for batch in 0..3 {
                let mut rows: Vec<_> = (0..40)
                    .map(|i| row(&format!("{batch}-{i}"), &format!("c{}", i % 9), i))
                    .collect();
                rows.rotate_left(writer * 7);
                let result = client.ingest(rows).await;
                assert_eq!(result.rejected.len(), 0);
                total = (total.0 + result.accepted, total.1 + result.unchanged);
            }
            total
        }
    });
    let totals = futures::future::join_all(writers).await;
    let accepted: u32 = totals.iter().map(|t| t.0).sum();
    let unchanged: u32 = totals.iter().map(|t| t.1).sum();
    assert_eq!((accepted, unchanged), (120, 360));
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 120);
    assert_eq!(world.count("SELECT count(*) FROM customer").await, 9);
    assert_eq!(world.count("SELECT count(*) FROM change").await, 130);
}

async fn a_token_names_the_write(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let answer = client.record(order("1", "ann", 500, 0)).await.unwrap();
    let token = regard_types::ChangeToken::decode(&answer.change_token).unwrap();
    world.core.db.feed().check_token(&token).await.unwrap();
    let part = token.0[0];
    let tx = world.core.db.read_system().await.unwrap();
    let sql = "SELECT position FROM sales_order WHERE lane = $1";
    let row = tx
        .fetch_one(sql, vec![i64::from(part.lane).into()])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<i64>(0).unwrap().unsigned_abs(), part.position);
}

use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    a_linked_refund_has_a_limit,
    refunds_stand_alone,
    two_refunds_at_once
);

fn refund(
    external_id: &str,
    customer: &str,
    order: Option<&str>,
    cents: i64,
) -> pb::RecordRefundRequest {
    pb::RecordRefundRequest {
        refund: Some(pb::Refund {
            key: Some(key(external_id)),
            customer: Some(customer_ref(customer)),
            order: order.map(record_ref),
            refund_time: Some(at(86_400)),
            amount: Some(usd(cents)),
            ..pb::Refund::default()
        }),
        ..pb::RecordRefundRequest::default()
    }
}

async fn a_linked_refund_has_a_limit(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.record(order("1", "ann", 1_000, 0)).await.unwrap();
    client.customer("bob").await;
    let first = client
        .orders
        .record_refund(refund("r1", "ann", Some("1"), 600))
        .await
        .unwrap()
        .into_inner();
    assert!(!first.change_token.is_empty());
    // the same again is no second refund
    let again = client
        .orders
        .record_refund(refund("r1", "ann", Some("1"), 600))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.refund, first.refund);
    let status = client
        .orders
        .record_refund(refund("r1", "ann", Some("1"), 601))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::AlreadyExists), "RECORD_EXISTS");
    let status = client
        .orders
        .record_refund(refund("r2", "ann", Some("1"), 401))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    assert_eq!(
        (meta(&status, "refunded_minor"), meta(&status, "left_minor")),
        ("600".into(), "400".into())
    );
    let status = client
        .orders
        .record_refund(refund("r2", "bob", Some("1"), 1))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "CUSTOMER_FIXED");
    client
        .orders
        .record_refund(refund("r2", "ann", Some("1"), 400))
        .await
        .unwrap();
    assert_eq!(client.order("1").await.unwrap().refunded, Some(usd(1_000)));
    // an order cannot be corrected below what was given back
    let correct = pb::CorrectOrderRequest {
        target: Some(record_ref("1")),
        gross: Some(usd(999)),
        ..pb::CorrectOrderRequest::default()
    };
    let status = client.orders.correct_order(correct).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    let result = client
        .ingest(vec![row("1", "ann", 999), row("1b", "ann", 1)])
        .await;
    assert_eq!(rejected(&result), [(0, common::ErrorReason::WrongState)]);
    client.record(order("2", "ann", 100, 0)).await.unwrap();
    let void = pb::VoidOrderRequest {
        target: Some(record_ref("2")),
        ..pb::VoidOrderRequest::default()
    };
    client.orders.void_order(void).await.unwrap();
    let status = client
        .orders
        .record_refund(refund("r3", "ann", Some("2"), 1))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    let status = client
        .orders
        .record_refund(refund("r3", "ann", Some("none"), 1))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
}

async fn refunds_stand_alone(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let status = client
        .orders
        .record_refund(refund("r1", "ann", None, 5))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    client.customer("ann").await;
    let mut request = refund("r1", "ann", None, 5);
    request.request_id = request_id();
    let first = client
        .orders
        .record_refund(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        client
            .orders
            .record_refund(request)
            .await
            .unwrap()
            .into_inner(),
        first
    );
    let mut euro = refund("r2", "ann", None, 5);
    euro.refund
        .as_mut()
        .unwrap()
        .amount
        .as_mut()
        .unwrap()
        .currency_code = "EUR".into();
    let status = client.orders.record_refund(euro).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "CURRENCY_MISMATCH");
    assert_eq!(
        (meta(&status, "expected"), meta(&status, "found")),
        ("USD".into(), "EUR".into())
    );
    assert_eq!(world.count("SELECT count(*) FROM refund").await, 1);
}

async fn two_refunds_at_once(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.record(order("1", "ann", 1_000, 0)).await.unwrap();
    let tries = (0..6).map(|i| {
        let mut client = world.client();
        async move {
            client
                .orders
                .record_refund(refund(&format!("r{i}"), "ann", Some("1"), 400))
                .await
                .is_ok()
        }
    });
    let done = futures::future::join_all(tries).await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 2);
    assert_eq!(client.order("1").await.unwrap().refunded, Some(usd(800)));
}

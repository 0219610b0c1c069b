//! Two tenants that use the same keys and request ids: nothing of one is seen through any RPC of the other.
#![allow(clippy::unwrap_used, clippy::panic)]

use prost::Message as _;
use regard_proto::METHODS;
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::scoring::v1 as scoring;
use regard_tests::prey::{Ids, MARK, records};
use regard_tests::raw::{call, frame};
use regard_tests::values::{
    check_refused, create, customer_ref, ingest, make_tenant, merge, order, pin, reason, respond,
    response, row, score, scores, try_scores,
};
use regard_tests::wild::Contract;
use regard_tests::world::World;
use regard_types::{ChangeToken, TokenPart};
use tonic::{Code, Status};

regard_tests::on_every_store_and_cache!(
    the_same_keys_are_two_worlds,
    every_rpc_keeps_tenants_apart
);

async fn the_same_keys_are_two_worlds(world: World) {
    make_tenant(&world.operator(), "one").await;
    make_tenant(&world.operator(), "two").await;
    let (one, two) = (world.client_of("one"), world.client_of("two"));
    for (client, cents) in [(&one, 1_000), (&two, 7_700)] {
        pin(client, "2026-03-31").await;
        let rows = (0..4)
            .map(|n| row(&format!("o{n}"), &format!("c{n}"), cents, "2026-03-01"))
            .collect();
        let result = ingest(client, vec![rows]).await.unwrap().remove(0);
        assert_eq!(
            (result.accepted, result.unchanged),
            (4, 0),
            "the other's rows count: {result:?}"
        );
    }
    // The same request id and another body: each tenant has its own.
    let named = |cents| customer::RecordOrderRequest {
        order: Some(order("n", "c0", cents, "2026-03-02")),
        create_missing: true,
        request_id: "the same".to_owned(),
        ..Default::default()
    };
    let first = one
        .orders()
        .record_order(named(500))
        .await
        .unwrap()
        .into_inner();
    let second = two
        .orders()
        .record_order(named(900))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(
        first.order.as_ref().unwrap().id,
        second.order.as_ref().unwrap().id
    );
    let again = one
        .orders()
        .record_order(named(500))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (&again.order, &again.change_token),
        (&first.order, &first.change_token)
    );
    check_refused(
        one.orders().record_order(named(501)).await,
        Code::FailedPrecondition,
        "REQUEST_ID_REUSED",
    );
    // Each sees its own sums.
    let a = scores(&one, "c0", std::slice::from_ref(&first.change_token)).await;
    let b = scores(&two, "c0", std::slice::from_ref(&second.change_token)).await;
    assert_eq!(
        (
            score(&a, "historic_value").value,
            score(&b, "historic_value").value
        ),
        (Some(1500.0), Some(8600.0))
    );
    assert_ne!(a.customer_id, b.customer_id);
    // A merge of one leaves the other.
    let token = merge(&one, "c1", "c0").await.unwrap();
    assert_eq!(
        scores(&one, "c1", &[token]).await.customer_id,
        a.customer_id
    );
    assert_ne!(
        scores(&two, "c1", std::slice::from_ref(&second.change_token))
            .await
            .customer_id,
        b.customer_id
    );
    // The list of one holds its customers only.
    let request = scoring::ListScoresRequest {
        score: "historic_value".to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let page = two
        .scores()
        .list_scores(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(
        page.customers
            .iter()
            .all(|c| score(c, "historic_value").value.unwrap() >= 7700.0),
        "{page:?}"
    );
    // A page token of the other is none.
    let request = scoring::ListScoresRequest {
        page_token: page.next_page_token,
        ..request
    };
    check_refused(
        one.scores().list_scores(request).await,
        Code::InvalidArgument,
        "PAGE_TOKEN_MISMATCH",
    );
    // A change token of the other tells nothing about it and harms nobody.
    let own = scores(&one, "c0", &[]).await;
    let theirs = scores(&one, "c0", &[second.change_token]).await;
    assert_eq!(own.customer_id, theirs.customer_id);
    // A token that names a position that nobody has waits, within the deadline, instead of telling what there is.
    let mut token = ChangeToken::decode(&first.change_token).unwrap();
    token.0 = token
        .0
        .into_iter()
        .map(|part| TokenPart {
            position: part.position + 1_000_000,
            ..part
        })
        .collect();
    let waiting = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        try_scores(&one, "c0", &[token.encode()]),
    )
    .await;
    assert!(!matches!(waiting, Ok(Ok(_))), "{waiting:?}");
}

fn by(id: &str) -> Option<common::CustomerRef> {
    Some(common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Id(id.to_owned())),
    })
}

fn of(id: &str) -> Option<common::RecordRef> {
    Some(common::RecordRef {
        record: Some(common::record_ref::Record::Id(id.to_owned())),
    })
}

async fn every_rpc_keeps_tenants_apart(world: World) {
    make_tenant(&world.operator(), "one").await;
    make_tenant(&world.operator(), "two").await;
    let one = world.client_of("one");
    let ids = records(&one).await;
    let two = world.client_of("two");
    create(&two, "own").await;

    // By ids of the other tenant: absent, whoever asks.
    let gone = |status: Status| {
        assert!(
            matches!(
                status.code(),
                Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument
            ),
            "{status:?}"
        );
        assert!(!format!("{status:?}").contains(MARK), "{status:?}");
        reason(&status)
    };
    let mut orders = two.orders();
    let mut customers = two.customers();
    gone(
        customers
            .get_customer(customer::GetCustomerRequest {
                customer: by(&ids.customer),
            })
            .await
            .unwrap_err(),
    );
    let request = customer::UpdateCustomerRequest {
        target: by(&ids.customer),
        customer: Some(customer::Customer {
            display_name: "taken".to_owned(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["display_name".to_owned()],
        }),
        etag: ids.etag.clone(),
        ..Default::default()
    };
    gone(customers.update_customer(request).await.unwrap_err());
    let request = customer::MergeCustomersRequest {
        into: Some(customer_ref("own")),
        from: by(&ids.customer),
        ..Default::default()
    };
    gone(customers.merge_customers(request).await.unwrap_err());
    gone(
        customers
            .unmerge_customers(customer::UnmergeCustomersRequest {
                customer: by(&ids.customer),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    let request = customer::BatchGetCustomersRequest {
        customers: vec![by(&ids.customer).unwrap(), customer_ref("own")],
    };
    let found = customers
        .batch_get_customers(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((found.customers.len(), found.missing), (1, vec![0]));
    let request = customer::ListCustomersRequest {
        email: format!("{MARK}-0@example.org"),
        ..Default::default()
    };
    assert!(
        customers
            .list_customers(request)
            .await
            .unwrap()
            .into_inner()
            .customers
            .is_empty()
    );
    let request = customer::ListCustomersRequest {
        page_size: 1,
        page_token: ids.page.clone(),
        ..Default::default()
    };
    check_refused(
        customers.list_customers(request).await,
        Code::InvalidArgument,
        "PAGE_TOKEN_MISMATCH",
    );
    gone(
        orders
            .get_order(customer::GetOrderRequest {
                order: of(&ids.order),
            })
            .await
            .unwrap_err(),
    );
    gone(
        orders
            .correct_order(customer::CorrectOrderRequest {
                target: of(&ids.order),
                units: Some(9),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    gone(
        orders
            .void_order(customer::VoidOrderRequest {
                target: of(&ids.order),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    match orders
        .list_orders(customer::ListOrdersRequest {
            customer: by(&ids.customer),
            ..Default::default()
        })
        .await
    {
        Ok(found) => assert!(found.into_inner().orders.is_empty()),
        Err(status) => drop(gone(status)),
    }
    let mut stolen = order("mine", "own", 100, "2026-03-01");
    stolen.customer = by(&ids.customer);
    let request = customer::RecordOrderRequest {
        order: Some(stolen),
        ..Default::default()
    };
    gone(orders.record_order(request).await.unwrap_err());
    gone(
        two.surveys()
            .get_survey(feedback::GetSurveyRequest {
                survey: of(&ids.survey),
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.surveys()
            .publish_survey(feedback::PublishSurveyRequest {
                survey: of(&ids.survey),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    assert!(
        two.surveys()
            .list_surveys(feedback::ListSurveysRequest::default())
            .await
            .unwrap()
            .into_inner()
            .surveys
            .is_empty()
    );
    gone(
        respond(&two, response("r", "s", None, (1, 1), "2026-03-02"))
            .await
            .unwrap_err(),
    );
    gone(
        two.responses()
            .get_response(feedback::GetResponseRequest {
                response: of(&ids.response),
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.feedback_items()
            .get_feedback_item(feedback::GetFeedbackItemRequest {
                feedback_item: of(&ids.item),
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.complaints()
            .get_complaint(feedback::GetComplaintRequest {
                complaint: of(&ids.complaint),
            })
            .await
            .unwrap_err(),
    );
    let request = feedback::ResolveComplaintRequest {
        complaint: of(&ids.complaint),
        resolution: "none".to_owned(),
        ..Default::default()
    };
    gone(
        two.complaints()
            .resolve_complaint(request)
            .await
            .unwrap_err(),
    );
    gone(
        two.operations()
            .get_operation(scoring::GetOperationRequest {
                name: ids.operation.clone(),
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.operations()
            .cancel_operation(scoring::CancelOperationRequest {
                name: ids.operation.clone(),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.operations()
            .wait_operation(scoring::WaitOperationRequest {
                name: ids.operation.clone(),
                timeout: None,
            })
            .await
            .unwrap_err(),
    );
    gone(
        two.models()
            .get_model(scoring::GetModelRequest {
                id: ids.model.clone(),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    );
    // Scoring knows every id that could be: one of the other tenant is a customer without a past.
    let request = scoring::GetScoresRequest {
        customer: by(&ids.customer),
        ..Default::default()
    };
    if let Ok(found) = two.scores().get_scores(request).await {
        let found = found.into_inner().scores.unwrap();
        assert!(found.scores.iter().all(|s| s.value.is_none()), "{found:?}");
    }
    // The first tenant's record is as it was.
    let request = customer::GetCustomerRequest {
        customer: by(&ids.customer),
    };
    let own = one
        .customers()
        .get_customer(request)
        .await
        .unwrap()
        .into_inner()
        .customer
        .unwrap();
    assert_eq!(
        (own.display_name.as_str(), own.etag),
        (MARK, ids.etag.clone())
    );

    every_answer(&world, &ids).await;
}

/// Sends a sound request with the first tenant's keys to every RPC as the second one: no answer holds an id or a mark of the
/// first. This way an RPC that is added later is covered.
async fn every_answer(world: &World, ids: &Ids) {
    let caller =
        regard_types::Caller::new(regard_tests::plan::ids().tenant_id("two"), "two", "test");
    let channel = world.open().pipe.channel_of(caller);
    let contract = Contract::read();
    let secrets = [
        MARK,
        &ids.order,
        &ids.response,
        &ids.item,
        &ids.complaint,
        &ids.operation,
    ];
    for method in METHODS.iter().filter(|m| m.permission != "tenant.create") {
        let request = contract
            .sound(&contract.message(method.request))
            .encode_to_vec();
        let sent = call(&channel, method.path, frame(&request));
        // Watching has no end: what it says in a moment is enough.
        let Ok((answer, status)) =
            tokio::time::timeout(std::time::Duration::from_millis(1_500), sent).await
        else {
            continue;
        };
        let answer = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned()
            + &format!("{status:?}");
        for secret in secrets {
            assert!(
                !answer.contains(secret),
                "{} tells {secret} to the other tenant",
                method.path
            );
        }
    }
    // The feeds, from their beginnings.
    let two = world.client_of("two");
    let tenant = regard_tests::plan::ids().tenant_id("two").to_string();
    let mut changes = two
        .customer_changes()
        .watch_changes(customer::WatchChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    while let Ok(Ok(Some(batch))) =
        tokio::time::timeout(std::time::Duration::from_millis(400), changes.message()).await
    {
        if batch.changes.is_empty() {
            break;
        }
        assert!(
            batch
                .changes
                .iter()
                .all(|c| c.header.as_ref().unwrap().tenant_id == tenant),
            "{batch:?}"
        );
    }
    let mut snapshot = two
        .customer_changes()
        .snapshot_changes(customer::SnapshotChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = snapshot.message().await.unwrap() {
        assert!(
            part.changes
                .iter()
                .all(|c| c.header.as_ref().unwrap().tenant_id == tenant),
            "{part:?}"
        );
    }
    let mut snapshot = two
        .feedback_changes()
        .snapshot_changes(feedback::SnapshotChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = snapshot.message().await.unwrap() {
        assert!(
            part.changes
                .iter()
                .all(|c| c.header.as_ref().unwrap().tenant_id == tenant),
            "{part:?}"
        );
    }
}

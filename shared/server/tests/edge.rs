//! What every call passes: over TCP and through memory alike.
#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::atomic::Ordering;
use std::time::Duration;

use regard_client::{Client, Options, describe};
use regard_proto::common::v1::ErrorReason;
use regard_proto::customer::v1::{
    CreateTenantRequest, SnapshotChangesRequest, Tenant, UpdateTenantRequest, WatchChangesRequest,
};
use regard_proto::feedback::v1::{IngestResponsesRequest, ResponseRow};
use stage::{Play, frame, named, raw};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const GET: &str = "/regard.customer.v1.TenantService/GetTenant";

fn reason(status: &Status) -> Option<ErrorReason> {
    ErrorReason::of(status)
}

#[tokio::test]
async fn a_panic_is_internal_and_the_connection_lives() {
    let play = Play::start().await;
    for client in play.both().await {
        for name in ["panic", "bug", "unknown"] {
            let error = client.tenants().get_tenant(named(name)).await.unwrap_err();
            assert_eq!(
                (error.code(), reason(&error)),
                (Code::Internal, Some(ErrorReason::Internal)),
                "{error:?}"
            );
            assert!(
                error
                    .get_details_error_info()
                    .unwrap()
                    .metadata
                    .contains_key("request_id")
            );
            assert!(
                !error.message().contains("secret") && !error.message().contains("raw"),
                "{error:?}"
            );
        }
        client.tenants().get_tenant(named("fine")).await.unwrap();
        let mut stream = client
            .customer_changes()
            .watch_changes(stage::cursors())
            .await
            .unwrap()
            .into_inner();
        // What was not sent yet when the panic came is lost with it.
        let error = loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Code::Internal);
        let half = client
            .customer_changes()
            .snapshot_changes(SnapshotChangesRequest::default())
            .await;
        let error = match half {
            Ok(half) => half.into_inner().message().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::Internal, Some(ErrorReason::Internal))
        );
        assert!(
            error
                .get_details_error_info()
                .unwrap()
                .metadata
                .contains_key("request_id")
        );
    }
}

#[tokio::test]
async fn a_deadline_drops_the_work() {
    let play = Play::start().await;
    for (index, client) in play.both().await.into_iter().enumerate() {
        let mut request = Request::new(named("slow"));
        request.set_timeout(Duration::from_millis(100));
        let started = std::time::Instant::now();
        let error = client.tenants().get_tenant(request).await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::DeadlineExceeded, Some(ErrorReason::DeadlineExceeded)),
            "{error:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(play.stage.dropped.load(Ordering::SeqCst), index + 1);
    }
    // The server's own limit, for a caller that sets none.
    let client = play
        .tcp(&Options {
            deadline: None,
            ..Options::default()
        })
        .await;
    let error = client
        .tenants()
        .get_tenant(named("slow"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(
        error
            .get_details_error_info()
            .unwrap()
            .metadata
            .get("limit_ms")
            .unwrap(),
        "2000"
    );
    let who = client
        .tenants()
        .get_tenant(named("who"))
        .await
        .unwrap()
        .into_inner()
        .tenant
        .unwrap();
    assert_eq!(who.day_version, 1, "the handler knows the deadline");
    // A stream ends at its caller's deadline.
    let mut request = Request::new(WatchChangesRequest::default());
    request.set_timeout(Duration::from_millis(200));
    let mut stream = client
        .customer_changes()
        .watch_changes(request)
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn large_and_broken_messages_are_named() {
    let play = Play::start().await;
    for client in play.both().await {
        let (_, error) = raw(&client, GET, frame(&vec![0; 10 * 1024 * 1024])).await;
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::ResourceExhausted, Some(ErrorReason::MessageTooLarge))
        );
        assert_eq!(
            error
                .get_details_error_info()
                .unwrap()
                .metadata
                .get("limit_bytes")
                .unwrap(),
            "4194304"
        );
        let error = client
            .tenants()
            .get_tenant(named(&"x".repeat(5 * 1024 * 1024)))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::ResourceExhausted, Some(ErrorReason::MessageTooLarge))
        );
        let error = client
            .tenants()
            .get_tenant(named("large"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::ResourceExhausted, Some(ErrorReason::MessageTooLarge)),
            "{error:?}"
        );
        let mut cut = frame(b"\x0a\x03abc");
        cut.truncate(7);
        for broken in [
            cut,
            frame(b"\x0a\x02\xff\xfe"),
            frame(b"\x0a\x09abc"),
            vec![9, 0, 0, 0, 0],
            Vec::new(),
        ] {
            let (headers, error) = raw(&client, GET, broken.clone()).await;
            assert_eq!(
                (error.code(), reason(&error)),
                (Code::InvalidArgument, Some(ErrorReason::MessageMalformed)),
                "{broken:?}: {error:?}"
            );
            assert!(headers.contains_key("x-request-id"));
        }
        let error = client
            .tenants()
            .get_tenant(named(&"x".repeat(64)))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
        );
        client.tenants().get_tenant(named("fine")).await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let play = Play::start().await;
    for client in play.both().await {
        for path in [
            "/regard.customer.v1.TenantService/Missing",
            "/no.Service/Method",
            "/",
            "/regard.scoring.v1.ScoreService/GetScores",
        ] {
            let (headers, error) = raw(&client, path, frame(b"")).await;
            assert_eq!(
                (error.code(), reason(&error)),
                (Code::Unimplemented, Some(ErrorReason::NotServed)),
                "{path}"
            );
            assert!(headers.contains_key("x-request-id"));
        }
    }
}

#[tokio::test]
async fn callers_are_who_their_key_says() {
    let identity = stage::identity(
        r#"
        embedded = false
        [[keys]]
        key = "0123456789abcdef-all"
        name = "shop"
        tenant = "acme"
        [[keys]]
        key = "0123456789abcdef-read"
        name = "report"
        tenant = "acme"
        permissions = ["score.read"]
        "#,
    );
    let play = Play::with(stage::settings(), identity).await;
    let with = |key: &str| Options {
        api_key: Some(key.to_owned()),
        ..Options::default()
    };
    let client = play.tcp(&with("0123456789abcdef-all")).await;
    let mut request = Request::new(named("who"));
    request
        .metadata_mut()
        .insert("x-request-id", "my-own-id".parse().unwrap());
    let response = client.tenants().get_tenant(request).await.unwrap();
    assert_eq!(
        response.metadata().get("x-request-id").unwrap(),
        "my-own-id"
    );
    assert_eq!(
        response.into_inner().tenant.unwrap().zone,
        "acme shop my-own-id"
    );

    let error = play
        .tcp(&with("0123456789abcdef-read"))
        .await
        .tenants()
        .get_tenant(named("who"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::PermissionDenied, Some(ErrorReason::PermissionDenied))
    );
    assert_eq!(
        error
            .get_details_error_info()
            .unwrap()
            .metadata
            .get("permission")
            .unwrap(),
        "tenant.read"
    );
    assert!(
        describe(&error).contains("permission = tenant.read"),
        "{}",
        describe(&error)
    );

    for client in [
        play.tcp(&with("wrong")).await,
        play.tcp(&Options::default()).await,
    ] {
        let error = client.tenants().get_tenant(named("who")).await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::Unauthenticated, Some(ErrorReason::Unauthenticated))
        );
    }
    // A service of the same process is who the pipe says; health is for everyone.
    let scoring = regard_server::service_caller("scoring", &stage::SECRET);
    let client = Client::over(play.pipe.channel_of(scoring), &Options::default()).unwrap();
    let who = client
        .tenants()
        .get_tenant(named("who"))
        .await
        .unwrap()
        .into_inner()
        .tenant
        .unwrap();
    assert!(who.zone.starts_with("default scoring "), "{}", who.zone);
    let mut health = tonic_health::pb::health_client::HealthClient::new(play.pipe.channel());
    let request = tonic_health::pb::HealthCheckRequest {
        service: "regard.customer.v1.TenantService".to_owned(),
    };
    assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
}

#[tokio::test]
async fn the_largest_fault_arrives_whole() {
    let play = Play::start().await;
    for client in play.both().await {
        let error = client
            .tenants()
            .get_tenant(named("largest"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid)),
            "{error:?}"
        );
        assert!(
            error.message().len() <= 1024 && error.message().ends_with("and 30 more"),
            "{}",
            error.message()
        );
        assert_eq!(
            error
                .get_details_bad_request()
                .unwrap()
                .field_violations
                .len(),
            20
        );
        assert!(describe(&error).contains("rows[19]."));
    }
}

#[tokio::test]
async fn ingest_answers_batch_by_batch() {
    let play = Play::start().await;
    for client in play.both().await {
        let batch = |rows: usize| IngestResponsesRequest {
            rows: vec![ResponseRow::default(); rows],
            validate_only: false,
        };
        let stop = IngestResponsesRequest {
            validate_only: true,
            ..IngestResponsesRequest::default()
        };
        let batches = futures::stream::iter([batch(3), batch(0), batch(5_000), stop]);
        let mut answers = client
            .responses()
            .ingest_responses(batches)
            .await
            .unwrap()
            .into_inner();
        for (number, accepted) in [3, 0, 5_000].into_iter().enumerate() {
            let result = answers.message().await.unwrap().unwrap().result.unwrap();
            assert_eq!((result.batch, result.accepted), (number as u64, accepted));
        }
        let error = answers.message().await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::Unavailable, Some(ErrorReason::Busy))
        );
        assert!(error.get_details_retry_info().is_some());
        let batches = futures::stream::iter([batch(5_001)]);
        let error = match client.responses().ingest_responses(batches).await {
            Ok(answers) => answers.into_inner().message().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
        );
    }
}

#[tokio::test]
async fn only_safe_calls_are_tried_again() {
    let play = Play::start().await;
    let client = play.tcp(&Options::default()).await;
    let tenant = Some(Tenant {
        name: "acme".to_owned(),
        ..Tenant::default()
    });
    let create = |id: &str| CreateTenantRequest {
        tenant: tenant.clone(),
        request_id: id.to_owned(),
        validate_only: false,
    };
    let error = client
        .tenants()
        .create_tenant(create(""))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::Unavailable, Some(ErrorReason::StoreUnavailable))
    );
    assert_eq!(play.stage.calls.load(Ordering::SeqCst), 1);
    client
        .tenants()
        .create_tenant(create("once"))
        .await
        .unwrap();
    assert_eq!(play.stage.calls.load(Ordering::SeqCst), 3);
    let update = UpdateTenantRequest {
        tenant,
        request_id: "again".to_owned(),
        ..UpdateTenantRequest::default()
    };
    client.tenants().update_tenant(update).await.unwrap_err();
    assert_eq!(play.stage.calls.load(Ordering::SeqCst), 3 + 4);
}

#[tokio::test]
async fn too_many_calls_are_refused() {
    let mut settings = stage::settings();
    settings.limits.concurrency_min = 4;
    settings.limits.concurrency_max = 4;
    settings.limits.streams_max = 4;
    let play = Play::with(settings, regard_server::Identity::embedded(&stage::SECRET)).await;
    let client = play.tcp(&Options::default()).await;
    let slow = (0..8).map(|_| {
        let mut tenants = client.tenants();
        async move {
            let mut request = Request::new(named("slow"));
            request.set_timeout(Duration::from_millis(500));
            tenants.get_tenant(request).await.unwrap_err()
        }
    });
    let errors = futures::future::join_all(slow).await;
    let refused = errors
        .iter()
        .filter(|error| reason(error) == Some(ErrorReason::TooManyRequests));
    assert_eq!(refused.count(), 4, "{errors:?}");
    assert_eq!(
        errors
            .iter()
            .filter(|error| error.code() == Code::DeadlineExceeded)
            .count(),
        4
    );
    client.tenants().get_tenant(named("fine")).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(
            client
                .customer_changes()
                .watch_changes(WatchChangesRequest::default())
                .await
                .unwrap(),
        );
    }
    let error = client
        .customer_changes()
        .watch_changes(WatchChangesRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&error), Some(ErrorReason::TooManyRequests));
    drop(open);
    tokio::time::sleep(Duration::from_millis(100)).await;
    client
        .customer_changes()
        .watch_changes(WatchChangesRequest::default())
        .await
        .unwrap();
}

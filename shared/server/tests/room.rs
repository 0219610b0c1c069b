//! Who takes the server's room: calls that wait on purpose, answers that nobody reads, streams of one tenant, streams that
//! anyone may open.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_proto::customer::v1::WatchChangesRequest;
use regard_proto::customer::v1::tenant_service_client::TenantServiceClient;
use regard_proto::scoring::v1::operation_service_server::{
    OperationService, OperationServiceServer,
};
use regard_proto::scoring::v1::*;
use regard_server::{Grpc, Identity, Pipe, Running, Service, limited, service_caller};
use stage::{Play, SECRET, named};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Operations that are never done.
#[derive(Clone, Default)]
struct Endless(Arc<AtomicUsize>);

#[tonic::async_trait]
impl OperationService for Endless {
    async fn get_operation(
        &self,
        _: Request<GetOperationRequest>,
    ) -> Result<Response<GetOperationResponse>, Status> {
        Ok(Response::new(GetOperationResponse::default()))
    }

    async fn wait_operation(
        &self,
        _: Request<WaitOperationRequest>,
    ) -> Result<Response<WaitOperationResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn cancel_operation(
        &self,
        _: Request<CancelOperationRequest>,
    ) -> Result<Response<CancelOperationResponse>, Status> {
        Ok(Response::new(CancelOperationResponse::default()))
    }
}

/// One try a call: what is refused is seen.
fn once() -> Options {
    Options {
        attempts: 1,
        ..Options::default()
    }
}

async fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn calls_that_wait_on_purpose_take_no_room_from_others() {
    let mut settings = stage::settings();
    settings.limits.concurrency_min = 2;
    settings.limits.concurrency_max = 2;
    settings.deadline_ms = 60_000;
    let (endless, pipe) = (Endless::default(), Pipe::new());
    let grpc = Grpc::new().with(limited!(OperationServiceServer::new(endless.clone())));
    let services = vec![Service::new("scoring", grpc)];
    let identity = Identity::embedded(&SECRET);
    let running = Running::start(services, &settings, identity, &pipe)
        .await
        .unwrap();
    let address = format!("http://{}", running.address().unwrap());
    let client = Client::connect(&address, &once()).await.unwrap();
    let name = "operations/00000000-0000-4000-8000-000000000000".to_owned();
    for _ in 0..64 {
        let (client, name) = (client.clone(), name.clone());
        tokio::spawn(async move {
            let request = WaitOperationRequest {
                name,
                ..WaitOperationRequest::default()
            };
            client.operations().wait_operation(request).await
        });
    }
    until(|| endless.0.load(Ordering::SeqCst) == 64).await;
    for _ in 0..20 {
        let request = GetOperationRequest { name: name.clone() };
        client.operations().get_operation(request).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_keeps_no_place_and_no_connection() {
    let mut settings = stage::settings();
    settings.limits.concurrency_min = 2;
    settings.limits.concurrency_max = 2;
    settings.limits.unread_ms = 1_000;
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    // A caller that lets nothing come.
    let endpoint = Endpoint::from_shared(play.address()).unwrap();
    let closed = endpoint.initial_stream_window_size(Some(0));
    let closed = closed.connect().await.unwrap();
    let mut unread = Vec::new();
    for n in 1..=4 {
        let mut client = TenantServiceClient::new(closed.clone());
        unread.push(tokio::spawn(async move {
            client.get_tenant(named("fine")).await
        }));
        until(|| play.stage.reads.load(Ordering::SeqCst) == n).await;
    }
    let client = play.tcp(&once()).await;
    for _ in 0..20 {
        client.tenants().get_tenant(named("fine")).await.unwrap();
    }
    for one in unread {
        let cut = tokio::time::timeout(Duration::from_secs(30), one).await;
        assert!(cut.unwrap().unwrap().is_err(), "the connection is cut");
    }
    client.tenants().get_tenant(named("fine")).await.unwrap();
}

#[tokio::test]
async fn a_tenant_s_streams_leave_room_for_the_servers_of_the_suite() {
    let identity = stage::identity(
        r#"
        embedded = false
        keys = [
            { key = "key-of-the-first-1", name = "reader", tenant = "shop", roles = ["reader", "operator"] },
            { key = "key-of-the-other-1", name = "reader", tenant = "other", roles = ["reader"] },
        ]"#,
    );
    let mut settings = stage::settings();
    settings.limits.streams_max = 4;
    let play = Play::with(settings, identity).await;
    let mut open = Vec::new();
    let mut watch = async |client: &Client| {
        let request = WatchChangesRequest::default();
        let stream = client.customer_changes().watch_changes(request).await?;
        open.push(stream);
        Ok::<_, Status>(())
    };
    let with = |key: &str| Options {
        api_key: Some(key.to_owned()),
        ..once()
    };
    let (first, other) = (
        play.tcp(&with("key-of-the-first-1")).await,
        play.tcp(&with("key-of-the-other-1")).await,
    );
    watch(&first).await.unwrap();
    watch(&first).await.unwrap();
    let refused = watch(&first).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    watch(&other).await.unwrap();
    watch(&other).await.unwrap();
    let channel = play.pipe.channel_of(service_caller("scoring", &SECRET));
    let scoring = Client::over(channel, &once()).unwrap();
    for _ in 0..4 {
        watch(&scoring).await.unwrap();
    }
}

#[tokio::test]
async fn streams_that_anyone_may_open_are_few_and_keep_no_connection() {
    let mut settings = stage::settings();
    settings.limits.first_call_ms = 1_500;
    settings.limits.idle_ms = 1_500; // the refused ones were calls
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    let endpoint = Endpoint::from_shared(play.address()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut open = Vec::new();
    for n in 0..6 {
        let mut health = HealthClient::new(channel.clone());
        let opened = health.watch(HealthCheckRequest::default()).await;
        match opened {
            Ok(stream) => open.push(stream.into_inner()),
            Err(refused) => {
                assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
                assert!(n >= 4);
            }
        }
    }
    assert_eq!(open.len(), 4);
    for stream in &mut open {
        let ended = async { while let Ok(Some(_)) = stream.message().await {} };
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(ended.is_ok(), "a stream of health kept the connection");
    }
}

#[tokio::test]
async fn nobody_serves_again_once_the_end_has_begun() {
    let ready = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = ready.clone();
    let (stage, pipe) = (stage::Stage::default(), Pipe::new());
    let customer = stage::services(&stage).remove(0).ready(move || {
        let ready = asked.load(Ordering::SeqCst);
        async move {
            if ready {
                Ok(())
            } else {
                Err("away".to_owned())
            }
        }
    });
    let mut settings = stage::settings();
    settings.stop_delay_ms = 1_000;
    let identity = Identity::embedded(&SECRET);
    let running = Running::start(vec![customer], &settings, identity, &pipe)
        .await
        .unwrap();
    let mut health = HealthClient::new(pipe.channel());
    let mut says = async || {
        let service = "customer".to_owned();
        let answer = health.check(HealthCheckRequest { service }).await;
        answer.map(|answer| answer.into_inner().status)
    };
    while !matches!(says().await, Ok(2)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let watch = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ready.store(true, Ordering::SeqCst);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(600) {
            if let Ok(status) = says().await {
                assert_eq!(status, 2, "it serves again");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(running.stop(), watch);
}

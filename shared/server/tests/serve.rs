//! Start, the other pages, and the end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use regard_client::{Client, Options};
use regard_proto::customer::v1::{SnapshotChangesRequest, WatchChangesRequest};
use regard_server::{Grpc, Identity, Job, Pipe, Running, ServeError, ServerSettings, Service};
use stage::{Play, frame, named};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_server::HealthServer};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn http(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn open_streams_end_within_the_grace() {
    let play = Play::start().await;
    let [tcp, pipe] = play.both().await;
    let silent = tokio::net::TcpStream::connect(play.running.address().unwrap())
        .await
        .unwrap();
    let mut watches = Vec::new();
    for client in [&tcp, &pipe] {
        let mut watch = client
            .customer_changes()
            .watch_changes(WatchChangesRequest::default())
            .await
            .unwrap()
            .into_inner();
        watch.message().await.unwrap().unwrap();
        watches.push(watch);
    }
    let mut health = HealthClient::new(tcp.transport());
    let mut health = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status, 1);
    let slow = tokio::spawn({
        let mut tenants = tcp.tenants();
        async move { tenants.get_tenant(named("slow")).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;

    let address = play.running.address().unwrap();
    let started = Instant::now();
    let drained = play.running.stop().await;
    let took = started.elapsed();
    assert!(!drained, "the slow call had to be cut");
    assert!(
        took < Duration::from_millis(1_500),
        "{took:?} for a grace of 500 ms"
    );
    assert_eq!(
        health.message().await.unwrap().unwrap().status,
        2,
        "told before the end"
    );
    for mut watch in watches {
        assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    }
    assert!(slow.await.unwrap().is_err());
    assert_eq!(
        play.stage.dropped.load(Ordering::SeqCst),
        3,
        "both watches and the slow call were dropped"
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn calls_in_flight_are_answered_before_the_end() {
    let settings = ServerSettings {
        deadline_ms: 300,
        grace_ms: 5_000,
        ..stage::settings()
    };
    let play = Play::with(settings, Identity::embedded(&stage::SECRET)).await;
    let client = play
        .tcp(&Options {
            attempts: 1,
            ..Options::default()
        })
        .await;
    let call = tokio::spawn({
        let mut tenants = client.tenants();
        async move { tenants.get_tenant(named("slow")).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    assert!(play.running.stop().await);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(
        call.await.unwrap().unwrap_err().code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn the_page_of_figures_counts_calls() {
    let play = Play::start().await;
    let client = play.tcp(&Options::default()).await;
    client.tenants().get_tenant(named("fine")).await.unwrap();
    client
        .tenants()
        .get_tenant(named("panic"))
        .await
        .unwrap_err();
    let snapshot = client
        .customer_changes()
        .snapshot_changes(SnapshotChangesRequest::default())
        .await;
    drop(snapshot);
    let _ = stage::raw(&client, "/some/random-path-4711", frame(b"")).await;
    {
        let mut tenants = client.tenants();
        let dropped = tokio::time::timeout(
            Duration::from_millis(100),
            tenants.get_tenant(named("slow")),
        )
        .await;
        assert!(dropped.is_err());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let address = play.running.metrics_address().unwrap();
    let page = String::from_utf8(http(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await)
        .unwrap();
    let of = |code: &str| {
        format!(r#"service="regard.customer.v1.TenantService",method="GetTenant",code="{code}"}} "#)
    };
    for code in ["OK", "INTERNAL", "CANCELLED"] {
        assert!(
            page.contains(&format!("regard_requests_total{{{}", of(code))),
            "{code} in {page}"
        );
    }
    assert!(
        page.contains(
            r#"regard_requests_total{service="unknown",method="unknown",code="UNIMPLEMENTED"}"#
        ),
        "{page}"
    );
    assert!(
        page.contains("regard_request_seconds_bucket{") && page.contains("regard_panics_total{"),
        "{page}"
    );
    assert!(page.contains(r#"regard_requests_in_flight{service="regard.customer.v1.ChangeService",method="SnapshotChanges"} 0"#));
    assert!(!page.contains("4711"), "labels come from closed sets");
    let page =
        String::from_utf8(http(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).unwrap();
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
}

#[tokio::test]
async fn grpc_web_shares_the_port() {
    let play = Play::start().await;
    let address = play.running.address().unwrap();
    let call = async |message: &[u8]| {
        let body = frame(message);
        let head = format!(
            "POST /regard.customer.v1.TenantService/GetTenant HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/grpc-web+proto\r\nx-request-id: from-the-web\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = http(address, &[head.as_bytes(), &body].concat()).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = call(b"\x0a\x04fine").await;
    assert!(
        answer.starts_with("HTTP/1.1 200")
            && answer.contains("fine")
            && answer.contains("grpc-status:0"),
        "{answer}"
    );
    assert!(answer.contains("x-request-id: from-the-web"), "{answer}");
    let answer = call(b"\x0a\x05panic").await;
    assert!(
        answer.contains("grpc-status: 13") || answer.contains("grpc-status:13"),
        "{answer}"
    );
    let answer = http(
        address,
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn reflection_lists_what_is_served() {
    let play = Play::start().await;
    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            "regard.customer.v1.TenantService".to_owned(),
        )),
    ];
    let mut reflection = ServerReflectionClient::new(play.pipe.channel());
    let answers = reflection
        .server_reflection_info(futures::stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    let answers = answers.collect::<Vec<_>>().await;
    let Some(MessageResponse::ListServicesResponse(list)) =
        &answers[0].as_ref().unwrap().message_response
    else {
        unreachable!("{answers:?}")
    };
    let names = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect::<Vec<_>>();
    assert!(
        names.contains(&"regard.customer.v1.TenantService")
            && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name.contains("scoring")),
        "{names:?}"
    );
    assert!(matches!(
        answers[1].as_ref().unwrap().message_response,
        Some(MessageResponse::FileDescriptorResponse(_))
    ));
}

#[derive(Clone)]
struct Foreign(HealthServer<tonic_health::server::HealthService>);

impl tonic::server::NamedService for Foreign {
    const NAME: &'static str = "foreign.Service";
}

impl tower::Service<http::Request<tonic::body::Body>> for Foreign {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        tower::Service::call(&mut self.0, request)
    }
}

#[tokio::test]
async fn what_must_not_start_does_not() {
    let identity = || Identity::embedded(&stage::SECRET);
    let health = tonic_health::server::HealthService::from_health_reporter(
        tonic_health::server::HealthReporter::new(),
    );
    let foreign = Service::new(
        "foreign",
        Grpc::new().with(Foreign(HealthServer::new(health))),
    );
    let error = Running::start(vec![foreign], &stage::settings(), identity(), &Pipe::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ServeError::Unprotected(_))
            && error.to_string().contains("foreign.Service"),
        "{error}"
    );

    let wrong = ServerSettings {
        grace_ms: 700_000,
        listen: "nowhere".to_owned(),
        ..stage::settings()
    };
    let error = Running::start(Vec::new(), &wrong, identity(), &Pipe::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("server.grace_ms: 700000") && error.contains("server.listen: nowhere"),
        "{error}"
    );

    let typo = toml::from_str::<ServerSettings>("grace = 5")
        .unwrap_err()
        .to_string();
    assert!(
        typo.contains("grace") && typo.contains("grace_ms"),
        "{typo}"
    );

    let play = Play::start().await;
    let taken = ServerSettings {
        listen: play.running.address().unwrap().to_string(),
        ..stage::settings()
    };
    let error = Running::start(Vec::new(), &taken, identity(), &Pipe::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
}

#[tokio::test]
async fn jobs_run_until_the_end_and_health_follows_readiness() {
    let (runs, ready) = (
        std::sync::Arc::new(0.into()),
        std::sync::Arc::new(false.into()),
    );
    let counted: std::sync::Arc<std::sync::atomic::AtomicUsize> = std::sync::Arc::clone(&runs);
    let asked: std::sync::Arc<std::sync::atomic::AtomicBool> = std::sync::Arc::clone(&ready);
    let service = Service::new("customer", Grpc::new())
        .job(Job::new("bad", async {
            std::panic::panic_any("a job's bug")
        }))
        .job(Job::new("ticks", async move {
            loop {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
        .ready(move || {
            let is = asked.load(Ordering::SeqCst);
            async move {
                if is {
                    Ok(())
                } else {
                    Err("the database is away".to_owned())
                }
            }
        });
    let pipe = Pipe::new();
    let settings = ServerSettings {
        listen: String::new(),
        metrics_listen: String::new(),
        ..stage::settings()
    };
    let running = Running::start(
        vec![service],
        &settings,
        Identity::embedded(&stage::SECRET),
        &pipe,
    )
    .await
    .unwrap();
    let client = Client::over(pipe.channel(), &Options::default()).unwrap();
    let check = async |name: &str| {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        HealthClient::new(client.transport())
            .check(request)
            .await
            .unwrap()
            .into_inner()
            .status
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((check("").await, check("customer").await), (1, 2));
    ready.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!((check("").await, check("customer").await), (1, 1));
    assert!(running.stop().await);
    let done = runs.load(Ordering::SeqCst);
    assert!(done > 5);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(
        runs.load(Ordering::SeqCst),
        done,
        "no job outlives the server"
    );
}

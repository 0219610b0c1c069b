//! What the server takes in and what it refuses: rates, also over replicas, connections, their age; and the order of its
//! end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_proto::common::v1::ErrorReason;
use regard_proto::customer::v1::WatchChangesRequest;
use regard_proto::customer::v1::tenant_service_client::TenantServiceClient;
use regard_server::{CancellationToken, Identity, Job, Pipe, Running, ServerSettings};
use regard_testkit::RedisServer;
use stage::{Play, SECRET, named};
use tokio::io::AsyncReadExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

async fn channel(play: &Play) -> Channel {
    let endpoint = Endpoint::from_shared(play.address()).unwrap();
    endpoint.connect().await.unwrap()
}

/// One call without any repeat: None, or how long to wait.
async fn ask(channel: &Channel) -> Option<Duration> {
    let mut client = TenantServiceClient::new(channel.clone());
    match client.get_tenant(named("fine")).await {
        Ok(_) => None,
        Err(status) => Some(told(&status)),
    }
}

fn told(status: &Status) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(ErrorReason::of(status), Some(ErrorReason::RateLimited));
    let retry = status.get_details_retry_info().unwrap();
    retry.retry_delay.unwrap()
}

/// Calls both for some time as quickly as they answer; how many were accepted.
async fn accepted(replicas: &[&Channel], time: Duration) -> u32 {
    let (began, mut accepted) = (Instant::now(), 0);
    while began.elapsed() < time {
        for replica in replicas {
            accepted += u32::from(ask(replica).await.is_none());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    accepted
}

fn rates(per_second: u32, burst: u32) -> ServerSettings {
    let mut settings = stage::settings();
    settings.limits.tenant_per_second = 0;
    settings.limits.caller_per_second = per_second;
    settings.limits.caller_burst = burst;
    settings
}

#[tokio::test]
async fn a_rate_is_kept_and_the_wait_is_exact() {
    let play = Play::with(rates(5, 3), Identity::embedded(&SECRET)).await;
    let channel = channel(&play).await;
    for _ in 0..3 {
        assert_eq!(ask(&channel).await, None);
    }
    let mut wait = ask(&channel).await;
    for _ in 0..3 {
        let refused = wait
            .take()
            .unwrap_or_else(|| panic!("five a second, not more"));
        assert!(refused <= Duration::from_millis(200), "{refused:?}");
        tokio::time::sleep(refused).await;
        assert_eq!(ask(&channel).await, None, "after exactly the wait");
        wait = ask(&channel).await;
    }
}

#[tokio::test]
async fn a_tenant_is_limited_as_a_whole() {
    let identity = stage::identity(
        r#"
        embedded = false
        keys = [
            { key = "key-of-the-first-1", name = "first", tenant = "shop" },
            { key = "key-of-the-second", name = "second", tenant = "shop" },
            { key = "key-of-the-other-1", name = "first", tenant = "other" },
        ]"#,
    );
    let mut settings = rates(0, 0);
    settings.limits.tenant_per_second = 1;
    settings.limits.tenant_burst = 4;
    let play = Play::with(settings, identity).await;
    let mut outcomes = Vec::new();
    for key in ["key-of-the-first-1", "key-of-the-second"].repeat(4) {
        outcomes.push(with_key(&play, key).await);
    }
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
    for status in refused {
        told(status);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["scope"], "tenant");
        assert_eq!(info.metadata["limit"], "1");
    }
    with_key(&play, "key-of-the-other-1").await.unwrap();
}

async fn with_key(play: &Play, key: &str) -> Result<(), Status> {
    let options = Options {
        api_key: Some(key.to_owned()),
        attempts: 1,
        ..Options::default()
    };
    let client = play.tcp(&options).await;
    client.tenants().get_tenant(named("fine")).await.map(|_| ())
}

#[tokio::test]
async fn replicas_share_a_rate_and_outlive_redis() {
    let mut redis = RedisServer::start().await;
    let (per_second, burst) = (40, 80);
    let mut settings = rates(per_second, burst);
    settings.limits.redis_url = redis.url();
    let first = Play::with(settings.clone(), Identity::embedded(&SECRET)).await;
    let second = Play::with(settings, Identity::embedded(&SECRET)).await;
    let (first, second) = (channel(&first).await, channel(&second).await);
    let both = [&first, &second];
    let most = |time: Duration, buckets: f64| {
        // The burst, the rate's, and what two replicas have in hand: 4 tokens each.
        (buckets * (f64::from(burst) + time.as_secs_f64() * f64::from(per_second))).ceil() as u32
            + 8
    };
    let began = Instant::now();
    let done = accepted(&both, Duration::from_secs(2)).await;
    assert!(
        done <= most(began.elapsed(), 1.0),
        "{done} by both together"
    );
    assert!(done >= burst, "{done}");

    redis.stop();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut done = 0;
    while began.elapsed() < Duration::from_secs(2) {
        for replica in both {
            let asked = Instant::now();
            done += u32::from(ask(replica).await.is_none());
            slowest = slowest.max(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Each has its own bucket, which its own calls had emptied: no more than twice the rate, and no less than it.
    assert!(done >= per_second, "{done} while Redis is away");
    assert!(
        done <= most(began.elapsed(), 2.0),
        "{done} while Redis is away"
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?} for a call");

    redis.start_again().await;
    // Within some seconds it is found, and the rate is one again: together they take no more than one alone would.
    let mut seconds = Vec::new();
    while seconds
        .last()
        .is_none_or(|done| *done >= per_second * 3 / 2)
    {
        assert!(seconds.len() < 30, "still two rates: {seconds:?}");
        seconds.push(accepted(&both, Duration::from_secs(1)).await);
    }
}

#[tokio::test]
async fn connections_are_bounded_and_unused_ones_end() {
    let mut settings = stage::settings();
    settings.limits.connections_per_peer = 3;
    settings.limits.first_call_ms = 300;
    settings.limits.idle_ms = 1_000;
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    let address = play.running.address().unwrap();
    let closed = async |stream: &mut tokio::net::TcpStream| {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut byte));
        matches!(read.await, Ok(Ok(0) | Err(_)))
    };
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    let mut fourth = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(closed(&mut fourth).await);
    let refused = began.elapsed();
    for stream in &mut silent {
        assert!(closed(stream).await, "who says nothing is sent away");
    }
    assert!(
        refused < began.elapsed(),
        "the fourth was not let in at all"
    );
    // A call, and a pause that is longer than the idle time: the connection is gone, the client makes another.
    let client = play.tcp(&Options::default()).await;
    client.tenants().get_tenant(named("fine")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    client.tenants().get_tenant(named("fine")).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_is_left_without_a_failed_call_and_its_streams_end() {
    let settings = ServerSettings {
        max_connection_age_ms: 1_000,
        max_connection_age_grace_ms: 300,
        ..stage::settings()
    };
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    let channel = channel(&play).await;
    let options = Options::default();
    let client = Client::over(channel.clone(), &options).unwrap();
    let mut watch = client
        .customer_changes()
        .watch_changes(WatchChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap().unwrap();
    let began = Instant::now();
    let watched = tokio::spawn(async move { (watch.message().await, began.elapsed()) });
    while began.elapsed() < Duration::from_secs(3) {
        client.tenants().get_tenant(named("fine")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let (ended, after) = watched.await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    assert!(after > Duration::from_secs(1), "{after:?}");
}

#[tokio::test]
async fn the_end_has_an_order() {
    let told = Arc::new(Mutex::new(Vec::<&str>::new()));
    let note = |what: &'static str| told.lock().unwrap().push(what);
    let (stage, pipe) = (stage::Stage::default(), Pipe::new());
    let mut services = stage::services(&stage);
    let customer = services.remove(0);
    let (ticks, handed, closed) = (told.clone(), told.clone(), told.clone());
    let customer = customer
        .job(Job::handing_back(
            "follow",
            move |stop: CancellationToken| {
                let told = handed.clone();
                async move {
                    stop.cancelled().await;
                    told.lock().unwrap().push("asked");
                    tokio::time::sleep(Duration::from_millis(100)).await; // the batch in hand
                    told.lock().unwrap().push("handed back");
                }
            },
        ))
        .job(Job::handing_back("stubborn", |_| std::future::pending()))
        .job(Job::restarting("ticks", move || {
            let told = ticks.clone();
            async move {
                let _dropped = OnDrop(told);
                std::future::pending::<()>().await;
            }
        }))
        .close(async move { closed.lock().unwrap().push("closed") });
    services.push(customer);
    let settings = ServerSettings {
        deadline_ms: 600,
        grace_ms: 5_000,
        hand_back_ms: 700,
        ..stage::settings()
    };
    let running = Running::start(services, &settings, Identity::embedded(&SECRET), &pipe)
        .await
        .unwrap();
    let address = format!("http://{}", running.address().unwrap());
    let options = Options {
        attempts: 1,
        ..Options::default()
    };
    let client = Client::connect(&address, &options).await.unwrap();
    let call = tokio::spawn({
        let (told, client) = (told.clone(), client.clone());
        async move {
            let status = client
                .tenants()
                .get_tenant(named("slow"))
                .await
                .unwrap_err();
            told.lock().unwrap().push("answered");
            status.code()
        }
    });
    let mut watch = client
        .customer_changes()
        .watch_changes(WatchChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    assert!(!running.stop().await, "one job had to be dropped");
    let took = began.elapsed();
    note("stopped");
    assert_eq!(call.await.unwrap(), Code::DeadlineExceeded, "not cut");
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    assert!(took < Duration::from_secs(4), "{took:?}");
    let told = told.lock().unwrap().clone();
    let at = |what: &str| {
        told.iter()
            .position(|t| *t == what)
            .unwrap_or_else(|| panic!("{what}: {told:?}"))
    };
    assert!(at("answered") < at("handed back"), "{told:?}");
    assert!(
        at("asked") < at("handed back") && at("handed back") < at("closed"),
        "{told:?}"
    );
    assert!(
        at("dropped") < at("closed") && at("closed") < at("stopped"),
        "{told:?}"
    );
}

struct OnDrop(Arc<Mutex<Vec<&'static str>>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("dropped");
    }
}

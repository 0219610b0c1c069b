//! The client's balancer over several servers: load on all of them, and no failed call when one leaves or comes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_proto::customer::v1::{CreateTenantRequest, Tenant, UpdateTenantRequest};
use regard_server::{Identity, ServerSettings};
use stage::{Play, SECRET, named, settings};
use tonic::Code;

async fn serve(listen: &str) -> Play {
    let settings = ServerSettings {
        listen: listen.to_owned(),
        metrics_listen: String::new(),
        grace_ms: 10_000,
        ..settings()
    };
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    // Its first two writes fail.
    play.stage.calls.store(2, Ordering::SeqCst);
    play
}

fn number(play: &Play) -> String {
    play.running.address().unwrap().to_string()
}

fn acme() -> Tenant {
    Tenant {
        name: "acme".to_owned(),
        ..Tenant::default()
    }
}

/// Calls that are made without a pause until told to stop: reads, and writes that may not be repeated.
struct Load {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<tonic::Status>>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (done, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let tasks = (0..16)
            .map(|caller| {
                let (client, done, stop) = (client.clone(), Arc::clone(&done), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let answer = if caller % 2 == 0 {
                            client.tenants().get_tenant(named("a")).await.map(|_| ())
                        } else {
                            let request = CreateTenantRequest {
                                tenant: Some(acme()),
                                ..CreateTenantRequest::default()
                            };
                            client.tenants().create_tenant(request).await.map(|_| ())
                        };
                        done.fetch_add(1, Ordering::SeqCst);
                        failed.extend(answer.err());
                    }
                    failed
                })
            })
            .collect();
        Self { done, stop, tasks }
    }

    /// Waits for so many more answers.
    async fn more(&self, calls: usize) {
        let wanted = self.done.load(Ordering::SeqCst) + calls;
        let began = Instant::now();
        while self.done.load(Ordering::SeqCst) < wanted {
            assert!(began.elapsed() < Duration::from_secs(60), "calls hang");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> Vec<tonic::Status> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for task in self.tasks {
            failed.extend(task.await.unwrap());
        }
        failed
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_leave_and_come_under_load_without_a_failed_call() {
    let one = serve("127.0.0.1:0").await;
    let other = serve("127.0.0.1:0").await;
    let (first, second) = (number(&one), number(&other));
    let client = Client::connect(&format!("http://{first},{second}"), &Options::default())
        .await
        .unwrap();
    let load = Load::start(&client);
    load.more(500).await;
    let shares = [&one, &other].map(|play| play.stage.reads.load(Ordering::SeqCst));
    let all = shares[0] + shares[1];
    assert!(
        shares.iter().all(|share| share * 4 > all),
        "uneven: {shares:?}"
    );
    // Each leaves in order and comes back where it was.
    assert!(one.running.stop().await, "calls were cut");
    load.more(300).await;
    let one = serve(&first).await;
    let began = Instant::now();
    while one.stage.reads.load(Ordering::SeqCst) == 0 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the server that came back gets no calls"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(other.running.stop().await, "calls were cut");
    load.more(300).await;
    let other = serve(&second).await;
    load.more(300).await;
    let failed = load.end().await;
    assert!(
        failed.is_empty(),
        "{} failed, such as {:?}",
        failed.len(),
        failed.first()
    );
    drop((one, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_grow_old_fail_no_call() {
    let settings = ServerSettings {
        max_connection_age_ms: 1_000,
        metrics_listen: String::new(),
        ..settings()
    };
    let play = Play::with(settings, Identity::embedded(&SECRET)).await;
    play.stage.calls.store(2, Ordering::SeqCst);
    let client = Client::connect(&play.address(), &Options::default())
        .await
        .unwrap();
    let load = Load::start(&client);
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    load.more(100).await;
    let failed = load.end().await;
    assert!(
        failed.is_empty(),
        "{} failed, such as {:?}",
        failed.len(),
        failed.first()
    );
}

#[tokio::test]
async fn an_address_where_nobody_is_costs_nothing() {
    let play = serve("127.0.0.1:0").await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let client = Client::connect(
        &format!("http://{gone},{}", number(&play)),
        &Options::default(),
    )
    .await
    .unwrap();
    for _ in 0..50 {
        client.tenants().get_tenant(named("a")).await.unwrap();
    }
    assert_eq!(play.stage.reads.load(Ordering::SeqCst), 50);
    let away = Client::connect(&format!("http://{gone}"), &Options::default()).await;
    let told = away.unwrap_err().to_string();
    assert!(
        told.contains(&gone.to_string()) && told.contains("regard serve"),
        "{told}"
    );
}

#[tokio::test]
async fn a_client_that_was_early_finds_the_server() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = closed.local_addr().unwrap().to_string();
    drop(closed);
    // By name: its servers are asked for.
    let port = listen.rsplit(':').next().unwrap();
    let client = Client::lazy(&format!("http://localhost:{port}"), &Options::default()).unwrap();
    let status = client.tenants().get_tenant(named("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("cannot be reached"), "{status:?}");
    let play = serve(&listen).await;
    // At once: what is down is tried again when somebody calls.
    client.tenants().get_tenant(named("a")).await.unwrap();
    drop(play);
}

#[tokio::test]
async fn repetitions_end_when_nothing_succeeds() {
    let play = serve("127.0.0.1:0").await;
    let client = Client::connect(&play.address(), &Options::default())
        .await
        .unwrap();
    // `update_tenant` is always down; with a request id it may be repeated.
    let calls = 200;
    for _ in 0..calls {
        let mut call = tonic::Request::new(UpdateTenantRequest {
            tenant: Some(acme()),
            request_id: "again".to_owned(),
            ..UpdateTenantRequest::default()
        });
        call.set_timeout(Duration::from_millis(300));
        let status = client.tenants().update_tenant(call).await.unwrap_err();
        assert!(
            matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded),
            "{status:?}"
        );
    }
    let seen = play.stage.calls.load(Ordering::SeqCst) - 2;
    assert!(seen <= calls + 60, "{seen} for {calls} calls");
    assert!(seen > calls, "nothing was repeated");
}

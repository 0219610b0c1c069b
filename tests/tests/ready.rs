//! Whether a service is ready is told of itself: its store, how far it follows; and a start waits for its store.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regard_database::{Database, DatabaseSettings, StoreError};
use regard_testkit::{CacheKind, Engine, TestStore, run};
use regard_tests::plan::{Open, Plan, ids};
use regard_tests::tables;
use regard_tests::values::{create, order, record, scores};
use regard_tests::world::{World, until};
use regard_types::{Clock, Service};
use tokio::net::{TcpListener, TcpStream};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// What health says of the process and of each service: whether it serves; a service that is not there is not known.
async fn health(open: &Open) -> BTreeMap<&'static str, bool> {
    let mut health = HealthClient::new(open.pipe.channel());
    let mut out = BTreeMap::new();
    for name in ["", "customer", "feedback", "scoring"] {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        if let Ok(answer) = health.check(request).await {
            out.insert(name, answer.into_inner().status == 1);
        }
    }
    out
}

async fn until_health(open: &Open, expected: &[(&'static str, bool)]) {
    let expected: BTreeMap<_, _> = expected.iter().copied().collect();
    let what = format!("{expected:?}");
    until(&what, async || {
        (health(open).await == expected).then_some(())
    })
    .await;
}

/// Without its store the customer service is not ready; the others and the process stay up; with the store it is ready again.
#[test]
fn a_service_without_its_store_is_not_ready() {
    run(async {
        let world = World::new(Engine::Postgres, CacheKind::Memory).await;
        let all = |customer| {
            [
                ("", true),
                ("customer", customer),
                ("feedback", true),
                ("scoring", true),
            ]
        };
        let client = world.client();
        create(&client, "c").await;
        until_health(world.open(), &all(true)).await;

        let away = &world.stores[0].database().unwrap().name;
        let door = world.stores[1].admin_url();
        let close = format!("ALTER DATABASE {away} ALLOW_CONNECTIONS false");
        let cut = format!(
            "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{away}'; END $$"
        );
        tables::run(&door, &[&close, &cut]).await;
        until_health(world.open(), &all(false)).await;

        let open = format!("ALTER DATABASE {away} ALLOW_CONNECTIONS true");
        tables::run(&door, &[&open]).await;
        until_health(world.open(), &all(true)).await;
        let token = record(&client, order("o", "c", 1_000, "2026-01-02")).await;
        scores(&client, "c", &[token]).await;
    });
}

/// Scoring that hears nothing of a feed for longer than it may be behind is not ready, until it hears of it again.
#[test]
fn scoring_that_is_behind_is_not_ready() {
    run(async {
        let [customer, feedback, scoring] = [
            TestStore::new(Engine::Sqlite).await,
            TestStore::new(Engine::Sqlite).await,
            TestStore::new(Engine::Sqlite).await,
        ];
        let port = regard_testkit::free_port();
        let source = Plan {
            customer: customer.url.clone(),
            listen: format!("127.0.0.1:{port}"),
            ..Plan::default()
        };
        let reader = Plan {
            feedback: feedback.url.clone(),
            scoring: scoring.url.clone(),
            customer_at: format!("http://127.0.0.1:{port}"),
            ready_lag_ms: 1_500,
            ..Plan::default()
        };
        let all = |scoring| [("", true), ("feedback", true), ("scoring", scoring)];
        let followed = source.open(&Clock::System).await.unwrap();
        let reader = reader.open(&Clock::System).await.unwrap();
        // It hears of it: beyond the bound still ready.
        tokio::time::sleep(Duration::from_secs(3)).await;
        until_health(&reader, &all(true)).await;
        followed.running.stop().await;
        until_health(&reader, &all(false)).await;
        let followed = source.open(&Clock::System).await.unwrap();
        until_health(&reader, &all(true)).await;
        reader.running.stop().await;
        followed.running.stop().await;
    });
}

/// A url with another port, where nobody listens yet, and the port that it had.
fn moved(url: &str) -> (String, u16, u16) {
    let port = |text: &str| text.split(['/', ':']).next().unwrap().parse::<u16>();
    let old = url.rsplit(':').next().and_then(|rest| port(rest).ok());
    let old = old.unwrap();
    let new = regard_testkit::free_port();
    let url = url.replacen(&format!(":{old}/"), &format!(":{new}/"), 1);
    assert!(url.contains(&format!(":{new}/")), "{url}");
    (url, new, old)
}

#[test]
fn a_start_waits_for_its_store() {
    run(async {
        let store = TestStore::new(Engine::Postgres).await;
        let (url, new, old) = moved(&store.url);
        let plan = Plan {
            customer: url,
            ..Plan::default()
        };
        let late = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let door = TcpListener::bind(("127.0.0.1", new)).await.unwrap();
            loop {
                let (mut caller, _) = door.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut store = TcpStream::connect(("127.0.0.1", old)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut store).await;
                });
            }
        };
        let began = Instant::now();
        tokio::select! {
            never = late => never,
            open = plan.open(&Clock::System) => {
                assert!(began.elapsed() >= Duration::from_millis(700));
                open.unwrap().running.stop().await;
            }
        }
    });
}

#[test]
fn a_start_waits_no_longer_than_it_is_told() {
    run(async {
        let store = TestStore::new(Engine::Postgres).await;
        let settings = DatabaseSettings {
            open_wait_ms: 300,
            acquire_ms: 300,
            ..DatabaseSettings::new(moved(&store.url).0)
        };
        let began = Instant::now();
        let opened = Database::open(
            &settings,
            Service::Customer,
            Vec::new(),
            Clock::System,
            ids(),
        );
        let error = opened.await.err().unwrap();
        let away = matches!(error, StoreError::Down(_) | StoreError::Busy(_));
        assert!(away, "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}

//! Processes that are killed: what was acknowledged is there, once, and scoring is equal to the bit to one that was never
//! killed.
//!
//! Long form (50 kills, 100,000 orders): `REGARD_LONG=1 cargo test -p regard-tests --test crash`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use regard_client::Session;
use regard_proto::customer::v1 as customer;
use regard_testkit::{Engine, TestStore, free_port};
use regard_tests::child::{Process, client_at};
use regard_tests::plan::Plan;
use regard_tests::sized;
use regard_tests::tables::{self, check_same, summaries};
use regard_tests::values::{ingest, order, pin, record, row, score, scores};
use regard_types::Clock;

regard_testkit::on_both_engines!(
    scoring_is_killed_and_equals_a_fresh_one,
    customer_is_killed_and_loses_and_doubles_nothing,
    a_snapshot_of_a_lost_epoch_begins_anew,
);

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");
const BATCH: usize = 100;

/// Orders in batches; one in four customers buys often, times are spread over two months.
fn batches(orders: usize) -> Vec<Vec<customer::OrderRow>> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let rows: Vec<_> = (0..orders)
        .map(|n| {
            let of = if random.random_bool(0.5) {
                random.random_range(0..orders / 16 + 1)
            } else {
                random.random_range(0..orders)
            };
            let day = format!(
                "2026-{:02}-{:02}",
                random.random_range(1..3),
                random.random_range(1..28)
            );
            row(
                &format!("o{n}"),
                &format!("c{of}"),
                random.random_range(0..20_000),
                &day,
            )
        })
        .collect();
    rows.chunks(BATCH).map(<[_]>::to_vec).collect()
}

/// The leases of a killed process run out by themselves after some seconds; a test need not wait for that every time.
async fn expire_leases(url: &str) {
    tables::run(url, &["UPDATE lease SET until = 0"]).await;
}

async fn scoring_is_killed_and_equals_a_fresh_one(store: TestStore) {
    let (feedback, scoring, fresh) = (
        store.another().await,
        store.another().await,
        store.another().await,
    );
    let plan = Plan {
        customer: store.url.clone(),
        feedback: feedback.url.clone(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let records = plan.open(&Clock::System).await.unwrap();
    let address = format!("http://{}", records.running.address().unwrap());
    let client = client_at(&address, "default");
    let session = Session::new();
    session.note(&pin(&client, "2026-03-31").await).unwrap();
    let plan = |url: &str| Plan {
        scoring: url.to_owned(),
        customer_at: address.clone(),
        feedback_at: address.clone(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let kills = sized(5, 50);
    let orders = sized(5_000, 100_000);
    let batches = batches(orders);
    let mut random = rand::rng();
    let mut applied = Vec::new();
    for part in batches.chunks(batches.len().div_ceil(kills)) {
        let plan = plan(&scoring.url);
        let started = tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan));
        let recording = {
            let (client, part) = (client.clone(), part.to_vec());
            tokio::spawn(async move { ingest(&client, part).await.unwrap() })
        };
        let process = started.await.unwrap();
        // At work: it has begun with what is new, however long its start took.
        let before = applied.last().copied().unwrap_or(0);
        for _ in 0..200 {
            if tables::count(&scoring.url, "event").await > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        process.kill();
        expire_leases(&scoring.url).await;
        // How far it had come.
        applied.push(tables::count(&scoring.url, "event").await);
        for result in recording.await.unwrap() {
            assert_eq!(usize::try_from(result.accepted).unwrap(), BATCH);
            session.note(&result.change_token).unwrap();
        }
    }
    println!("events applied at each kill: {applied:?}");
    let middle = |events: &&u64| **events > 0 && usize::try_from(**events).unwrap() < orders;
    assert!(
        applied.iter().filter(middle).count() * 3 >= kills,
        "scoring was not killed at work: {applied:?}"
    );
    let mut found = Vec::new();
    for url in [&scoring.url, &fresh.url] {
        let plan = plan(url);
        let process = tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
            .await
            .unwrap();
        let client = process.client("default");
        regard_tests::world::until("scoring to catch up", || async {
            regard_tests::values::try_scores(&client, "c0", &session.tokens())
                .await
                .ok()
        })
        .await;
        scores(&client, "c1", &session.tokens()).await;
        // The roll may still bring rows to their day.
        regard_tests::world::until("the roll", || async {
            let rows = summaries(url).await;
            rows.iter()
                .all(|row| row.contains("as_of=20543 "))
                .then_some(())
        })
        .await;
        found.push(summaries(url).await);
    }
    assert!(found[1].len() > orders / 8, "{} summaries", found[1].len());
    check_same("summaries after the kills", &found[0], &found[1]);
    let events = (
        tables::count(&scoring.url, "event").await,
        tables::count(&fresh.url, "event").await,
    );
    assert_eq!(events.0, events.1, "events");
    records.running.stop().await;
}

async fn customer_is_killed_and_loses_and_doubles_nothing(store: TestStore) {
    let plan = Plan {
        customer: store.url.clone(),
        listen: format!("127.0.0.1:{}", free_port()),
        ..Plan::default()
    };
    let start = || {
        let plan = plan.clone();
        async move {
            tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
                .await
                .unwrap()
        }
    };
    let mut process = start().await;
    let client = client_at(&process.address, "default");
    let batches = batches(sized(5_000, 100_000));
    let orders = batches.len() * BATCH;
    let recording = tokio::spawn(async move {
        let mut resent = 0;
        for batch in batches {
            loop {
                match ingest(&client, vec![batch.clone()]).await {
                    Ok(results) if results.len() == 1 => {
                        let result = &results[0];
                        assert_eq!(
                            usize::try_from(result.accepted + result.unchanged).unwrap(),
                            BATCH,
                            "{result:?}"
                        );
                        // All of a batch or nothing of it.
                        assert!(
                            result.accepted == 0 || result.unchanged == 0,
                            "half a batch was stored: {result:?}"
                        );
                        // However fast the machine, the ingest outlives several kills.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        break;
                    }
                    _ => {
                        resent += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
        resent
    });
    let mut kills = 0;
    while !recording.is_finished() && kills < sized(6, 50) {
        let longest = Duration::from_millis(if regard_tests::long() { 700 } else { 100 });
        let lives = rand::rng().random_range(Duration::from_millis(5)..longest);
        tokio::time::sleep(lives).await;
        process.kill();
        kills += 1;
        process = start().await;
    }
    let resent = recording.await.unwrap();
    println!("{kills} kills, {resent} batches sent again");
    assert!(kills > 1, "the ingest was over before anything was killed");
    let count = |sql: &str| {
        let (url, sql) = (store.url.clone(), sql.to_owned());
        async move { tables::texts(&url, sql).await[0].parse::<usize>().unwrap() }
    };
    assert_eq!(
        count("SELECT CAST(count(*) AS text) FROM sales_order").await,
        orders
    );
    assert_eq!(
        count("SELECT CAST(count(*) AS text) FROM change WHERE kind = 'order'").await,
        orders
    );
    assert_eq!(count("SELECT CAST(count(DISTINCT record) AS text) FROM change WHERE kind = 'order' AND version = 1").await, orders);
    // Nothing is missing among the positions.
    assert_eq!(
        count("SELECT CAST(count(*) AS text) FROM change").await,
        count("SELECT CAST(sum(head) AS text) FROM lane").await
    );
}

/// Scoring stopped while it read a snapshot, and the customer service has another epoch now: set back to a backup, say.
async fn a_snapshot_of_a_lost_epoch_begins_anew(store: TestStore) {
    let (other, scoring) = (store.another().await, store.another().await);
    let plan = |url: &str| Plan {
        customer: url.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    // A token of an epoch that this customer service has never had.
    let elsewhere = plan(&other.url).open(&Clock::System).await.unwrap();
    let all = elsewhere.pipe.channel_of(regard_server::service_caller(
        "scoring",
        &regard_tests::plan::ids(),
    ));
    let mut changes = customer::change_service_client::ChangeServiceClient::new(all);
    let mut parts = changes
        .snapshot_changes(customer::SnapshotChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let resume = parts.message().await.unwrap().unwrap().resume_token;
    assert!(!resume.is_empty());
    elsewhere.running.stop().await;

    let records = plan(&store.url).open(&Clock::System).await.unwrap();
    let address = format!("http://{}", records.running.address().unwrap());
    let client = client_at(&address, "default");
    let plan = Plan {
        scoring: scoring.url.clone(),
        customer_at: address.clone(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let read = |open: &regard_tests::plan::Open| {
        client_at(
            &format!("http://{}", open.running.address().unwrap()),
            "default",
        )
    };
    let open = plan.open(&Clock::System).await.unwrap();
    let session = Session::new();
    session.note(&pin(&client, "2026-03-31").await).unwrap();
    session
        .note(&record(&client, order("o1", "c", 100, "2026-03-01")).await)
        .unwrap();
    let before = scores(&read(&open), "c", &session.tokens()).await;
    assert_eq!(score(&before, "historic_value").value, Some(100.0));
    open.running.stop().await;
    let (nil, bytes) = match store.engine {
        Engine::Sqlite => ("zeroblob(16)".to_owned(), format!("x'{}'", hex(&resume))),
        Engine::Postgres => (
            "'00000000-0000-0000-0000-000000000000'".to_owned(),
            format!("'\\x{}'", hex(&resume)),
        ),
    };
    let begun = format!(
        "INSERT INTO load (no, feed, epoch, state, resume, created) VALUES (100, 'customer', {nil}, 'loading', {bytes}, 0)"
    );
    tables::run(&scoring.url, &[&begun]).await;
    expire_leases(&scoring.url).await;

    let open = plan.open(&Clock::System).await.unwrap();
    session
        .note(&record(&client, order("o2", "c", 50, "2026-03-02")).await)
        .unwrap();
    let after = scores(&read(&open), "c", &session.tokens()).await;
    assert_eq!(score(&after, "historic_value").value, Some(150.0));
    open.running.stop().await;
    records.running.stop().await;
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

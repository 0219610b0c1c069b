//! Redis goes and comes, and replicas share it: every read is answered, correctly, and none is older than its token.
//!
//! Long form (10,000 reads): `REGARD_LONG=1 cargo test -p regard-tests --test redis`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::Rng as _;
use regard_client::{Client, Options};
use regard_testkit::{Engine, RedisServer, TestStore, run};
use regard_tests::plan::{Open, Plan, ids};
use regard_tests::raw::{figure, figures};
use regard_tests::sized;
use regard_tests::values::{ingest, order, pin, record, row, score, scores};
use regard_types::{Caller, Clock};

const CUSTOMERS: usize = 40;

/// Customer and feedback in one server, two scoring replicas on one database, one Redis.
struct Replicas {
    records: Open,
    scoring: [Open; 2],
    _stores: [TestStore; 3],
}

impl Replicas {
    async fn start(engine: Engine, redis: &RedisServer) -> Self {
        let stores = [
            TestStore::new(engine).await,
            TestStore::new(engine).await,
            TestStore::new(engine).await,
        ];
        let plan = Plan {
            customer: stores[0].url.clone(),
            feedback: stores[1].url.clone(),
            listen: "127.0.0.1:0".to_owned(),
            figures: "127.0.0.1:0".to_owned(),
            ..Plan::default()
        };
        let records = plan.open(&Clock::System).await.unwrap();
        let address = format!("http://{}", records.running.address().unwrap());
        let plan = Plan {
            scoring: stores[2].url.clone(),
            redis: redis.url(),
            customer_at: address.clone(),
            feedback_at: address,
            ..Plan::default()
        };
        let scoring = [
            plan.open(&Clock::System).await.unwrap(),
            plan.open(&Clock::System).await.unwrap(),
        ];
        Self {
            records,
            scoring,
            _stores: stores,
        }
    }

    fn client(of: &Open) -> Client {
        let channel =
            of.pipe
                .channel_of(Caller::new(ids().tenant_id("default"), "default", "test"));
        Client::over(channel, &Options::default()).unwrap()
    }

    async fn redis_figure(&self, outcome: &str) -> f64 {
        let page = figures(self.records.running.metrics_address().unwrap()).await;
        let lines: Vec<_> = page
            .lines()
            .filter(|l| l.starts_with("regard_cache_requests_total") && l.contains("redis"))
            .collect();
        figure(
            &lines.join("\n"),
            "regard_cache_requests_total",
            &format!("\"{outcome}\""),
        )
    }
}

fn name(n: usize) -> String {
    format!("c{n}")
}

/// What customer n has bought, in cents: n + 1 dollars.
fn worth(n: usize) -> f64 {
    (n + 1) as f64 * 100.0
}

#[test]
fn reads_outlive_redis() {
    run(async {
        let mut redis = RedisServer::start().await;
        let suite = Replicas::start(Engine::Sqlite, &redis).await;
        let writer = Replicas::client(&suite.records);
        pin(&writer, "2026-03-31").await;
        let rows = (0..CUSTOMERS)
            .map(|n| {
                row(
                    &name(n),
                    &name(n),
                    (i64::try_from(n).unwrap() + 1) * 100,
                    "2026-03-01",
                )
            })
            .collect();
        let token = ingest(&writer, vec![rows])
            .await
            .unwrap()
            .remove(0)
            .change_token;
        for scoring in &suite.scoring {
            for n in 0..CUSTOMERS {
                scores(
                    &Replicas::client(scoring),
                    &name(n),
                    std::slice::from_ref(&token),
                )
                .await;
            }
        }
        let reads = sized(2_000, 10_000);
        let done = Arc::new(AtomicUsize::new(0));
        let read = |tasks: &mut tokio::task::JoinSet<()>, count: usize| {
            for task in 0..8 {
                let client = Replicas::client(&suite.scoring[task % 2]);
                let done = done.clone();
                tasks.spawn(async move {
                    for _ in 0..count / 8 {
                        let n = rand::rng().random_range(0..CUSTOMERS);
                        let found = scores(&client, &name(n), &[]).await;
                        assert_eq!(score(&found, "historic_value").value, Some(worth(n)));
                        done.fetch_add(1, Ordering::Relaxed);
                        // So that local copies, which live for a second, do not answer everything.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                });
            }
        };
        let mut tasks = tokio::task::JoinSet::new();
        read(&mut tasks, reads);
        while done.load(Ordering::Relaxed) < reads / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        redis.stop();
        while done.load(Ordering::Relaxed) < reads * 2 / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        redis.start_again().await;
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), reads / 8 * 8);
        // It is used again: hits rise, once it holds something.
        let before = suite.redis_figure("hit").await;
        let mut rounds = 0;
        while suite.redis_figure("hit").await <= before {
            rounds += 1;
            assert!(rounds < 60, "Redis is not used again");
            let mut tasks = tokio::task::JoinSet::new();
            read(&mut tasks, 80);
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
}

#[test]
fn no_read_is_older_than_its_token() {
    run(async {
        let redis = RedisServer::start().await;
        let suite = Replicas::start(Engine::Postgres, &redis).await;
        let writer = Replicas::client(&suite.records);
        pin(&writer, "2026-03-31").await;
        let reads = sized(2_000, 10_000);
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let writer = Replicas::client(&suite.records);
            let readers = suite.scoring.each_ref().map(Replicas::client);
            tasks.spawn(async move {
                let mut worth = [0.0; 3];
                for n in 0..reads / 8 / 4 {
                    let of = n % worth.len();
                    let id = format!("t{task}-{of}");
                    let token =
                        record(&writer, order(&format!("{id}-{n}"), &id, 100, "2026-03-01")).await;
                    worth[of] += 100.0;
                    for read in 0..4 {
                        let found =
                            scores(&readers[(n + read) % 2], &id, std::slice::from_ref(&token))
                                .await;
                        let value = score(&found, "historic_value").value;
                        assert_eq!(value, Some(worth[of]), "{id} at its write {n}, read {read}");
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
}

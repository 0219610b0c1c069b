//! Two replicas of the suite on one PostgreSQL and one Redis are restarted in turn, as a deployment does it, while callers
//! read and write at a steady pace through the client's balancer: not one request may fail, and nothing that was
//! acknowledged may be lost or doubled. Repetitions within the client are those that the contract allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_proto::customer::v1::{GetCustomerRequest, ListOrdersRequest, RecordOrderRequest};
use regard_testkit::{CacheKind, Engine, TestCache, TestStore, run};
use regard_tests::child::Process;
use regard_tests::plan::{Plan, key_of};
use regard_tests::sized;
use regard_tests::values::{customer_ref, make_survey, order, respond, response, try_scores};
use tonic::Status;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");
const TENANT: &str = "default";
/// Callers, and the pause of each between two of its calls.
const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(15);

/// What callers have done.
#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    stop: AtomicBool,
    failed: std::sync::Mutex<Vec<String>>,
    /// Each caller's acknowledged orders.
    orders: std::sync::Mutex<BTreeMap<String, usize>>,
    slowest: std::sync::Mutex<Duration>,
}

impl Seen {
    fn note<T>(&self, what: &str, began: Instant, answer: Result<T, Status>) -> Option<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let took = began.elapsed();
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = slowest.max(took);
        match answer {
            Ok(answer) => Some(answer),
            Err(status) => {
                let told = format!(
                    "{what} after {took:?}: {:?} {}",
                    status.code(),
                    status.message()
                );
                self.failed.lock().unwrap().push(told);
                None
            }
        }
    }

    /// Waits for so many more calls.
    async fn more(&self, calls: usize) {
        let wanted = self.calls.load(Ordering::SeqCst) + calls;
        let began = Instant::now();
        while self.calls.load(Ordering::SeqCst) < wanted {
            assert!(began.elapsed() < Duration::from_secs(120), "calls hang");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// One caller: a back end that records orders and reads back what its customer did and scores.
async fn caller(client: Client, name: String, seen: Arc<Seen>) {
    let mut number = 0;
    while !seen.stop.load(Ordering::SeqCst) {
        number += 1;
        let began = Instant::now();
        match number % 4 {
            0 | 1 => {
                let request = RecordOrderRequest {
                    order: Some(order(&format!("{name}-{number}"), &name, 100, "2026-03-01")),
                    create_missing: true,
                    request_id: format!("{name}-{number}"),
                    ..RecordOrderRequest::default()
                };
                let answer = client.orders().record_order(request).await;
                if seen.note("RecordOrder", began, answer).is_some() {
                    *seen.orders.lock().unwrap().entry(name.clone()).or_default() += 1;
                }
            }
            2 => {
                let request = GetCustomerRequest {
                    customer: Some(customer_ref(&name)),
                };
                seen.note(
                    "GetCustomer",
                    began,
                    client.customers().get_customer(request).await,
                );
            }
            _ if number % 8 == 3 => {
                seen.note("GetScores", began, try_scores(&client, &name, &[]).await);
            }
            _ => {
                let said = response(
                    &format!("{name}-{number}"),
                    "s",
                    Some(&name),
                    (9, 5),
                    "2026-03-01",
                );
                seen.note("RecordResponse", began, respond(&client, said).await);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn start(plan: Plan) -> Process {
    tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
        .await
        .unwrap()
}

async fn stop(mut process: Process) -> bool {
    tokio::task::spawn_blocking(move || process.terminate())
        .await
        .unwrap()
}

async fn orders_of(client: &Client, name: &str) -> usize {
    let (mut count, mut page_token) = (0, String::new());
    loop {
        let request = ListOrdersRequest {
            customer: Some(customer_ref(name)),
            page_size: 1_000,
            page_token,
            ..ListOrdersRequest::default()
        };
        let page = client
            .orders()
            .list_orders(request)
            .await
            .unwrap()
            .into_inner();
        count += page.orders.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return count;
        }
    }
}

#[test]
fn replicas_are_restarted_in_turn_without_a_failed_request() {
    run(restarts());
}

async fn restarts() {
    let cache = TestCache::new(CacheKind::Redis).await;
    let stores = [
        TestStore::new(Engine::Postgres).await,
        TestStore::new(Engine::Postgres).await,
        TestStore::new(Engine::Postgres).await,
    ];
    let plan = |listen: &str| Plan {
        customer: stores[0].url.clone(),
        feedback: stores[1].url.clone(),
        scoring: stores[2].url.clone(),
        redis: cache.redis_url.clone().unwrap(),
        listen: listen.to_owned(),
        tenants: vec![TENANT.to_owned()],
        grace_ms: 20_000,
        ..Plan::default()
    };
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(start(plan("127.0.0.1:0")).await);
    }
    let listens: Vec<String> = replicas
        .iter()
        .map(|replica| replica.address.trim_start_matches("http://").to_owned())
        .collect();
    let options = Options {
        api_key: Some(key_of(TENANT)),
        ..Options::default()
    };
    let client = Client::connect(&format!("http://{}", listens.join(",")), &options)
        .await
        .unwrap();
    make_survey(&client, "s").await;
    for name in (0..CALLERS).map(|caller| format!("c{caller}")) {
        let first = RecordOrderRequest {
            order: Some(order(&format!("{name}-0"), &name, 100, "2026-03-01")),
            create_missing: true,
            ..RecordOrderRequest::default()
        };
        let answer = client
            .orders()
            .record_order(first)
            .await
            .unwrap()
            .into_inner();
        // Scoring knows the customer before anybody asks without a token.
        try_scores(&client, &name, &[answer.change_token])
            .await
            .unwrap();
    }
    let seen = Arc::new(Seen::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| tokio::spawn(caller(client.clone(), format!("c{n}"), Arc::clone(&seen))))
        .collect();
    let steady = sized(200, 2_000);
    seen.more(steady).await;
    let mut restarts = 0;
    for round in 0..sized(1, 4) {
        for listen in &listens {
            assert!(
                stop(replicas.remove(0)).await,
                "round {round}: not stopped in order"
            );
            seen.more(steady).await;
            replicas.push(start(plan(listen)).await);
            restarts += 1;
            seen.more(steady).await;
        }
    }
    seen.stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let failed = seen.failed.lock().unwrap().clone();
    let calls = seen.calls.load(Ordering::SeqCst);
    println!(
        "{calls} requests during {restarts} restarts, {} failed, the slowest took {:?}",
        failed.len(),
        seen.slowest.lock().unwrap()
    );
    assert!(
        failed.is_empty(),
        "{} of {calls} failed, such as {:#?}",
        failed.len(),
        failed.iter().take(5).collect::<Vec<_>>()
    );
    // Every acknowledged order is there once, with the first one.
    let acknowledged = seen.orders.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), CALLERS);
    for (name, orders) in acknowledged {
        assert_eq!(orders_of(&client, &name).await, orders + 1, "{name}");
    }
}

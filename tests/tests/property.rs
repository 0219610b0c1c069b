//! Any history, applied by two scoring replicas with the lanes in any relative order, ends in the same summaries as a fresh
//! fold of that history without its undone merges.
//!
//! Long form (30 histories of 60 steps, with the shortest beginning that fails): `REGARD_LONG=1 cargo test -p regard-tests
//! --test property`. `REGARD_SEED` sets the first seed, `REGARD_CASES` how many; `SUITE_LOG=warn` shows the replicas' logs.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use regard_client::{Client, Options, Session};
use regard_proto::customer::v1 as customer;
use regard_testkit::{Engine, TestDb, TestStore, free_port, postgres};
use regard_tests::child::{Process, client_at};
use regard_tests::plan::SERVICE_KEY;
use regard_tests::plan::{Open, Plan};
use regard_tests::shuffle::shuffled;
use regard_tests::tables::{self, check_same, summaries};
use regard_tests::values::{
    check_refused, correct, create, ingest, merge, pin, record_ref, refund, row, scores, unmerge,
};
use regard_tests::world::until;
use regard_tests::{long, sized};
use regard_types::{Clock, Day};

regard_testkit::on_both_engines!(
    any_history_ends_in_a_fresh_fold,
    a_snapshot_does_not_go_on_over_a_restore
);

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");
const CUSTOMERS: usize = 6;

/// One step of a history.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Orders (number, customer, cents, day, revision) in one batch: new, late, sent again, corrected.
    Orders(Vec<(usize, usize, i64, i32, i64)>),
    Correct(usize, i64),
    Void(usize),
    /// Number, customer, order, cents, day.
    Refund(usize, usize, Option<usize>, i64, i32),
    Merge(usize, usize),
    Unmerge(usize),
    Day(i32),
    /// The feed is trimmed while scoring is away: it must read a snapshot.
    Trim,
    /// The customer store is saved, and set back to what was saved.
    Backup,
    Restore,
}

/// The first day of the history: 2026-01-01.
const FIRST: i32 = 20_454;

fn day(n: i32) -> String {
    Day(FIRST + n).to_string()
}

fn history(seed: u64, steps: usize) -> Vec<Step> {
    let mut r = ChaCha8Rng::seed_from_u64(seed);
    let mut known = 0;
    let mut out = vec![Step::Day(30)];
    for n in 0..steps {
        let who = |r: &mut ChaCha8Rng| r.random_range(0..CUSTOMERS);
        let old = |r: &mut ChaCha8Rng, known: usize| r.random_range(0..known.max(1));
        out.push(match r.random_range(0..100) {
            0..40 => {
                let rows = (0..r.random_range(1..5)).map(|_| {
                    // Mostly new, else a known number with other or the same content.
                    let number = if r.random_bool(0.7) || known == 0 {
                        known += 1;
                        known - 1
                    } else {
                        old(&mut r, known)
                    };
                    let revision = if r.random_bool(0.3) {
                        r.random_range(1..4)
                    } else {
                        0
                    };
                    (
                        number,
                        number % CUSTOMERS,
                        r.random_range(0..5) * 250,
                        r.random_range(0..60),
                        revision,
                    )
                });
                Step::Orders(rows.collect())
            }
            40..48 => Step::Correct(old(&mut r, known), r.random_range(0..2_000)),
            48..52 => Step::Void(old(&mut r, known)),
            52..62 => {
                let order = r.random_bool(0.7).then(|| old(&mut r, known));
                let of = order.map_or_else(|| who(&mut r), |o| o % CUSTOMERS);
                Step::Refund(
                    n,
                    of,
                    order,
                    r.random_range(1..1_200),
                    r.random_range(0..60),
                )
            }
            62..74 => Step::Merge(who(&mut r), who(&mut r)),
            74..84 => Step::Unmerge(who(&mut r)),
            84..92 => Step::Day(r.random_range(5..65)),
            92..95 => Step::Trim,
            95..97 => Step::Backup,
            _ => Step::Restore,
        });
    }
    // Each case has each of the rare steps once.
    for (at, step) in [
        (steps / 3, Step::Backup),
        (steps / 2, Step::Trim),
        (steps * 2 / 3, Step::Restore),
    ] {
        out.insert(at + 1, step);
    }
    out
}

/// Does a step on a customer service; false if it was refused. The change token is noted where there is one.
async fn act(client: &Client, step: &Step, session: &Session) -> bool {
    let customer = |n: usize| format!("c{n}");
    let order = |n: usize| format!("o{n}");
    let token = match step {
        Step::Orders(rows) => {
            let rows = rows
                .iter()
                .map(|(number, of, cents, on, revision)| customer::OrderRow {
                    revision: *revision,
                    ..row(&order(*number), &customer(*of), *cents, &day(*on))
                });
            let result = ingest(client, vec![rows.collect()])
                .await
                .unwrap()
                .remove(0);
            Ok(result.change_token)
        }
        Step::Correct(n, cents) => correct(client, &order(*n), *cents).await,
        Step::Void(n) => {
            let request = customer::VoidOrderRequest {
                target: Some(record_ref(&order(*n))),
                ..Default::default()
            };
            client
                .orders()
                .void_order(request)
                .await
                .map(|answer| answer.into_inner().change_token)
        }
        Step::Refund(n, of, which, cents, on) => {
            refund(
                client,
                &format!("f{n}"),
                &customer(*of),
                which.map(order).as_deref(),
                *cents,
                &day(*on),
            )
            .await
        }
        Step::Merge(from, into) => merge(client, &customer(*from), &customer(*into)).await,
        Step::Unmerge(of) => unmerge(client, &customer(*of)).await,
        Step::Day(on) => Ok(pin(client, &day(*on)).await),
        Step::Trim | Step::Backup | Step::Restore => return false,
    };
    match token {
        Ok(token) => {
            session.note(&token).unwrap();
            true
        }
        Err(status) => {
            let expected = [
                tonic::Code::NotFound,
                tonic::Code::FailedPrecondition,
                tonic::Code::InvalidArgument,
            ];
            assert!(expected.contains(&status.code()), "{step:?}: {status:?}");
            false
        }
    }
}

/// What counts in the end: merges that were undone, and their undoing, left out.
fn without_undone_merges(steps: &[Step]) -> Vec<Step> {
    let mut out: Vec<Option<Step>> = Vec::new();
    for step in steps {
        if let Step::Unmerge(of) = step {
            let undone = out
                .iter()
                .rposition(|s| matches!(s, Some(Step::Merge(from, _)) if from == of));
            out[undone.expect("an un-merge that was accepted has its merge")] = None;
        } else {
            out.push(Some(step.clone()));
        }
    }
    out.into_iter().flatten().collect()
}

/// A customer service in a process of its own, on a store that can be saved and set back.
struct Shop {
    plan: Plan,
    process: Option<Process>,
    store: TestStore,
    /// On PostgreSQL a restored store is another database.
    current: Option<TestDb>,
    saved: Option<Saved>,
}

enum Saved {
    Folder(tempfile::TempDir),
    Database(TestDb),
}

impl Shop {
    async fn start(store: TestStore) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let plan = Plan {
            customer: store.url.clone(),
            listen,
            ..Plan::default()
        };
        let mut shop = Self {
            plan,
            process: None,
            store,
            current: None,
            saved: None,
        };
        shop.up().await;
        shop
    }

    async fn up(&mut self) {
        let plan = self.plan.clone();
        self.process = Some(
            tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
                .await
                .unwrap(),
        );
    }

    /// Kills the service; on PostgreSQL, waits until its connections are gone.
    async fn down(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
        if self.store.engine == Engine::Postgres {
            let admin = postgres().admin_url();
            let name = self.plan.customer.rsplit('/').next().unwrap().to_owned();
            until("connections to end", || async {
                let sql = format!("SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'");
                tables::texts(&admin, sql).await.is_empty().then_some(())
            })
            .await;
        }
    }

    async fn backup(&mut self) {
        self.down().await;
        self.saved = Some(match self.store.engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                copy(self.store.folder().unwrap(), folder.path());
                Saved::Folder(folder)
            }
            Engine::Postgres => {
                let name = self.plan.customer.rsplit('/').next().unwrap().to_owned();
                Saved::Database(postgres().database_from(&name).await)
            }
        });
        self.up().await;
    }

    async fn restore(&mut self) {
        self.down().await;
        match self.saved.as_ref().unwrap() {
            Saved::Folder(folder) => {
                let here = self.store.folder().unwrap();
                for entry in std::fs::read_dir(here).unwrap() {
                    std::fs::remove_file(entry.unwrap().path()).unwrap();
                }
                copy(folder.path(), here);
            }
            Saved::Database(saved) => {
                let database = postgres().database_from(&saved.name).await;
                self.plan.customer.clone_from(&database.url);
                self.current = Some(database);
            }
        }
        self.up().await;
    }

    /// Retention has trimmed all that is there.
    async fn trim(&mut self) {
        self.down().await;
        let steps = [
            "DELETE FROM change",
            "UPDATE lane SET trimmed = head, trimmed_nonce = nonce",
        ];
        tables::run(&self.plan.customer, &steps).await;
        self.up().await;
    }

    fn client(&self) -> Client {
        client_at(&self.process.as_ref().unwrap().address, "default")
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Two replicas on one store, each behind its own shuffled feed.
async fn replicas(store: &str, feeds: &[String; 2]) -> [Open; 2] {
    // Whoever was stopped holds no lease any more.
    if tables_exist(store).await {
        tables::run(store, &["UPDATE lease SET until = 0"]).await;
    }
    let plan = |feed: &String| Plan {
        scoring: store.to_owned(),
        customer_at: feed.clone(),
        ..Plan::default()
    };
    [
        plan(&feeds[0]).open(&Clock::System).await.unwrap(),
        plan(&feeds[1]).open(&Clock::System).await.unwrap(),
    ]
}

async fn tables_exist(url: &str) -> bool {
    match tables::engine_of(url) {
        Engine::Sqlite => Path::new(url.trim_start_matches("sqlite://")).exists(),
        Engine::Postgres => {
            let sql = "SELECT tablename::text FROM pg_tables WHERE tablename = 'lease'";
            !tables::texts(url, sql.to_owned()).await.is_empty()
        }
    }
}

async fn stop(replicas: [Open; 2]) {
    for replica in replicas {
        replica.running.stop().await;
    }
}

/// Lives a history with two replicas, and folds it afresh: the summaries of both.
async fn live(engine: Engine, seed: u64, steps: &[Step]) -> Result<(), String> {
    let mut shop = Shop::start(TestStore::new(engine).await).await;
    let scoring = TestStore::new(engine).await;
    let at = shop.process.as_ref().unwrap().address.clone();
    let feeds = [shuffled(&at, seed).await, shuffled(&at, seed + 1).await];
    let mut running = replicas(&scoring.url, &feeds).await;
    let ignored = Session::new();
    let mut done: Vec<Step> = Vec::new();
    let mut saved = 0;
    for n in 0..CUSTOMERS {
        create(&shop.client(), &format!("c{n}")).await;
    }
    let mut client = shop.client();
    for step in steps {
        match step {
            Step::Backup => {
                shop.backup().await;
                saved = done.len();
            }
            Step::Restore if shop.saved.is_some() => {
                shop.restore().await;
                done.truncate(saved);
            }
            Step::Restore => {}
            Step::Trim => {
                stop(running).await;
                // What happens meanwhile cannot be read from the feed any more.
                let unseen = Step::Orders(vec![(900, 0, 333, 3, 0), (901, 1, 333, 4, 0)]);
                if act(&client, &unseen, &ignored).await {
                    done.push(unseen);
                }
                shop.trim().await;
                running = replicas(&scoring.url, &feeds).await;
            }
            step => {
                if act(&client, step, &ignored).await {
                    done.push(step.clone());
                }
                continue;
            }
        }
        client = shop.client();
        ignored.forget();
    }

    // The same history in a shop of its own, without what was undone.
    let fresh = [TestStore::new(engine).await, TestStore::new(engine).await];
    let plan = Plan {
        customer: fresh[0].url.clone(),
        scoring: fresh[1].url.clone(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let open = plan.open(&Clock::System).await.unwrap();
    let client = client_at(
        &format!("http://{}", open.running.address().unwrap()),
        "default",
    );
    let session = Session::new();
    for n in 0..CUSTOMERS {
        session
            .note(&create(&client, &format!("c{n}")).await)
            .unwrap();
    }
    let mut last = 0;
    for step in without_undone_merges(&done) {
        assert!(
            act(&client, &step, &session).await,
            "{step:?} is refused in the fresh history"
        );
        if let Step::Day(on) = step {
            last = on;
        }
    }
    let count = |of: fn(&Step) -> bool| done.iter().filter(|step| of(step)).count();
    println!(
        "{engine:?} {seed}: {} of {} steps accepted, {} merges, {} undone, {} refunds, {} days",
        done.len(),
        steps.len(),
        count(|s| matches!(s, Step::Merge(..))),
        count(|s| matches!(s, Step::Unmerge(..))),
        count(|s| matches!(s, Step::Refund(..))),
        count(|s| matches!(s, Step::Day(..)))
    );
    scores(&client, "c0", &session.tokens()).await;
    let as_of = format!("as_of={} ", FIRST + last);
    let settled = |rows: &[String]| rows.iter().all(|row| row.contains(&as_of));
    let expected = until("the fresh fold", || async {
        Some(summaries(&fresh[1].url).await).filter(|rows| settled(rows))
    })
    .await;
    let mut found = Vec::new();
    for _ in 0..600 {
        found = summaries(&scoring.url).await;
        if found == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let later = summaries(&fresh[1].url).await;
    let stands = if found == expected {
        Vec::new()
    } else {
        standing(&scoring.url).await
    };
    stop(running).await;
    open.running.stop().await;
    if found == expected {
        return Ok(());
    }
    let differ = std::panic::catch_unwind(|| check_same("summaries", &found, &expected));
    let text = differ
        .err()
        .and_then(|e| e.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    let moved = if later == expected {
        "stays so"
    } else {
        "differs from itself later"
    };
    Err(format!(
        "{text}\nthe fresh one {moved}\nscoring stands at {stands:#?}\ndone: {done:?}"
    ))
}

/// Where a scoring store stands, for a look at what went wrong.
async fn standing(url: &str) -> Vec<String> {
    let mut asked = vec![
        "SELECT 'load ' || CAST(no AS text) || ' ' || state || ' resumes at ' || CAST(length(resume) AS text) FROM load",
        "SELECT 'lease ' || name || ' ' || holder || ' ' || CAST(term AS text) || ' ' || CAST(until AS text) FROM lease",
        "SELECT 'lane ' || CAST(load AS text) || ' ' || CAST(lane AS text) || ' ' || CAST(position AS text) FROM feed_cursor",
    ];
    if tables::engine_of(url) == Engine::Postgres {
        asked.push(
            "SELECT 'session ' || coalesce(state, '') || ' ' || coalesce(wait_event, '') || ' ' || pid::text || ' blocked by ' \
             || pg_blocking_pids(pid)::text || ' ' || left(query, 200) FROM pg_stat_activity WHERE datname = current_database()",
        );
    }
    let mut out = Vec::new();
    for sql in asked {
        out.extend(tables::texts(url, sql.to_owned()).await);
    }
    out
}

async fn any_history_ends_in_a_fresh_fold(store: TestStore) {
    let engine = store.engine;
    let (cases, steps) = (sized(2, 30), sized(30, 60));
    // For a closer look: SUITE_LOG=info shows what the replicas say.
    let logs = regard_server::LogSettings {
        level: std::env::var("SUITE_LOG").unwrap_or_else(|_| "off".to_owned()),
        ..regard_server::LogSettings::default()
    };
    let _logs = regard_server::init_logs(&logs, "test");
    let cases = std::env::var("REGARD_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(cases);
    let begin: u64 = std::env::var("REGARD_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    for seed in begin..begin + cases as u64 {
        let steps = history(seed, steps);
        let Err(why) = Box::pin(live(engine, seed, &steps)).await else {
            continue;
        };
        // The shortest beginning that fails, where there is time to look for it.
        let mut shortest = (steps.len(), why);
        if long() && std::env::var_os("REGARD_CASES").is_none() {
            let mut good = 0;
            while good + 1 < shortest.0 {
                let middle = usize::midpoint(good, shortest.0);
                match Box::pin(live(engine, seed, &steps[..middle])).await {
                    Ok(()) => good = middle,
                    Err(why) => shortest = (middle, why),
                }
            }
        }
        panic!(
            "REGARD_SEED={seed}, the first {} steps: {:?}\n{}",
            shortest.0,
            &steps[..shortest.0],
            shortest.1
        );
    }
}

/// Pages that were read tell of orders that the store, set back to a backup of the same epoch, never had.
async fn a_snapshot_does_not_go_on_over_a_restore(store: TestStore) {
    let mut shop = Shop::start(store).await;
    create(&shop.client(), "c").await;
    shop.backup().await;
    ingest(&shop.client(), vec![vec![row("o", "c", 100, "2026-01-02")]])
        .await
        .unwrap();
    let key = Options {
        api_key: Some(SERVICE_KEY.to_owned()),
        ..Options::default()
    };
    let reader = |shop: &Shop| Client::lazy(&shop.process.as_ref().unwrap().address, &key).unwrap();
    let snapshot = |client: Client, resume_token: String| async move {
        let request = customer::SnapshotChangesRequest {
            resume_token,
            ..Default::default()
        };
        let mut parts = client
            .customer_changes()
            .snapshot_changes(request)
            .await?
            .into_inner();
        Ok(parts.message().await?.unwrap().resume_token)
    };
    let resume = snapshot(reader(&shop), String::new()).await.unwrap();
    // Without a restore it goes on, also in another process.
    shop.down().await;
    shop.up().await;
    snapshot(reader(&shop), resume.clone()).await.unwrap();
    shop.restore().await;
    let refused: Result<String, tonic::Status> = snapshot(reader(&shop), resume.clone()).await;
    check_refused(refused, tonic::Code::FailedPrecondition, "FEED_EPOCH_GONE");
    snapshot(reader(&shop), String::new()).await.unwrap();
}

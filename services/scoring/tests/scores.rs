//! Reads of scores on both engines: the cache, tokens, days, lists, merges.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{day, id, order};
use regard_cache::{Settings, Tiered};
use regard_database::{Database, DatabaseSettings};
use regard_proto::common::v1 as common_pb;
use regard_proto::scoring::v1 as pb;
use regard_proto::scoring::v1::score_service_server::ScoreService as _;
use regard_scoring::core::Core;
use regard_scoring::definition::Book;
use regard_scoring::event::{self, Event, store::Loads};
use regard_scoring::score::Scores;
use regard_scoring::score::domain::{ScoreSet, ScoreValue, absent};
use regard_scoring::score::store as scores;
use regard_scoring::summary::app::{Refold, refresh};
use regard_scoring::summary::store as summaries;
use regard_scoring::{follow, group, migration, tenant};
use regard_testkit::{Engine, TestStore, run};
use regard_types::{Caller, ChangeToken, Clock, IdSecret, Service, TenantId, TokenPart, Uuid};
use tonic::{Code, Request};

const SECRET: IdSecret = IdSecret([7; 32]);
const EPOCH: u128 = 0xe0;
const ON: &str = "1997-09-30";

struct Suite {
    _store: TestStore,
    clock: Clock,
    core: Arc<Core>,
    scores: Arc<Scores>,
    tenant: TenantId,
    load: i64,
}

impl Suite {
    async fn new(engine: Engine) -> Self {
        let store = TestStore::new(engine).await;
        let clock = Clock::fixed(common::noon(ON));
        let settings = DatabaseSettings {
            acquire_ms: 20_000,
            migrate_url: store.migrate_url.clone(),
            ..DatabaseSettings::new(&store.url)
        };
        let db = Database::open(
            &settings,
            Service::Scoring,
            migration::steps(),
            clock.clone(),
            SECRET,
        )
        .await
        .unwrap();
        let tenant = SECRET.tenant_id("default");
        let tx = db.system().await.unwrap();
        tenant::store::ensure(&tx, tenant).await.unwrap();
        let load = follow::store::begin(&tx, Service::Customer, false, 0)
            .await
            .unwrap()
            .no;
        follow::store::set_epoch(&tx, load, id(EPOCH))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let core = Core::new(
            db,
            Book::shipped().unwrap(),
            Tiered::new(Settings::default(), None),
            false,
        );
        let scores = Arc::new(Scores::new(core.clone()));
        Self {
            _store: store,
            clock,
            core,
            scores,
            tenant,
            load,
        }
    }

    fn loads(&self) -> Loads {
        Loads {
            customer: self.load,
            feedback: -1,
        }
    }

    /// What a batch of the feed does, up to a position of lane 0.
    async fn apply(&self, events: &[Event], from: u64, to: u64) {
        let tx = self.core.db.system().await.unwrap();
        event::store::insert(&tx, self.tenant, self.load, events)
            .await
            .unwrap();
        let mut customers: Vec<Uuid> = events.iter().map(|e| e.customer.0).collect();
        customers.sort_unstable();
        customers.dedup();
        group::store::ensure(&tx, self.tenant, &customers)
            .await
            .unwrap();
        summaries::ensure(&tx, self.tenant, &customers)
            .await
            .unwrap();
        summaries::lock(&tx, self.tenant, &customers).await.unwrap();
        refresh(
            &self.core,
            &tx,
            self.tenant,
            self.loads(),
            &customers,
            Refold::All,
            0,
        )
        .await
        .unwrap();
        assert!(
            follow::store::move_cursor(&tx, self.load, 0, from, to, to * 10)
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
    }

    fn request<T>(&self, body: T, within: Option<Duration>) -> Request<T> {
        let mut caller = Caller::new(self.tenant, "default", "tester");
        caller.deadline = within.map(|d| Instant::now() + d);
        let mut request = Request::new(body);
        request.extensions_mut().insert(caller);
        request
    }

    async fn get(
        &self,
        customer: u128,
        tokens: Vec<String>,
        as_of: Option<&str>,
    ) -> Result<pb::CustomerScores, tonic::Status> {
        let as_of = as_of.map(|on| regard_server::wire::date(day(on)));
        let body = pb::GetScoresRequest {
            customer: reference(customer),
            scores: vec![],
            change_tokens: tokens,
            as_of,
        };
        let answer = self
            .scores
            .get_scores(self.request(body, Some(Duration::from_secs(5))))
            .await?;
        Ok(answer.into_inner().scores.unwrap())
    }
}

fn reference(customer: u128) -> Option<common_pb::CustomerRef> {
    Some(common_pb::CustomerRef {
        customer: Some(common_pb::customer_ref::Customer::Id(
            id(customer).to_string(),
        )),
    })
}

fn token(epoch: u128, position: u64) -> String {
    let part = TokenPart {
        service: Service::Customer,
        epoch: id(epoch),
        lane: 0,
        position,
        nonce: position * 10,
    };
    ChangeToken::one(part).encode()
}

fn of(customer: u128, e: Event) -> Event {
    Event {
        customer: regard_types::CustomerId(id(customer)),
        ..e
    }
}

fn value(scores: &pb::CustomerScores, name: &str) -> Option<f64> {
    scores.scores.iter().find(|s| s.name == name).unwrap().value
}

#[test]
fn an_unknown_customer_has_scores_without_values() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            for _ in 0..2 {
                let scores = s.get(1, vec![], None).await.unwrap();
                assert_eq!(
                    (scores.customer_id, scores.version, scores.scores.len()),
                    (id(1).to_string(), 0, 7)
                );
                assert!(
                    scores
                        .scores
                        .iter()
                        .all(|v| v.value.is_none() && !v.reasons.is_empty() && v.as_of.is_some())
                );
            }
        }
    });
}

#[test]
fn reads_see_what_their_token_names() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            s.apply(&[of(1, order(1, "1997-01-01", 1000))], 0, 1).await;
            let first = s.get(1, vec![token(EPOCH, 1)], None).await.unwrap();
            assert_eq!(
                (value(&first, "historic_value"), first.version),
                (Some(1000.0), 1)
            );
            // What comes without notice (another replica's) is not seen at once, but with its token it is.
            s.apply(&[of(1, order(2, "1997-02-01", 500))], 1, 2).await;
            let second = s
                .get(1, vec![token(EPOCH, 1), token(EPOCH, 2)], None)
                .await
                .unwrap();
            assert_eq!(
                (value(&second, "historic_value"), second.version),
                (Some(1500.0), 2)
            );
            assert_eq!(
                s.get(1, vec![], None).await.unwrap(),
                second,
                "the newer entry replaced the older"
            );
            // A write that is applied while the read waits.
            let waiting = tokio::spawn({
                let (scores, request) = (
                    s.scores.clone(),
                    s.request(
                        batch(&[1, 9], vec![token(EPOCH, 3)]),
                        Some(Duration::from_secs(5)),
                    ),
                );
                async move {
                    scores
                        .batch_get_scores(request)
                        .await
                        .unwrap()
                        .into_inner()
                        .customers
                }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!waiting.is_finished());
            s.apply(&[of(1, order(3, "1997-03-01", 10))], 2, 3).await;
            let both = waiting.await.unwrap();
            assert_eq!(value(&both[0], "historic_value"), Some(1510.0));
            assert_eq!(both[1].customer_id, id(9).to_string());
        }
    });
}

fn batch(customers: &[u128], change_tokens: Vec<String>) -> pb::BatchGetScoresRequest {
    let customers = customers.iter().map(|c| reference(*c).unwrap()).collect();
    pb::BatchGetScoresRequest {
        customers,
        scores: vec!["historic_value".into()],
        change_tokens,
        as_of: None,
    }
}

#[test]
fn tokens_that_cannot_be_met_say_why() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            s.apply(&[of(1, order(1, "1997-01-01", 1000))], 0, 1).await;
            let begun = Instant::now();
            let body = pb::GetScoresRequest {
                customer: reference(1),
                change_tokens: vec![token(EPOCH, 9)],
                ..Default::default()
            };
            let late = s
                .scores
                .get_scores(s.request(body, Some(Duration::from_millis(200))))
                .await
                .unwrap_err();
            assert_eq!(late.code(), Code::DeadlineExceeded);
            assert!(begun.elapsed() < Duration::from_secs(3));
            let gone = s.get(1, vec![token(0xbad, 1)], None).await.unwrap_err();
            assert_eq!(gone.code(), Code::FailedPrecondition, "{gone}");
            let bad = s.get(1, vec!["nonsense".into()], None).await.unwrap_err();
            assert_eq!(bad.code(), Code::InvalidArgument);
            let body = pb::GetScoresRequest {
                customer: reference(1),
                scores: vec!["charm".into()],
                ..Default::default()
            };
            let unknown = s
                .scores
                .get_scores(s.request(body, None))
                .await
                .unwrap_err();
            assert_eq!(unknown.code(), Code::NotFound);
            assert!(
                unknown.message().contains("p_alive"),
                "{}",
                unknown.message()
            );
        }
    });
}

#[test]
fn other_days_are_folded_and_expired_rows_are_computed() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            s.apply(
                &[
                    of(1, order(1, "1997-01-01", 1000)),
                    of(1, order(2, "1997-02-01", 500)),
                    of(1, order(3, "1997-10-02", 70)),
                ],
                0,
                1,
            )
            .await;
            let today = s.get(1, vec![], None).await.unwrap();
            assert_eq!(value(&today, "historic_value"), Some(1500.0));
            assert!(today.scores[0].valid_until.is_some());
            assert_eq!(s.get(1, vec![], Some(ON)).await.unwrap(), today);
            let early = s.get(1, vec![], Some("1997-01-15")).await.unwrap();
            assert_eq!(value(&early, "historic_value"), Some(1000.0));
            assert_eq!(
                early.scores[0].as_of,
                Some(regard_server::wire::date(day("1997-01-15")))
            );
            let ahead = s.get(1, vec![], Some("1997-10-05")).await.unwrap();
            assert_eq!(value(&ahead, "historic_value"), Some(1570.0));
            assert!(
                ahead
                    .scores
                    .iter()
                    .any(|v| v.reasons.iter().any(|r| r.contains("today")))
            );
            // The day moves on and the roll has not come yet.
            for (on, expected) in [("1997-10-01", 1500.0), ("1997-10-02", 1570.0)] {
                s.clock.set(common::noon(on));
                for _ in 0..2 {
                    let rolled = s.get(1, vec![], None).await.unwrap();
                    assert_eq!(value(&rolled, "historic_value"), Some(expected), "{on}");
                    assert_eq!(
                        rolled.scores[0].as_of,
                        Some(regard_server::wire::date(day(on)))
                    );
                }
                let request = s.request(batch(&[1], vec![]), None);
                let many = s
                    .scores
                    .batch_get_scores(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .customers;
                assert_eq!(many[0].scores[0].value, Some(expected));
            }
            let body = pb::ExplainScoreRequest {
                customer: reference(1),
                score: "historic_value".into(),
                ..Default::default()
            };
            let e = s
                .scores
                .explain_score(s.request(body, None))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(e.score.unwrap().value, Some(1570.0));
            assert!(!e.facts.is_empty() && !e.summary.is_empty() && e.formula.contains("refunds"));
        }
    });
}

#[test]
fn merged_arrivals_answer_with_the_customer_that_they_are() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            s.apply(
                &[
                    of(1, order(1, "1997-01-01", 1000)),
                    of(2, order(2, "1997-02-01", 500)),
                ],
                0,
                1,
            )
            .await;
            let tx = s.core.db.system().await.unwrap();
            group::store::set(&tx, s.tenant, &BTreeMap::from([(id(1), id(2))]))
                .await
                .unwrap();
            refresh(
                &s.core,
                &tx,
                s.tenant,
                s.loads(),
                &[id(1), id(2)],
                Refold::All,
                7,
            )
            .await
            .unwrap();
            tx.commit().await.unwrap();
            for asked in [1, 2] {
                let scores = s.get(asked, vec![], None).await.unwrap();
                assert_eq!(
                    (scores.customer_id.clone(), scores.version),
                    (id(2).to_string(), 8)
                );
                assert_eq!(value(&scores, "historic_value"), Some(1500.0));
            }
            let listed = s
                .scores
                .list_scores(s.request(
                    pb::ListScoresRequest {
                        score: "historic_value".into(),
                        ..Default::default()
                    },
                    None,
                ))
                .await;
            let listed = listed.unwrap().into_inner().customers;
            assert_eq!(listed.len(), 1, "the merged one has left the ranking");
        }
    });
}

#[test]
fn lists_page_through_ties_and_ranges() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            let events: Vec<Event> = (1..=23)
                .map(|n| {
                    of(
                        n,
                        order(n, "1997-01-01", i64::try_from(n % 4).unwrap() * 100),
                    )
                })
                .collect();
            s.apply(&events, 0, 1).await;
            let mut seen: Vec<(f64, String)> = Vec::new();
            let mut request = pb::ListScoresRequest {
                score: "historic_value".into(),
                page_size: 5,
                ..Default::default()
            };
            loop {
                let page = s
                    .scores
                    .list_scores(s.request(request.clone(), None))
                    .await
                    .unwrap()
                    .into_inner();
                assert!(page.customers.len() <= 5);
                seen.extend(
                    page.customers
                        .iter()
                        .map(|c| (c.scores[0].value.unwrap(), c.customer_id.clone())),
                );
                assert!(page.customers.iter().all(|c| c.scores.len() == 1
                    && c.scores[0].name == "historic_value"
                    && c.version == 1));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            assert_eq!(seen.len(), 23);
            assert!(
                seen.windows(2)
                    .all(|w| w[0].0 > w[1].0 || (w[0].0 == w[1].0 && w[0].1 < w[1].1)),
                "{seen:?}"
            );
            let other = pb::ListScoresRequest {
                min_value: Some(1.0),
                ..request
            };
            let mismatch = s
                .scores
                .list_scores(s.request(other.clone(), None))
                .await
                .unwrap_err();
            assert_eq!(mismatch.code(), Code::InvalidArgument);
            let another_day = pb::ListScoresRequest {
                page_token: String::new(),
                as_of: Some(regard_server::wire::date(regard_types::Day(1))),
                ..other.clone()
            };
            let another_day = s
                .scores
                .list_scores(s.request(another_day, None))
                .await
                .unwrap_err();
            assert_eq!(another_day.code(), Code::InvalidArgument);
            let ranged = pb::ListScoresRequest {
                page_token: String::new(),
                page_size: 100,
                min_value: Some(100.0),
                max_value: Some(200.0),
                ..other
            };
            let ranged = s
                .scores
                .list_scores(s.request(ranged, None))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(ranged.customers.len(), 12);
            assert!(
                ranged
                    .customers
                    .iter()
                    .all(|c| (100.0..=200.0).contains(&c.scores[0].value.unwrap()))
            );
        }
    });
}

#[test]
fn the_ranking_is_read_by_its_index() {
    run(async {
        for engine in Engine::all() {
            let s = Suite::new(engine).await;
            let tx = s.core.db.system().await.unwrap();
            let explain = match engine {
                Engine::Sqlite => "EXPLAIN QUERY PLAN ",
                Engine::Postgres => {
                    // An empty table would be scanned.
                    tx.run("SET LOCAL enable_seqscan = off", vec![])
                        .await
                        .unwrap();
                    tx.run("SET LOCAL enable_sort = off", vec![]).await.unwrap();
                    "EXPLAIN "
                }
            };
            for after in [None, Some((1.0, id(1)))] {
                let (sql, values) =
                    scores::ranking_query(s.tenant, "p_alive", (Some(0.0), Some(1.0)), after, 10);
                let rows = tx.fetch(format!("{explain}{sql}"), values).await.unwrap();
                let column = if engine == Engine::Sqlite { 3 } else { 0 };
                let plan: Vec<String> = rows.iter().map(|row| row.get(column).unwrap()).collect();
                let plan = plan.join("\n");
                assert!(plan.contains("score_rank_value"), "{plan}");
                assert!(
                    !plan.contains("TEMP B-TREE") && !plan.contains("Sort"),
                    "{plan}"
                );
            }
        }
    });
}

#[test]
fn sets_come_back_from_bytes_as_they_were() {
    let book = Book::shipped().unwrap();
    let full = ScoreValue {
        value: Some(-0.5),
        band: "555".into(),
        interval: Some((0.0, 4.0, 0.9)),
        grade: regard_models::Grade::C,
        reasons: vec!["one".into(), "two".into()],
        model: Some(id(5)),
        n: 3,
        ..absent(6, "")
    };
    let set = ScoreSet {
        version: 9,
        as_of: day("1960-01-01"),
        day_version: 4,
        valid_until: Some(common::noon(ON)),
        values: vec![absent(0, "no"), full],
    };
    let bytes = scores::encode(&book, id(77), &set);
    assert_eq!(scores::decode(&book, &bytes).unwrap(), Some((id(77), set)));
    let other = Book {
        fingerprint: 1,
        ..Book::shipped().unwrap()
    };
    assert_eq!(
        scores::decode(&other, &bytes).unwrap(),
        None,
        "scored by other definitions"
    );
    assert_eq!(scores::decode(&book, &[]).unwrap(), None, "not scored yet");
    assert!(scores::decode(&book, &[0xff; 9]).is_err());
}

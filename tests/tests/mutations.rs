//! Every RPC that changes something: repeated, reused, concurrent and foreign request ids, checks without a change, stale
//! etags. Enumerated from the contract: an RPC that is added is tested without a word here, as long as a valid request of it
//! can be made (`regard_tests::mutation`).
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use regard_client::{Client, Options};
use regard_proto::{METHODS, Method};
use regard_testkit::{CacheKind, Engine, run};
use regard_tests::mutation::{fresh, verb};
use regard_tests::plan::ids;
use regard_tests::raw::{call, frame};
use regard_tests::tables;
use regard_tests::values::{create, make_tenant, reason};
use regard_tests::wild::Contract;
use regard_tests::world::World;
use regard_types::Caller;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// RPCs for which a valid request needs what only a service can sign: the customer service's tests of erasures check, repeat
/// and reuse it.
const OF_SERVICES: [&str; 1] = ["ReportErasure"];

/// What may change nothing, and is then not audited: an operation may have ended before it is cancelled.
const MAY_BE_OVER: [&str; 1] = ["CancelOperation"];

/// What moves by itself in any store: leases, cursors, seals, what scoring follows, what services report of erasures, and
/// what remembers requests.
const RESTLESS: [&str; 24] = [
    "lease",
    "lane",
    "feed",
    "feed_cursor",
    "idempotency",
    "audit_seal",
    "audit_roll",
    "checkpoint",
    "cache_generation",
    "load",
    "model",
    "score",
    "score_rank",
    "summary",
    "event",
    "alias",
    "tenant_state",
    "population",
    "seaql_migrations",
    "data_key",
    "customer_cursor",
    "erasure_pair",
    "erasure_part",
    "erasure_task",
];

/// Who calls: everybody may name any tenant, so that tenants can be made.
fn caller(tenant: &str, name: &str) -> Caller {
    let mut caller = Caller::new(ids().tenant_id(tenant), tenant, name);
    caller.all_tenants = true;
    caller
}

struct Bench {
    world: World,
    contract: Contract,
    channel: Channel,
    client: Client,
}

impl Bench {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine, CacheKind::Memory).await;
        make_tenant(&world.operator(), "other").await;
        create(&world.client(), "known").await;
        let channel = world.open().pipe.channel_of(caller("default", "test"));
        let client = Client::over(channel.clone(), &Options::default()).unwrap();
        Self {
            world,
            contract: Contract::read(),
            channel,
            client,
        }
    }

    async fn fresh(&self, method: &Method, tag: &str) -> DynamicMessage {
        fresh(&self.contract, &self.client, method, tag).await
    }

    /// Another valid request than this one. An operator's ids are kept apart for each tenant that it names, so another request
    /// about a tenant is about the same one.
    async fn other(&self, method: &Method, one: &DynamicMessage, tag: &str) -> DynamicMessage {
        if !method.service.ends_with(".TenantService") {
            return self.fresh(method, &format!("{tag}-2")).await;
        }
        let mut out = one.clone();
        if let Some(Value::Message(tenant)) = out.get_field_by_name_mut("tenant") {
            tenant.set_field_by_name("minimum_group_size", Value::I32(9));
        }
        out
    }

    /// Rows of every table of the service's own store that does not move by itself, and how far its feed is.
    async fn stored(&self, method: &Method) -> BTreeMap<String, u64> {
        let service = method.service.split('.').nth(1).unwrap();
        let place = ["customer", "feedback", "scoring"]
            .iter()
            .position(|name| *name == service)
            .unwrap();
        let store = &self.world.stores[place];
        let sql = match store.engine {
            Engine::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            }
            Engine::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
        };
        let mut out = BTreeMap::new();
        for table in tables::texts(&store.url, sql.to_owned()).await {
            if !RESTLESS.contains(&table.as_str()) {
                let rows = tables::count(&store.url, &format!("\"{table}\"")).await;
                out.insert(table, rows);
            }
        }
        // Services that report add entries of their own.
        let entries = format!(
            "SELECT CAST(count(*) AS text) FROM audit WHERE method LIKE '%{}'",
            verb(method)
        );
        let entries = tables::texts(&store.url, entries).await[0].parse().unwrap();
        out.insert("audit".to_owned(), entries);
        let heads = "SELECT CAST(coalesce(sum(head), 0) AS text) FROM lane".to_owned();
        let head = tables::texts(&store.url, heads).await[0].parse().unwrap();
        out.insert("(feed)".to_owned(), head);
        assert!(out.len() > 3, "{out:?}");
        out
    }

    async fn send(&self, method: &Method, message: &DynamicMessage) -> Outcome {
        send(&self.channel, &self.contract, method, message).await
    }
}

type Outcome = Result<DynamicMessage, Status>;

async fn send(
    channel: &Channel,
    contract: &Contract,
    method: &Method,
    message: &DynamicMessage,
) -> Outcome {
    let (answer, status) = call(channel, method.path, frame(&message.encode_to_vec())).await;
    if status.code() != Code::Ok {
        return Err(status);
    }
    let answer = answer.unwrap_or_else(Bytes::new);
    Ok(DynamicMessage::decode(contract.message(method.response), answer).unwrap())
}

fn with(message: &DynamicMessage, parts: &[(&str, Value)]) -> DynamicMessage {
    let mut out = message.clone();
    for (name, value) in parts {
        out.set_field_by_name(name, value.clone());
    }
    out
}

fn id(text: &str) -> (&'static str, Value) {
    ("request_id", Value::String(text.to_owned()))
}

/// What of an answer must be the same in its repeat: work that goes on is told as it stands, and a secret once.
fn lasting(answer: &DynamicMessage) -> DynamicMessage {
    let mut out = answer.clone();
    out.clear_field_by_name("secret");
    let fields: Vec<_> = answer.fields().map(|(field, _)| field).collect();
    for field in fields {
        let Value::Message(inner) = out.get_field_mut(&field) else {
            continue;
        };
        let kept = match inner.descriptor().full_name() {
            "google.longrunning.Operation" => "name",
            "regard.common.v1.KeyRotation" | "regard.common.v1.Erasure" => "id",
            _ => continue,
        };
        let name = inner.get_field_by_name(kept).unwrap().into_owned();
        let mut short = DynamicMessage::new(inner.descriptor());
        short.set_field_by_name(kept, name);
        *inner = short;
    }
    out
}

fn token(answer: &DynamicMessage) -> String {
    let token = answer.get_field_by_name("change_token");
    token
        .and_then(|token| token.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Whether a request holds more than its id and whether it is only checked: else there is no other body.
fn has_body(of: &MessageDescriptor) -> bool {
    of.fields().len() > 2
}

fn moved(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    after
        .iter()
        .filter(|(table, rows)| before.get(*table) != Some(rows))
        .map(|(table, rows)| format!("{table}: {:?} → {rows}", before.get(table)))
        .collect()
}

fn check_reused(what: &str, outcome: Outcome) {
    let status = outcome.expect_err(what);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "REQUEST_ID_REUSED"),
        "{what}: {status:?}"
    );
}

fn done(what: &str, outcome: Outcome) -> DynamicMessage {
    outcome.unwrap_or_else(|status| panic!("{what}: {}", regard_client::describe(&status)))
}

/// A check stores nothing, gives no token, and stands in nobody's way.
async fn checked_only(bench: &Bench, method: &Method, what: &str) {
    let tag = format!("v{}", verb(method).to_lowercase());
    let asked = with(&bench.fresh(method, &tag).await, &[id("checked")]);
    let check = with(&asked, &[("validate_only", Value::Bool(true))]);
    let before = bench.stored(method).await;
    let answer = done(
        &format!("{what}, validate_only"),
        bench.send(method, &check).await,
    );
    assert_eq!(token(&answer), "", "{what}: a check gives a token");
    let after = bench.stored(method).await;
    assert!(
        moved(&before, &after).is_empty(),
        "{what}: a check stores: {:?}",
        moved(&before, &after)
    );
    let first = done(
        &format!("{what} after a check"),
        bench.send(method, &asked).await,
    );
    // A check with the id of a call is answered as its repeat is.
    let again = done(
        &format!("{what}, a check afterwards"),
        bench.send(method, &check).await,
    );
    assert_eq!(lasting(&first), lasting(&again), "{what}");
    if has_body(&method_request(bench, method)) {
        let other = bench.other(method, &check, &tag).await;
        let other = with(
            &other,
            &[id("checked"), ("validate_only", Value::Bool(true))],
        );
        check_reused(
            &format!("{what}, a check of another body"),
            bench.send(method, &other).await,
        );
    }
}

fn method_request(bench: &Bench, method: &Method) -> MessageDescriptor {
    bench.contract.message(method.request)
}

/// The same id and body changes once; the same id and another body is refused; ids of others are theirs.
async fn repeated(bench: &Bench, method: &Method, what: &str) {
    let tag = format!("r{}", verb(method).to_lowercase());
    let asked = with(&bench.fresh(method, &tag).await, &[id("repeated")]);
    let before = bench.stored(method).await;
    let first = done(what, bench.send(method, &asked).await);
    let stored = bench.stored(method).await;
    let grown = |table: &str| {
        stored.get(table).copied().unwrap_or_default()
            - before.get(table).copied().unwrap_or_default()
    };
    check_audited(method, grown("audit"), what, &moved(&before, &stored));
    let again = done(
        &format!("{what}, repeated"),
        bench.send(method, &asked).await,
    );
    assert_eq!(
        lasting(&first),
        lasting(&again),
        "{what}: the repeat is answered otherwise"
    );
    let after = bench.stored(method).await;
    assert!(
        moved(&stored, &after).is_empty(),
        "{what}: a repeat stores: {:?}",
        moved(&stored, &after)
    );
    if has_body(&method_request(bench, method)) {
        let other = with(&bench.other(method, &asked, &tag).await, &[id("repeated")]);
        let before = bench.stored(method).await;
        check_reused(
            &format!("{what}, another body"),
            bench.send(method, &other).await,
        );
        let after = bench.stored(method).await;
        assert!(
            moved(&before, &after).is_empty(),
            "{what}: {:?}",
            moved(&before, &after)
        );
    }
    // Another caller of the tenant, and another tenant: both have the id for themselves.
    for (tenant, name, tag) in [("default", "second", "r3"), ("other", "test", "r4")] {
        let channel = bench.world.open().pipe.channel_of(caller(tenant, name));
        let client = Client::over(channel.clone(), &Options::default()).unwrap();
        let tag = format!("{tag}{}", verb(method).to_lowercase());
        let other = fresh(&bench.contract, &client, method, &tag).await;
        let other = with(&other, &[id("repeated")]);
        let answer = send(&channel, &bench.contract, method, &other).await;
        let answer = done(&format!("{what} by {name} of {tenant}"), answer);
        assert_ne!(
            lasting(&answer),
            lasting(&first),
            "{what}: answered with another's answer"
        );
    }
}

fn check_audited(method: &Method, entries: u64, what: &str, moved: &[String]) {
    let fine = entries == 1 || (entries == 0 && MAY_BE_OVER.contains(&verb(method)));
    assert!(fine, "{what}: {entries} audit entries: {moved:?}");
}

/// Two calls at once with one id: one of them changes, both are answered alike.
async fn at_once(bench: &Bench, method: &Method, what: &str) {
    let tag = format!("c{}", verb(method).to_lowercase());
    let asked = with(&bench.fresh(method, &tag).await, &[id("at once")]);
    let before = bench.stored(method).await;
    let (one, two) = tokio::join!(bench.send(method, &asked), bench.send(method, &asked));
    let (one, two) = (done(what, one), done(what, two));
    assert_eq!(lasting(&one), lasting(&two), "{what}: two answers");
    let after = bench.stored(method).await;
    let audited = after["audit"] - before["audit"];
    check_audited(method, audited, what, &moved(&before, &after));
}

/// An etag that nobody gave is stale, wherever a request has one.
async fn stale(bench: &Bench, method: &Method, what: &str) {
    let tag = format!("e{}", verb(method).to_lowercase());
    let asked = bench.fresh(method, &tag).await;
    let before = bench.stored(method).await;
    let etag = Value::String("0190b3a1-7c3d-7c3d-8c3d-0190b3a17c3d-9".to_owned());
    let outcome = bench.send(method, &with(&asked, &[("etag", etag)])).await;
    let status = outcome.expect_err(what);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Aborted, "ETAG_MISMATCH"),
        "{what}: {status:?}"
    );
    let after = bench.stored(method).await;
    assert!(
        moved(&before, &after).is_empty(),
        "{what}: {:?}",
        moved(&before, &after)
    );
    done(
        &format!("{what} without an etag"),
        bench.send(method, &asked).await,
    );
}

async fn every_mutation(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (mut tried, mut with_etag, mut failed) = (0, 0, Vec::new());
    for method in METHODS.iter().filter(|method| method.request_id) {
        if OF_SERVICES.contains(&verb(method)) {
            continue;
        }
        let what = format!("{} on {engine:?}", method.path);
        let bench = &bench;
        let checks: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = vec![
            Box::pin(checked_only(bench, method, &what)),
            Box::pin(repeated(bench, method, &what)),
            Box::pin(at_once(bench, method, &what)),
        ];
        for check in checks {
            if let Err(panic) = guarded(check).await {
                failed.push(panic);
            }
        }
        let has_etag = bench
            .contract
            .message(method.request)
            .get_field_by_name("etag")
            .is_some();
        if has_etag {
            with_etag += 1;
            if let Err(panic) = guarded(Box::pin(stale(bench, method, &what))).await {
                failed.push(panic);
            }
        }
        tried += 1;
    }
    println!("{tried} mutating RPCs, {with_etag} with an etag, on {engine:?}");
    assert!(
        failed.is_empty(),
        "{} fail:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(
        tried >= 20 && with_etag >= 5,
        "{tried} RPCs, {with_etag} with an etag"
    );
}

/// What a check says when it fails, so that one RPC does not hide the others.
async fn guarded(check: std::pin::Pin<Box<dyn Future<Output = ()> + '_>>) -> Result<(), String> {
    use futures::FutureExt as _;
    std::panic::AssertUnwindSafe(check)
        .catch_unwind()
        .await
        .map_err(|panic| {
            panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()
        })
}

#[test]
fn every_mutation_on_sqlite() {
    run(every_mutation(Engine::Sqlite));
}

#[test]
fn every_mutation_on_postgres() {
    run(every_mutation(Engine::Postgres));
}

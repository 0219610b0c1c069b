//! A tenant that has everything of another one that can be had without its keys (ids, source keys, page tokens, etags,
//! change tokens, cursors, request ids) and tries it all in every RPC, wherever the contract has a field for it. Then again
//! with the doors broken on purpose: row-level security stops it all the same, and without it the breach shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};
use regard_client::Client;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::{METHODS, Method};
use regard_testkit::{CacheKind, Engine, run};
use regard_tests::plan::ids;
use regard_tests::prey::{Ids, MARK, records};
use regard_tests::raw::{call, call_with, frame};
use regard_tests::values::{create, key, make_tenant, order, record};
use regard_tests::wild::Contract;
use regard_tests::world::World;
use regard_types::Caller;
use tonic::transport::Channel;

/// Values of one kind that are tried in one field.
const EACH: usize = 6;

/// What the attacker has.
#[derive(Default)]
struct Loot {
    customers: Vec<String>,
    ids: Vec<String>,
    operations: Vec<String>,
    pages: Vec<String>,
    etags: Vec<String>,
    tokens: Vec<String>,
    resumes: Vec<String>,
    epochs: Vec<String>,
    prefixes: Vec<String>,
    requests: Vec<String>,
    cursors: Vec<Value>,
}

/// What was tried and what came of it.
#[derive(Default)]
struct Tally {
    attacks: usize,
    busy: usize,
    unanswered: usize,
    codes: BTreeMap<String, usize>,
    violations: Vec<String>,
}

static TOTAL: Mutex<(usize, usize)> = Mutex::new((0, 0));

/// Adds to the figures of the run.
fn told(tally: &Tally) {
    let mut total = TOTAL.lock().unwrap();
    total.0 += tally.attacks;
    total.1 += tally.violations.len();
    if let Ok(path) = std::env::var("REGARD_SECURITY_OUT_TENANTS") {
        let text = format!(
            "{{\"tenant_attacks\":{},\"violations\":{}}}",
            total.0, total.1
        );
        std::fs::write(path, text).unwrap();
    }
}

fn channel(world: &World, tenant: &str) -> Channel {
    let caller = Caller::new(ids().tenant_id(tenant), tenant, "test");
    world.open().pipe.channel_of(caller)
}

impl Loot {
    /// Takes what an answer holds, by the names of its fields.
    fn take(&mut self, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            let values: Vec<&Value> = match value {
                Value::List(list) => list.iter().collect(),
                one => vec![one],
            };
            for value in values {
                match value {
                    Value::Message(inner) if inner.descriptor().name() == "FeedCursor" => {
                        self.cursors.push(value.clone());
                    }
                    Value::Message(inner) => self.take(inner),
                    Value::String(text) if !text.is_empty() => self.text(field.name(), text),
                    _ => {}
                }
            }
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        let to = match name {
            "etag" => &mut self.etags,
            "change_token" => &mut self.tokens,
            "next_page_token" => &mut self.pages,
            "resume_token" => &mut self.resumes,
            "epoch" => &mut self.epochs,
            "prefix" => &mut self.prefixes,
            "name" if text.starts_with("operations/") => &mut self.operations,
            "customer_id" => &mut self.customers,
            _ if name == "id" || name.ends_with("_id") => {
                if regard_types::Uuid::try_parse(text).is_err() {
                    return;
                }
                &mut self.ids
            }
            _ => return,
        };
        if !to.iter().any(|known| known == text) {
            to.push(text.to_owned());
        }
    }

    /// What must not be told to anyone else.
    fn secrets(&self, ids: &Ids) -> BTreeSet<String> {
        let operations = self.operations.iter().map(|o| o.replace("operations/", ""));
        let mut all: BTreeSet<String> = self.customers.iter().chain(&self.ids).cloned().collect();
        all.extend(operations);
        all.extend([
            MARK.to_owned(),
            ids.customer.clone(),
            ids.order.clone(),
            ids.response.clone(),
            ids.item.clone(),
            ids.complaint.clone(),
        ]);
        // What the contract's examples name is nobody's.
        all.retain(|id| !id.starts_with("0190b3a1"));
        all
    }

    /// What fits into a field.
    fn of(&self, field: &FieldDescriptor) -> Vec<Value> {
        let texts = |texts: &[String]| -> Vec<Value> {
            texts
                .iter()
                .take(EACH)
                .cloned()
                .map(Value::String)
                .collect()
        };
        match field.kind() {
            Kind::Message(message) => {
                let with = |name: &str, value: Value| {
                    let mut out = DynamicMessage::new(message.clone());
                    out.set_field_by_name(name, value);
                    Value::Message(out)
                };
                match message.name() {
                    "CustomerRef" => texts(&self.customers)
                        .into_iter()
                        .map(|id| with("id", id))
                        .collect(),
                    "RecordRef" => texts(&self.ids)
                        .into_iter()
                        .map(|id| with("id", id))
                        .collect(),
                    "SourceKey" => ["c0", "o", "s", "r", "i", "x"]
                        .iter()
                        .map(|name| {
                            let known = key(name);
                            let mut out = DynamicMessage::new(message.clone());
                            out.set_field_by_name("source", Value::String(known.source));
                            out.set_field_by_name("external_id", Value::String(known.external_id));
                            Value::Message(out)
                        })
                        .collect(),
                    "FeedCursor" => self.cursors.iter().take(EACH).cloned().collect(),
                    _ => Vec::new(),
                }
            }
            Kind::String => match field.name() {
                "page_token" => texts(&self.pages),
                "etag" => texts(&self.etags),
                "request_id" => texts(&self.requests),
                "resume_token" => texts(&self.resumes),
                "epoch" => texts(&self.epochs),
                "change_token" | "change_tokens" => texts(&self.tokens),
                "prefix" | "key" => texts(&self.prefixes),
                // to find by; written it would be the attacker's own
                "email" if field.parent_message().name().ends_with("Request") => {
                    vec![Value::String(format!("{MARK}-0@example.org"))]
                }
                "tenant" => vec![Value::String("one".to_owned())],
                "tenant_id" => vec![Value::String(ids().tenant_id("one").to_string())],
                "name" => texts(&self.operations),
                "customer_id" => texts(&self.customers),
                name if name == "id" || name.ends_with("_id") || name.ends_with("_ids") => {
                    texts(&self.ids)
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// A sound message with loot in every place that takes any.
    fn filled(&self, sound: &DynamicMessage) -> DynamicMessage {
        let mut out = sound.clone();
        for field in sound.descriptor().fields().filter(|f| !f.is_map()) {
            if let Some(value) = self.of(&field).into_iter().next() {
                put(&mut out, &field, value);
            } else if let Some(inner) = inner(sound, &field) {
                put(&mut out, &field, Value::Message(self.filled(&inner)));
            }
        }
        out
    }

    /// The message with one thing stolen, each place and each thing.
    fn variations(&self, base: &DynamicMessage, out: &mut Vec<DynamicMessage>) {
        for field in base.descriptor().fields().filter(|f| !f.is_map()) {
            for value in self.of(&field) {
                let mut one = base.clone();
                put(&mut one, &field, value);
                out.push(one);
            }
            if let Some(inner) = inner(base, &field) {
                let mut inners = Vec::new();
                self.variations(&inner, &mut inners);
                for inner in inners {
                    let mut one = base.clone();
                    put(&mut one, &field, Value::Message(inner));
                    out.push(one);
                }
            }
        }
    }
}

fn put(message: &mut DynamicMessage, field: &FieldDescriptor, value: Value) {
    let value = if field.is_list() {
        Value::List(vec![value])
    } else {
        value
    };
    message.set_field(field, value);
}

/// The message, or the first of the list, in a field; none of Google's.
fn inner(message: &DynamicMessage, field: &FieldDescriptor) -> Option<DynamicMessage> {
    let Kind::Message(kind) = field.kind() else {
        return None;
    };
    if kind.full_name().starts_with("google.") || !message.has_field(field) {
        return None;
    }
    match message.get_field(field).as_ref() {
        Value::Message(inner) => Some(inner.clone()),
        Value::List(list) => list.first()?.as_message().cloned(),
        _ => None,
    }
}

fn attacked() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(|m| m.permission != "tenant.create")
}

fn response_of(contract: &Contract, method: &Method) -> MessageDescriptor {
    contract.message(&method.request.replace("Request", "Response"))
}

async fn ask(channel: &Channel, path: &str, request: &[u8]) -> Option<(Vec<u8>, tonic::Status)> {
    // Watching and waiting have no end: what they say in a moment is enough.
    let patience = if path.contains("/Watch") || path.contains("/Wait") {
        ("grpc-timeout", "250m")
    } else {
        ("grpc-timeout", "20S")
    };
    let (channel, path, body) = (channel.clone(), path.to_owned(), frame(request));
    // a call that the transport gives up is no answer
    let sent = tokio::spawn(async move { call_with(&channel, &path, &[patience], body).await });
    let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
    let (answer, status) = sent.ok()?.ok()?;
    Some((answer.unwrap_or_default().to_vec(), status))
}

/// Fills the first tenant and takes what an attacker could have of it.
async fn prepare(world: &World, contract: &Contract) -> (Ids, Loot) {
    make_tenant(&world.operator(), "one").await;
    make_tenant(&world.operator(), "two").await;
    let one = world.client_of("one");
    let ids = records(&one).await;
    let mut loot = Loot {
        customers: vec![ids.customer.clone()],
        ids: vec![
            ids.order.clone(),
            ids.response.clone(),
            ids.item.clone(),
            ids.complaint.clone(),
        ],
        operations: vec![ids.operation.clone()],
        pages: vec![ids.page.clone()],
        etags: vec![ids.etag.clone()],
        ..Loot::default()
    };
    loot.tokens
        .push(record(&one, order("stolen", "c2", 700, "2026-03-03")).await);
    feeds(&one, &mut loot).await;
    // Whatever else its own calls answer with.
    let channel = channel(world, "one");
    for method in attacked() {
        let descriptor = contract.message(method.request);
        let sound = contract.sound(&descriptor);
        let mut asked = vec![sound.clone(), loot.filled(&sound)];
        if let Some(size) = descriptor.get_field_by_name("page_size") {
            for request in &mut asked {
                request.set_field(&size, Value::I32(1));
                request.clear_field_by_name("page_token");
            }
        }
        if method.path.contains("Erase") || method.path.contains("/Watch") {
            continue;
        }
        for mut request in asked {
            let id = format!("request-of-one-{}", loot.requests.len());
            if descriptor.get_field_by_name("request_id").is_some() {
                request.set_field_by_name("request_id", Value::String(id.clone()));
                loot.requests.push(id);
            }
            let answer = ask(&channel, method.path, &request.encode_to_vec()).await;
            let Some((answer, _)) = answer.filter(|(_, status)| status.code() == tonic::Code::Ok)
            else {
                continue;
            };
            let answer = DynamicMessage::decode(response_of(contract, method), answer.as_slice());
            loot.take(&answer.unwrap());
        }
    }
    loot.requests.truncate(EACH);
    for (what, n) in [
        ("pages", loot.pages.len()),
        ("tokens", loot.tokens.len()),
        ("resumes", loot.resumes.len()),
        ("cursors", loot.cursors.len()),
        ("ids", loot.ids.len()),
    ] {
        assert!(n > 0, "the attacker has no {what}");
    }
    create(&world.client_of("two"), "own").await;
    (ids, loot)
}

async fn feeds(one: &Client, loot: &mut Loot) {
    let contract = Contract::read();
    let mut keep = |name: &str, bytes: Vec<u8>| {
        let message = DynamicMessage::decode(contract.message(name), bytes.as_slice());
        loot.take(&message.unwrap());
    };
    let request = customer::SnapshotChangesRequest::default();
    let mut stream = one
        .customer_changes()
        .snapshot_changes(request)
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = stream.message().await.unwrap() {
        keep(
            "regard.customer.v1.SnapshotChangesResponse",
            part.encode_to_vec(),
        );
    }
    let request = feedback::SnapshotChangesRequest::default();
    let mut stream = one
        .feedback_changes()
        .snapshot_changes(request)
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = stream.message().await.unwrap() {
        keep(
            "regard.feedback.v1.SnapshotChangesResponse",
            part.encode_to_vec(),
        );
    }
}

/// What a tenant has: its rows in the feeds' form, and what its audits say.
pub async fn inventory(world: &World, tenant: &str) -> Vec<String> {
    let one = world.client_of(tenant);
    let mut rows = Vec::new();
    let request = customer::SnapshotChangesRequest::default();
    let mut stream = one
        .customer_changes()
        .snapshot_changes(request)
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = stream.message().await.unwrap() {
        rows.extend(part.changes.iter().map(|change| format!("{change:?}")));
    }
    let request = feedback::SnapshotChangesRequest::default();
    let mut stream = one
        .feedback_changes()
        .snapshot_changes(request)
        .await
        .unwrap()
        .into_inner();
    while let Some(part) = stream.message().await.unwrap() {
        rows.extend(part.changes.iter().map(|change| format!("{change:?}")));
    }
    let channel = channel(world, tenant);
    for service in ["customer", "feedback", "scoring"] {
        let path = format!("/regard.{service}.v1.AuditService/ListAuditEntries");
        let request = customer::ListAuditEntriesRequest {
            page_size: 1_000,
            ..Default::default()
        };
        let (answer, status) = call(&channel, &path, frame(&request.encode_to_vec())).await;
        assert_eq!(status.code(), tonic::Code::Ok, "{status:?}");
        let answer = answer.unwrap_or_default();
        let answer = customer::ListAuditEntriesResponse::decode(answer.as_ref()).unwrap();
        assert!(!answer.entries.is_empty(), "{service} has audited nothing");
        rows.extend(answer.entries.iter().map(|entry| format!("{entry:?}")));
    }
    rows.sort();
    rows
}

async fn attack(world: &World, contract: &Contract, ids: &Ids, loot: &Loot) -> Tally {
    let secrets = loot.secrets(ids);
    let mut attacks: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for method in attacked() {
        let sound = contract.sound(&contract.message(method.request));
        let filled = loot.filled(&sound);
        let mut all = vec![filled.clone(), sound.clone()];
        loot.variations(&sound, &mut all);
        loot.variations(&filled, &mut all);
        let mut bytes: Vec<Vec<u8>> = all.iter().map(prost::Message::encode_to_vec).collect();
        bytes.sort();
        bytes.dedup();
        attacks.extend(bytes.into_iter().map(|request| (method.path, request)));
    }
    let two = channel(world, "two");
    let answers = futures::stream::iter(attacks)
        .map(|(path, request)| {
            let two = two.clone();
            async move {
                let answer = ask(&two, path, &request).await;
                (path, request, answer)
            }
        })
        .buffer_unordered(8);
    let mut answers = std::pin::pin!(answers);
    let mut tally = Tally::default();
    while let Some((path, request, answer)) = answers.next().await {
        tally.attacks += 1;
        let Some((answer, status)) = answer else {
            tally.unanswered += 1;
            continue;
        };
        *tally
            .codes
            .entry(format!("{:?}", status.code()))
            .or_default() += 1;
        tally.busy += usize::from(status.code() == tonic::Code::ResourceExhausted);
        let answer = String::from_utf8_lossy(&answer).into_owned() + &format!("{status:?}");
        let request = String::from_utf8_lossy(&request).into_owned();
        // What the attacker says itself may come back.
        let told = secrets
            .iter()
            .find(|s| answer.contains(s.as_str()) && !request.contains(s.as_str()));
        if let Some(secret) = told {
            tally.violations.push(format!("{path} tells {secret}"));
        }
    }
    println!("{} attacks: {:?}", tally.attacks, tally.codes);
    assert!(
        (tally.busy + tally.unanswered) * 100 < tally.attacks,
        "too many were never tried: {} without an answer, {:?}",
        tally.unanswered,
        tally.codes
    );
    tally
}

async fn withstands(world: &World, contract: &Contract, ids: &Ids, loot: &Loot) {
    let before = inventory(world, "one").await;
    let mut tally = attack(world, contract, ids, loot).await;
    let after = inventory(world, "one").await;
    if before != after {
        let lost = before.iter().filter(|row| !after.contains(row)).take(3);
        let new = after.iter().filter(|row| !before.contains(row)).take(3);
        let what: Vec<_> = lost.chain(new).collect();
        tally
            .violations
            .push(format!("the other tenant's records changed: {what:#?}"));
    }
    told(&tally);
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
    assert!(tally.attacks > 500, "only {} attacks", tally.attacks);
}

fn nothing_of_the_others(engine: Engine, cache: CacheKind) {
    run(async {
        let world = World::new(engine, cache).await;
        let contract = Contract::read();
        let (ids, loot) = prepare(&world, &contract).await;
        withstands(&world, &contract, &ids, &loot).await;
    });
}

#[test]
fn nothing_of_the_other_tenant_sqlite_memory() {
    nothing_of_the_others(Engine::Sqlite, CacheKind::Memory);
}

#[test]
fn nothing_of_the_other_tenant_postgres_redis() {
    nothing_of_the_others(Engine::Postgres, CacheKind::Redis);
}

#[cfg(debug_assertions)]
mod broken {
    use regard_database::hazard::{Hazard, arm};

    use super::*;

    async fn prepared() -> (World, Contract, Ids, Loot) {
        let world = World::new(Engine::Postgres, CacheKind::Memory).await;
        let contract = Contract::read();
        let (ids, loot) = prepare(&world, &contract).await;
        (world, contract, ids, loot)
    }

    fn break_doors(world: &World, hazard: Hazard) {
        for store in &world.stores {
            arm(&store.url, hazard);
        }
    }

    /// Statements that forget their tenant are kept to it by the wall alone; without the wall they are not, which shows
    /// that this attack can succeed.
    #[test]
    fn statements_that_forget_their_tenant() {
        run(async {
            let (mut world, contract, ids, loot) = prepared().await;
            break_doors(&world, Hazard::ForgottenTenant);
            withstands(&world, &contract, &ids, &loot).await;
            break_doors(&world, Hazard::None);
            world.plan.bare = true;
            world.open_again().await;
            break_doors(&world, Hazard::ForgottenTenant);
            let tally = attack(&world, &contract, &ids, &loot).await;
            assert!(
                !tally.violations.is_empty(),
                "without row-level security nothing was told either: the attacks are none"
            );
            println!(
                "without the wall: {} of {} attacks succeed",
                tally.violations.len(),
                tally.attacks
            );
        });
    }

    /// A door that sets the attacked tenant for whoever calls: the queries still name the caller's.
    #[test]
    fn a_door_that_sets_the_other_tenant() {
        run(async {
            let (world, contract, ids, loot) = prepared().await;
            let one = regard_tests::plan::ids().tenant_id("one");
            break_doors(&world, Hazard::WrongTenant(one));
            withstands(&world, &contract, &ids, &loot).await;
        });
    }

    /// A door that sets none.
    #[test]
    fn a_door_that_sets_no_tenant() {
        run(async {
            let (world, contract, ids, loot) = prepared().await;
            break_doors(&world, Hazard::NoTenant);
            let tally = attack(&world, &contract, &ids, &loot).await;
            told(&tally);
            assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
        });
    }
}

//! Bad input for every RPC of the contract: a canonical code, every bad field named, nothing stored, no panic.
//!
//! Long form (200 random messages an RPC, 50,000 cases of the storm): `REGARD_LONG=1 cargo test -p regard-tests --test wild`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "wild/storm.rs"]
mod storm;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use rand::{Rng as _, SeedableRng as _};
use regard_proto::error::ErrorDetail as _;
use regard_proto::{METHODS, Method};
use regard_testkit::{CacheKind, Engine, run};
use regard_tests::plan::Plan;
use regard_tests::raw::{call, figure, figures, frame};
use regard_tests::values::{
    create, customer_ref, date, ingest, key, make_survey, order, reason, record, record_ref, row,
    scores, try_record, usd,
};
use regard_tests::wild::Contract;
use regard_tests::world::World;
use regard_tests::{sized, tables};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Codes that bad input may be answered with; the caller is known.
const REFUSALS: [Code; 4] = [
    Code::InvalidArgument,
    Code::ResourceExhausted,
    Code::NotFound,
    Code::FailedPrecondition,
];

/// Tables that live by themselves: the roll sets quintiles and scores anew when a day comes.
const RESTLESS: [&str; 14] = [
    "audit_seal",
    "audit_roll",
    "customer_cursor",
    "model",
    "score_rank",
    "lease",
    "lane",
    "feed",
    "feed_cursor",
    "load",
    "checkpoint",
    "tenant_state",
    "cache_generation",
    "idempotency",
];

async fn world(engine: Engine) -> World {
    let plan = Plan {
        figures: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let world = Box::pin(World::with(engine, CacheKind::Memory, plan)).await;
    let client = world.client();
    create(&client, "c").await;
    make_survey(&client, "s").await;
    let token = record(&client, order("o", "c", 1_000, "2026-01-01")).await;
    scores(&client, "c", &[token]).await;
    world
}

/// Rows of every table of every store.
async fn stored(world: &World) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for (name, store) in ["customer", "feedback", "scoring"]
        .iter()
        .zip(&world.stores)
    {
        let sql = match store.engine {
            Engine::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            }
            Engine::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
        };
        for table in tables::texts(&store.url, sql.to_owned()).await {
            if !RESTLESS.contains(&table.as_str()) {
                let quoted = format!("\"{table}\"");
                out.insert(
                    format!("{name}.{table}"),
                    tables::count(&store.url, &quoted).await,
                );
            }
        }
    }
    assert!(out.len() > 15, "{out:?}");
    out
}

async fn check_calm(world: &World, before: &BTreeMap<String, u64>) {
    let after = stored(world).await;
    let moved: Vec<_> = after
        .iter()
        .filter(|(table, rows)| before.get(*table) != Some(rows))
        .collect();
    assert!(moved.is_empty(), "rows were stored: {moved:?}");
    let page = figures(world.open().running.metrics_address().unwrap()).await;
    assert!(page.contains("regard_requests_total"), "{page}");
    assert_eq!(
        figure(&page, "regard_panics_total", "") + figure(&page, "regard_job_panics_total", ""),
        0.0
    );
    scores(&world.client(), "c", &[]).await;
}

fn check_status(method: &Method, what: &str, status: &Status) {
    assert!(
        REFUSALS.contains(&status.code()),
        "{} with {what}: {status:?}",
        method.path
    );
    assert!(
        !reason(status).is_empty(),
        "{} with {what}: no reason: {status:?}",
        method.path
    );
    assert!(
        status.message().len() <= 1_024,
        "{} with {what}",
        method.path
    );
}

/// What became of a batch of rows.
fn batch(
    contract: &Contract,
    method: &Method,
    answer: Bytes,
) -> regard_proto::common::v1::BatchResult {
    let answer = DynamicMessage::decode(contract.message(method.response), answer).unwrap();
    let result = answer.get_field_by_name("result").unwrap().into_owned();
    result.as_message().unwrap().transcode_to().unwrap()
}

/// A row's field as an error of the whole request names it.
fn of_row(field: String) -> String {
    if field.starts_with("rows[") {
        field
    } else {
        format!("rows[0].{field}")
    }
}

/// The fields that an answer names: of an error, or of the first rejected row.
fn named(
    contract: &Contract,
    method: &Method,
    answer: Option<Bytes>,
    status: &Status,
) -> Vec<String> {
    if status.code() != Code::Ok {
        return status.bad_fields();
    }
    let Some(answer) = answer else {
        return Vec::new();
    };
    let result = batch(contract, method, answer);
    assert_eq!(
        (result.accepted, result.unchanged),
        (0, 0),
        "{} took a bad row: {result:?}",
        method.path
    );
    let violations = result.rejected.into_iter().flat_map(|row| row.violations);
    violations.map(|v| of_row(v.field)).collect()
}

/// Fields and what is said of them, in an error or in the first rejected row.
fn told(
    contract: &Contract,
    method: &Method,
    answer: Option<Bytes>,
    status: &Status,
) -> Vec<(String, String)> {
    if let (true, Some(answer)) = (method.client_streaming, answer) {
        let rows = batch(contract, method, answer).rejected.into_iter();
        let rows = rows.filter(|row| row.index == 0);
        let violations = rows.flat_map(|row| row.violations);
        return violations
            .map(|v| (of_row(v.field), v.description))
            .collect();
    }
    let bad = status.get_details_bad_request();
    let bad = bad.map(|bad| bad.field_violations).unwrap_or_default();
    bad.into_iter().map(|v| (v.field, v.description)).collect()
}

async fn send(
    channel: &Channel,
    method: &Method,
    message: &DynamicMessage,
) -> (Option<Bytes>, Status) {
    call(channel, method.path, frame(&message.encode_to_vec())).await
}

async fn every_rule_of_every_rpc(engine: Engine) {
    let world = world(engine).await;
    let channel = world.open().pipe.channel();
    let contract = Contract::read();
    let before = stored(&world).await;
    let mut tried = 0;
    assert!(METHODS.len() >= 40, "{} RPCs", METHODS.len());
    for method in METHODS {
        let request = contract.message(method.request);
        let wrongs = contract.wrongs(&request);
        for wrong in &wrongs {
            let mut message = contract.sound(&request);
            wrong.apply(&mut message);
            let (answer, status) = send(&channel, method, &message).await;
            let rows = method.client_streaming && status.code() == Code::Ok;
            assert!(
                rows || status.code() == Code::InvalidArgument,
                "{} with {} {}: {status:?}",
                method.path,
                wrong.path,
                wrong.what
            );
            let fields = named(&contract, method, answer, &status);
            assert!(
                fields.iter().any(|f| wrong.named_by(f)),
                "{} with {} {}: names {fields:?}",
                method.path,
                wrong.path,
                wrong.what
            );
            tried += 1;
        }
        // All at once, one wrong a field: every one is named, up to the twenty that a status can carry.
        let mut message = contract.sound(&request);
        let mut taken: Vec<&regard_tests::wild::Wrong> = Vec::new();
        for wrong in wrongs.iter().rev().filter(|w| {
            w.what != "absent"
                && w.what != "no items"
                && w.what != "too many items"
                && !w.what.starts_with("none of")
                && w.stands_beside()
        }) {
            if !taken.iter().any(|t| t.path == wrong.path) {
                wrong.apply(&mut message);
                taken.push(wrong);
            }
        }
        if !taken.is_empty() {
            let (answer, status) = send(&channel, method, &message).await;
            let fields = named(&contract, method, answer, &status);
            let missing: Vec<_> = taken
                .iter()
                .filter(|w| !fields.iter().any(|f| w.named_by(f)))
                .map(|w| &w.path)
                .collect();
            assert!(
                missing.is_empty() || fields.len() >= 20,
                "{}: {missing:?} not among {fields:?}",
                method.path
            );
        }
    }
    assert!(tried > 250, "{tried} wrongs");
    println!("{} RPCs, {tried} wrong requests", METHODS.len());
    check_calm(&world, &before).await;
}

#[test]
fn every_rule_of_every_rpc_sqlite() {
    run(every_rule_of_every_rpc(Engine::Sqlite));
}

#[test]
fn every_rule_of_every_rpc_postgres() {
    run(every_rule_of_every_rpc(Engine::Postgres));
}

/// A tag and a value of a wire type that no field of ours with this number has.
fn wrong_type(request: &prost_reflect::MessageDescriptor) -> Option<Vec<u8>> {
    use prost_reflect::Kind;
    let field = request.fields().next()?;
    let tag = u8::try_from(field.number() << 3).ok()?;
    let text =
        field.is_list() || matches!(field.kind(), Kind::String | Kind::Message(_) | Kind::Bytes);
    // A varint where text is expected, text where a number is.
    Some(if text {
        vec![tag, 7]
    } else {
        vec![tag | 2, 3, b'a', b'b', b'c']
    })
}

#[test]
fn every_rpc_withstands_garbage() {
    run(async {
        let world = world(Engine::Sqlite).await;
        let channel = world.open().pipe.channel();
        let contract = Contract::read();
        let before = stored(&world).await;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        let huge = Bytes::from(vec![0x7a; 10 << 20]);
        for method in METHODS {
            let request = contract.message(method.request);
            let sound = contract.sound(&request).encode_to_vec();
            if let Some(bytes) = wrong_type(&request) {
                let (_, status) = call(&channel, method.path, frame(&bytes)).await;
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::InvalidArgument, "MESSAGE_MALFORMED"),
                    "{}: {status:?}",
                    method.path
                );
            }
            // Cut within a field: between two fields a cut message is another sound one.
            let broken =
                |cut: &usize| DynamicMessage::decode(request.clone(), &sound[..*cut]).is_err();
            let cuts: Vec<usize> = (1..sound.len()).filter(broken).collect();
            for cut in cuts.iter().step_by((cuts.len() / 3).max(1)) {
                let (_, status) = call(&channel, method.path, frame(&sound[..*cut])).await;
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::InvalidArgument, "MESSAGE_MALFORMED"),
                    "{}: {status:?}",
                    method.path
                );
            }
            // Text that is no UTF-8.
            let mut broken = sound.clone();
            if let Some(at) = broken.windows(4).position(|w| w == b"shop" || w == b"0190") {
                broken[at..at + 4].copy_from_slice(&[0xff, 0xfe, 0xc0, 0x80]);
                let (_, status) = call(&channel, method.path, frame(&broken)).await;
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::InvalidArgument, "MESSAGE_MALFORMED"),
                    "{}: {status:?}",
                    method.path
                );
            }
            // A frame that promises more than it holds, and one without its end.
            let whole = frame(&sound);
            for cut in [3, whole.len().saturating_sub(1).max(1)] {
                let (_, status) = call(
                    &channel,
                    method.path,
                    whole.slice(..cut.min(whole.len() - 1)),
                )
                .await;
                check_status(method, "a cut frame", &status);
            }
            // Ten mebibytes.
            let (_, status) = call(&channel, method.path, frame(&huge)).await;
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
                "{}: {status:?}",
                method.path
            );
            for _ in 0..sized(6, 200) {
                let length = random.random_range(1..200);
                let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
                let (_, status) = call(&channel, method.path, frame(&bytes)).await;
                check_status(method, "random bytes", &status);
            }
        }
        check_calm(&world, &before).await;
    });
}

/// Rules that requests are made from here; one that the contract begins to use belongs among them first.
const RULES: &[&str] = &[
    "bytes.len",
    "cel date.range",
    "cel money.non_negative",
    "double.finite",
    "duration.gte",
    "duration.lte",
    "enum.defined_only",
    "enum.not_in",
    "ignore",
    "int32.gte",
    "int32.lte",
    "int64.gte",
    "int64.lte",
    "map.keys.string.max_len",
    "map.keys.string.min_len",
    "map.keys.string.pattern",
    "map.max_pairs",
    "map.values.string.max_len",
    "map.values.string.min_len",
    "repeated.items.ignore",
    "repeated.items.string.max_len",
    "repeated.items.string.min_len",
    "repeated.items.string.pattern",
    "repeated.max_items",
    "repeated.min_items",
    "repeated.unique",
    "required",
    "string.max_len",
    "string.min_len",
    "string.pattern",
    "string.uuid",
    "timestamp.gte",
    "timestamp.lt",
    "uint32.lte",
    "uint64.lte",
];

#[test]
fn no_rule_of_the_contract_is_passed_over() {
    let used = Contract::read().rule_names();
    let known = RULES.iter().map(|rule| (*rule).to_owned()).collect();
    assert_eq!(used, known);
}

/// What lies just on a limit breaks no rule: no answer says that it is too long, too short, too large or too small.
#[test]
fn values_on_a_limit_are_taken() {
    run(async {
        let world = world(Engine::Sqlite).await;
        let channel = world.open().pipe.channel();
        let contract = Contract::read();
        let mut tried = 0;
        // Of a stream of answers only one that ends.
        let ends = |method: &&Method| !method.server_streaming || method.client_streaming;
        for method in METHODS.iter().filter(ends) {
            let request = contract.message(method.request);
            for limit in contract.limits(&request) {
                let mut message = contract.sound(&request);
                limit.apply(&mut message);
                let (answer, status) = send(&channel, method, &message).await;
                let said = told(&contract, method, answer, &status);
                let broken = said.iter().find(|(field, description)| {
                    limit.named_by(field)
                        && [
                            "must have at ",
                            "must be at ",
                            "must be more",
                            "must be less",
                            "must be after",
                            "must be before",
                            "must lie ",
                            "must not be negative",
                            "must be unique",
                            "must match",
                        ]
                        .iter()
                        .any(|start| description.starts_with(start))
                });
                assert!(
                    broken.is_none(),
                    "{} with {}: {broken:?}",
                    method.path,
                    limit.path
                );
                tried += 1;
            }
        }
        println!("{tried} values on a limit");
        assert!(tried > 400, "{tried} values on a limit");
    });
}

/// Texts are stored in their normal form, whichever way they come; what is compared exactly stays as it was.
#[test]
fn texts_are_normalised_on_every_way_in() {
    use regard_proto::customer::v1 as customer;
    run(async {
        let world = world(Engine::Sqlite).await;
        let client = world.client();
        let named = |id: &str, name: &str| customer::Customer {
            key: Some(key(id)),
            display_name: name.to_owned(),
            ..Default::default()
        };
        let request = customer::CreateCustomerRequest {
            customer: Some(named(" exact ", "  Ame\u{301}lie ")),
            ..Default::default()
        };
        let made = client
            .customers()
            .create_customer(request)
            .await
            .unwrap()
            .into_inner();
        let made = made.customer.unwrap();
        assert_eq!(made.display_name, "Amélie");
        assert_eq!(made.key.unwrap().external_id, " exact ");
        // The same name in its normal form is the same content.
        let row = |id: &str, name: &str| customer::CustomerRow {
            customer: Some(named(id, name)),
            revision: 0,
        };
        let batch = |rows| customer::IngestCustomersRequest {
            rows,
            ..Default::default()
        };
        let batches = vec![
            batch(vec![row("row", "\u{a0}Ame\u{301}lie")]),
            batch(vec![
                row("row", "Amélie"),
                row("row2", "a\u{202e}b"),
                row("row3", "a\nb"),
            ]),
        ];
        let mut answers = client
            .customers()
            .ingest_customers(tokio_stream::iter(batches))
            .await
            .unwrap()
            .into_inner();
        let first = answers.message().await.unwrap().unwrap().result.unwrap();
        assert_eq!((first.accepted, first.rejected.len()), (1, 0), "{first:?}");
        let second = answers.message().await.unwrap().unwrap().result.unwrap();
        assert_eq!((second.accepted, second.unchanged), (0, 1), "{second:?}");
        let bad: Vec<_> = second
            .rejected
            .iter()
            .map(|row| (row.index, row.violations[0].field.as_str()))
            .collect();
        assert_eq!(
            bad,
            [(1, "customer.display_name"), (2, "customer.display_name")]
        );
        // A duplicate names the row that was taken.
        let twice = customer::IngestCustomersRequest {
            rows: vec![row("twice", "One"), row("twice", "Two")],
            ..Default::default()
        };
        let mut answers = client
            .customers()
            .ingest_customers(tokio_stream::iter([twice]))
            .await
            .unwrap()
            .into_inner();
        let result = answers.message().await.unwrap().unwrap().result.unwrap();
        assert_eq!(
            result.rejected[0].metadata["first_index"], "0",
            "{result:?}"
        );
    });
}

/// What only the store's state makes wrong.
#[test]
fn bad_values_are_refused_by_name() {
    run(async {
        let world = world(Engine::Sqlite).await;
        let client = world.client();
        let before = stored(&world).await;
        let foreign = |currency: &str| {
            let mut order = order("new", "c", 100, "2026-01-02");
            order.gross.as_mut().unwrap().currency_code = currency.to_owned();
            order
        };
        let status = try_record(&client, foreign("EUR")).await.unwrap_err();
        assert_eq!(reason(&status), "CURRENCY_MISMATCH", "{status:?}");
        for currency in ["XXQ", "usd", ""] {
            let status = try_record(&client, foreign(currency)).await.unwrap_err();
            assert!(REFUSALS.contains(&status.code()), "{currency}: {status:?}");
        }
        // Parts of a cent, and more than any order.
        let mut fine = order("new", "c", 100, "2026-01-02");
        fine.gross.as_mut().unwrap().nanos = 1;
        let mut large = order("new", "c", 100, "2026-01-02");
        large.gross.as_mut().unwrap().units = i64::MAX;
        for order in [fine, large] {
            let status = try_record(&client, order).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert!(
                status
                    .bad_fields()
                    .iter()
                    .any(|f| f.starts_with("order.gross")),
                "{status:?}"
            );
        }
        // A bad row names its fields, and the row stands alone.
        let mut bad = row("x1", "c", 100, "2026-01-02");
        let broken = bad.order.as_mut().unwrap();
        broken.gross.as_mut().unwrap().units = -5;
        broken.order_time.as_mut().unwrap().seconds = -9_000_000_000;
        broken.channel = 99;
        broken.key = Some(regard_proto::common::v1::SourceKey {
            source: "No Source!".to_owned(),
            external_id: String::new(),
        });
        let result = ingest(&client, vec![vec![bad]]).await.unwrap().remove(0);
        let fields: Vec<_> = result.rejected[0]
            .violations
            .iter()
            .map(|v| v.field.clone())
            .collect();
        for field in [
            "gross",
            "order_time",
            "channel",
            "key.source",
            "key.external_id",
        ] {
            assert!(
                fields.iter().any(|f| f.contains(field)),
                "{field} is not among {fields:?}"
            );
        }
        // Tokens that are none, of pages and of changes.
        let request = regard_proto::scoring::v1::ListScoresRequest {
            score: "p_alive".to_owned(),
            page_token: "AAAA".to_owned(),
            ..Default::default()
        };
        let status = client.scores().list_scores(request).await.unwrap_err();
        assert!(
            matches!(
                reason(&status).as_str(),
                "PAGE_TOKEN_MISMATCH" | "TOKEN_INVALID"
            ),
            "{status:?}"
        );
        let status = regard_tests::values::try_scores(&client, "c", &["no token".to_owned()])
            .await
            .unwrap_err();
        assert_eq!(
            (reason(&status).as_str(), status.bad_fields()),
            ("TOKEN_INVALID", vec!["change_tokens[0]".to_owned()])
        );
        // Names that nobody gave.
        let request = regard_proto::scoring::v1::QueryMetricRequest {
            metric: "happiness".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            reason(&client.metrics().query_metric(request).await.unwrap_err()),
            "DEFINITION_UNKNOWN"
        );
        let request = regard_proto::scoring::v1::GetScoresRequest {
            customer: Some(customer_ref("c")),
            scores: vec!["luck".to_owned()],
            ..Default::default()
        };
        assert_eq!(
            reason(&client.scores().get_scores(request).await.unwrap_err()),
            "DEFINITION_UNKNOWN"
        );
        // Days of no calendar.
        for (year, month, day) in [
            (2026, 2, 30),
            (2026, 13, 1),
            (2026, 0, 1),
            (2026, 1, 0),
            (2026, -1, 1),
        ] {
            let mut as_of = date("2026-01-01");
            (as_of.year, as_of.month, as_of.day) = (year, month, day);
            let request = regard_proto::scoring::v1::GetScoresRequest {
                customer: Some(customer_ref("c")),
                as_of: Some(as_of),
                ..Default::default()
            };
            let status = client.scores().get_scores(request).await.unwrap_err();
            assert_eq!(
                status.code(),
                Code::InvalidArgument,
                "{as_of:?}: {status:?}"
            );
            assert!(
                status.bad_fields().iter().any(|f| f.starts_with("as_of")),
                "{status:?}"
            );
        }
        // A refund of more than the order, of another's order.
        create(&client, "d").await;
        let before = if before.is_empty() {
            before
        } else {
            stored(&world).await
        };
        let refund = |of: &str, cents| {
            let refund = regard_proto::customer::v1::Refund {
                key: Some(key("f")),
                customer: Some(customer_ref(of)),
                order: Some(record_ref("o")),
                refund_time: Some(regard_tests::values::noon("2026-01-02")),
                amount: Some(usd(cents)),
                ..Default::default()
            };
            regard_proto::customer::v1::RecordRefundRequest {
                refund: Some(refund),
                ..Default::default()
            }
        };
        let status = client
            .orders()
            .record_refund(refund("d", 100))
            .await
            .unwrap_err();
        assert!(REFUSALS.contains(&status.code()), "{status:?}");
        check_calm(&world, &before).await;
    });
}

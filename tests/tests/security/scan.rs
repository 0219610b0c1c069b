//! Marked personal values go through every RPC that takes one, in calls that succeed and in calls that fail in every way; then
//! nothing that the suite left behind (stores, Redis, logs, errors) holds one in any form. What is personal is read from the
//! contract: a field or an RPC that is added later takes part without a word here.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};
use regard_client::Client;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::{METHODS, Method, personal_fields};
use regard_testkit::{CacheKind, TestCache, TestStore, free_port, on_both_engines};
use regard_tests::child::{Process, client_at};
use regard_tests::plan::Plan;
use regard_tests::raw::{call_with, frame};
use regard_tests::scan::{Content, Needle, contents, search};
use regard_tests::sized;
use regard_tests::values::{
    customer_ref, key, make_survey, merge, noon, order, pin, question, record, record_ref, scores,
    unmerge,
};
use regard_tests::wild::Contract;
use regard_tests::world::until;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

on_both_engines!(nothing_personal_lies_in_plain);

/// What every personal value of this run holds.
const CORE: &str = "Qzx7WkjPvmTbn4";
/// What stands in values that are not personal: the scan must see it.
const CONTROL: &str = "ctl9harmlessband";
const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");

/// A personal value: short enough for every field.
fn marked(n: usize) -> String {
    format!("{CORE}{n:04}ë")
}

/// Fills personal fields.
struct Marks {
    contract: Contract,
    personal: ExtensionDescriptor,
    given: usize,
}

impl Marks {
    fn new() -> Self {
        let contract = Contract::read();
        let some = contract.message("regard.customer.v1.Customer");
        let pool = some.parent_pool();
        let personal = pool
            .get_extension_by_name("regard.common.v1.personal")
            .unwrap();
        Self {
            contract,
            personal,
            given: 0,
        }
    }

    /// Whether a message holds a personal field, itself or below.
    fn reaches(&self, of: &MessageDescriptor, seen: &mut BTreeSet<String>) -> bool {
        seen.insert(of.full_name().to_owned())
            && of.fields().any(|field| {
                field.options().get_extension(&self.personal).as_bool() == Some(true)
                    || field
                        .kind()
                        .as_message()
                        .is_some_and(|m| self.reaches(m, seen))
            })
    }

    /// Marks every personal field of a message, `times` over; how many there are.
    fn mark(&mut self, message: &mut DynamicMessage, times: usize) -> usize {
        let mut count = 0;
        let fields: Vec<_> = message.descriptor().fields().collect();
        for field in fields {
            let personal = field.options().get_extension(&self.personal).as_bool() == Some(true);
            match field.kind() {
                Kind::String if personal && !field.is_list() => {
                    // Of a oneof one may be set; a personal one is.
                    self.given += 1;
                    let value = Value::String(marked(self.given).repeat(times));
                    message.set_field(&field, value);
                    count += 1;
                }
                Kind::Message(of) if self.reaches(&of, &mut BTreeSet::new()) => {
                    if field.is_list() {
                        let mut item = self.contract.sound(&of);
                        count += self.mark(&mut item, times);
                        message.set_field(&field, Value::List(vec![Value::Message(item)]));
                    } else {
                        let mut inner = self.contract.sound(&of);
                        count += self.mark(&mut inner, times);
                        message.set_field(&field, Value::Message(inner));
                    }
                }
                _ => assert!(
                    !personal,
                    "a personal {field:?}, which this test cannot mark"
                ),
            }
        }
        count
    }
}

/// What the errors of a run say.
#[derive(Default)]
struct Told {
    errors: Vec<u8>,
    answered: usize,
    failed: usize,
}

impl Told {
    fn note(&mut self, status: &Status) {
        match status.code() {
            Code::Ok => self.answered += 1,
            Code::Internal | Code::Unknown => panic!("{status:?}"),
            _ => self.failed += 1,
        }
        self.errors.extend_from_slice(status.message().as_bytes());
        self.errors.extend_from_slice(status.details());
        self.errors
            .extend_from_slice(format!("{status:?}\n").as_bytes());
    }

    fn result<T>(&mut self, result: Result<T, Status>) -> Option<T> {
        match result {
            Ok(value) => {
                self.answered += 1;
                Some(value)
            }
            Err(status) => {
                self.note(&status);
                None
            }
        }
    }
}

/// Sends a message as it is, whatever is wrong with it.
async fn send(channel: &Channel, method: &Method, body: Bytes, told: &mut Told) {
    let headers = [("grpc-timeout", "20S")];
    let (answer, status) = call_with(channel, method.path, &headers, body).await;
    told.note(&status);
    // A rejected row is an error, too; an accepted one is told in full and is no leak.
    if let (Some(answer), true) = (answer, method.client_streaming) {
        told.errors.extend_from_slice(&answer);
    }
}

/// Every RPC that takes a personal value, with every way to fail that the contract knows.
async fn every_call(channel: &Channel, told: &mut Told) -> BTreeSet<&'static str> {
    let mut marks = Marks::new();
    let mut used = BTreeSet::new();
    for method in METHODS {
        let of = marks.contract.message(method.request);
        if !marks.reaches(&of, &mut BTreeSet::new()) {
            continue;
        }
        used.insert(method.path);
        let mut sound = marks.contract.sound(&of);
        assert!(marks.mark(&mut sound, 1) > 0);
        let bytes = sound.encode_to_vec();
        send(channel, method, frame(&bytes), told).await;
        send(channel, method, frame(&bytes), told).await;
        // Each other field wrong in each way.
        let wrongs = marks.contract.wrongs(&of);
        let step = (wrongs.len() / sized(25, 1_000)).max(1);
        for wrong in wrongs.iter().step_by(step) {
            let mut bad = sound.clone();
            wrong.apply(&mut bad);
            send(channel, method, frame(&bad.encode_to_vec()), told).await;
        }
        // Too long, of a wrong type, with a control character, cut off, no text at all.
        let mut long = marks.contract.sound(&of);
        marks.mark(&mut long, 1_000);
        send(channel, method, frame(&long.encode_to_vec()), told).await;
        let at = bytes
            .windows(CORE.len())
            .position(|w| w == CORE.as_bytes())
            .unwrap();
        for byte in [0x01, 0xff, 0x00] {
            let mut bad = bytes.clone();
            // The last byte of the marked value's number: the core stays whole.
            bad[at + CORE.len()] = byte;
            send(channel, method, frame(&bad), told).await;
        }
        for cut in [at + CORE.len(), bytes.len() - 1] {
            send(channel, method, frame(&bytes[..cut]), told).await;
        }
        let whole = frame(&bytes);
        send(channel, method, whole.slice(..whole.len() - 1), told).await;
        let mut nested = vec![0x0a];
        nested.push(u8::try_from(CORE.len()).unwrap());
        nested.extend_from_slice(CORE.as_bytes());
        send(channel, method, frame(&nested), told).await;
    }
    used
}

fn person(id: &str, n: usize) -> customer::Customer {
    customer::Customer {
        key: Some(key(id)),
        display_name: format!("Ada {}", marked(n)),
        email: format!("{CORE}{n}@example.org"),
        phone: format!("+49 {CORE}{n}"),
        attributes: [("age_band".to_owned(), CONTROL.to_owned())].into(),
        ..Default::default()
    }
}

/// A day of a shop: records that are kept, changed, refused, merged, read.
async fn a_day(client: &Client, told: &mut Told) {
    let mut tokens = vec![pin(client, "2026-06-30").await];
    for (n, id) in ["ada", "ada-2"].into_iter().enumerate() {
        let request = customer::CreateCustomerRequest {
            customer: Some(person(id, n)),
            request_id: format!("create {id}"),
            ..Default::default()
        };
        for _ in 0..2 {
            let answer = client.customers().create_customer(request.clone()).await;
            tokens.push(told.result(answer).unwrap().into_inner().change_token);
        }
        // The same request with another body; the same customer again.
        let mut other = request.clone();
        other.customer = Some(person(id, n + 100));
        told.result(client.customers().create_customer(other.clone()).await);
        other.request_id.clear();
        told.result(client.customers().create_customer(other).await);
        let update = customer::UpdateCustomerRequest {
            target: Some(customer_ref(id)),
            customer: Some(person(id, n + 200)),
            ..Default::default()
        };
        let answer = client.customers().update_customer(update.clone()).await;
        told.result(answer).unwrap();
        let stale = customer::UpdateCustomerRequest {
            etag: "stale".to_owned(),
            customer: Some(person(id, n + 300)),
            ..update
        };
        told.result(client.customers().update_customer(stale).await);
    }
    let row = |id: &str, n| customer::CustomerRow {
        customer: Some(person(id, n)),
        ..Default::default()
    };
    let mut long = row("bad", 9);
    long.customer.as_mut().unwrap().email = CORE.repeat(100);
    let rows = vec![row("c1", 1), row("c1", 2), row("c2", 3), long];
    let batch = customer::IngestCustomersRequest {
        rows,
        ..Default::default()
    };
    let stream = tokio_stream::iter([batch.clone(), batch]);
    let mut answers = client
        .customers()
        .ingest_customers(stream)
        .await
        .unwrap()
        .into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        told.errors
            .extend_from_slice(format!("{answer:?}").as_bytes());
        let rejected = answer.result.unwrap().rejected;
        assert_eq!(
            rejected.len(),
            2,
            "a duplicate and a long one: {rejected:?}"
        );
    }
    merge(client, "ada-2", "ada").await.unwrap();
    unmerge(client, "ada-2").await.unwrap();
    merge(client, "ada-2", "ada").await.unwrap();
    tokens.push(record(client, order("o1", "ada", 4_200, "2026-01-02")).await);
    said(client, told).await;
    let list = customer::ListCustomersRequest {
        email: format!("{CORE}200@EXAMPLE.org"),
        page_size: 1,
        ..Default::default()
    };
    let answer = client
        .customers()
        .list_customers(list)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.customers.len(), 1, "found by its e-mail address");
    assert!(answer.customers[0].display_name.contains(CORE));
    scores(client, "ada", &tokens).await;
    scores(client, "ada", &[]).await;
}

/// What the person said.
async fn said(client: &Client, told: &mut Told) {
    make_survey(client, "s").await;
    let create = feedback::CreateSurveyRequest {
        survey: Some(feedback::Survey {
            key: Some(key("free")),
            name: "free".to_owned(),
            questions: vec![feedback::Question {
                dimension: String::new(),
                ..question("why", feedback::QuestionKind::Text)
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    client.surveys().create_survey(create).await.unwrap();
    let publish = feedback::PublishSurveyRequest {
        survey: Some(record_ref("free")),
        ..Default::default()
    };
    client.surveys().publish_survey(publish).await.unwrap();
    let response = |id: &str, code: &str, n| feedback::Response {
        key: Some(key(id)),
        survey: Some(record_ref("free")),
        customer: Some(customer_ref("ada")),
        answer_time: Some(noon("2026-02-01")),
        answers: vec![feedback::Answer {
            question: code.to_owned(),
            value: Some(feedback::answer::Value::Text(marked(n))),
        }],
        ..Default::default()
    };
    for (code, n) in [("why", 1), ("why", 2), ("unknown", 3)] {
        let request = feedback::RecordResponseRequest {
            response: Some(response("r1", code, n)),
            ..Default::default()
        };
        told.result(client.responses().record_response(request).await);
    }
    let rows = ["r2", "r2", "r3"].into_iter().enumerate();
    let rows = rows.map(|(n, id)| feedback::ResponseRow {
        response: Some(response(id, "why", n + 10)),
        ..Default::default()
    });
    let batch = feedback::IngestResponsesRequest {
        rows: rows.collect(),
        ..Default::default()
    };
    let stream = tokio_stream::iter([batch]);
    let mut answers = client
        .responses()
        .ingest_responses(stream)
        .await
        .unwrap()
        .into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.result.unwrap().accepted, 2);
    }
    for n in [20, 21] {
        let item = feedback::FeedbackItem {
            key: Some(key("i1")),
            customer: Some(customer_ref("ada-2")),
            kind: feedback::FeedbackKind::Praise.into(),
            text: marked(n),
            say_time: Some(noon("2026-02-03")),
            ..Default::default()
        };
        let request = feedback::SubmitFeedbackItemRequest {
            feedback_item: Some(item),
            ..Default::default()
        };
        told.result(client.feedback_items().submit_feedback_item(request).await);
        let complaint = feedback::Complaint {
            key: Some(key("x1")),
            customer: Some(customer_ref("ada")),
            text: marked(n + 10),
            reason: CONTROL.to_owned(),
            open_time: Some(noon("2026-02-04")),
            ..Default::default()
        };
        let request = feedback::OpenComplaintRequest {
            complaint: Some(complaint),
            ..Default::default()
        };
        told.result(client.complaints().open_complaint(request).await);
    }
    for n in [40, 41] {
        let request = feedback::ResolveComplaintRequest {
            complaint: Some(record_ref("x1")),
            resolution: marked(n),
            ..Default::default()
        };
        told.result(client.complaints().resolve_complaint(request).await);
    }
}

/// What is held about the person: (path, value) of all services.
async fn exported(client: &Client, size: i32) -> Vec<(String, String, bool)> {
    let (mut out, mut page_token) = (Vec::new(), String::new());
    let ids = loop {
        let request = customer::ExportPersonalDataRequest {
            customer: Some(customer_ref("ada-2")),
            page_size: size,
            page_token,
        };
        let answer = client
            .privacy()
            .export_personal_data(request)
            .await
            .unwrap();
        let answer = answer.into_inner();
        assert!(answer.items.len() <= usize::try_from(size).unwrap());
        out.extend(answer.items);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break answer.customer_ids;
        }
    };
    assert_eq!(ids.len(), 2, "both customers are the person");
    loop {
        let request = feedback::ExportPersonalDataRequest {
            customers: ids
                .iter()
                .map(|id| regard_proto::common::v1::CustomerRef {
                    customer: Some(regard_proto::common::v1::customer_ref::Customer::Id(
                        id.clone(),
                    )),
                })
                .collect(),
            page_size: size,
            page_token,
        };
        let answer = client
            .feedback_privacy()
            .export_personal_data(request)
            .await
            .unwrap();
        let answer = answer.into_inner();
        out.extend(answer.items);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    out.into_iter()
        .map(|item| {
            let at = format!(
                "{}/{}/{}/{}",
                item.kind, item.record_id, item.version, item.path
            );
            (at, item.value, item.personal)
        })
        .collect()
}

/// Both services replace their keys.
async fn rotated(client: &Client) {
    let request = customer::RotateDataKeysRequest::default();
    client.privacy().rotate_data_keys(request).await.unwrap();
    let request = feedback::RotateDataKeysRequest::default();
    client
        .feedback_privacy()
        .rotate_data_keys(request)
        .await
        .unwrap();
    until("both keys to be replaced", || async {
        let request = customer::GetKeyRotationRequest::default();
        let one = client
            .privacy()
            .get_key_rotation(request)
            .await
            .unwrap()
            .into_inner();
        let request = feedback::GetKeyRotationRequest::default();
        let two = client
            .feedback_privacy()
            .get_key_rotation(request)
            .await
            .unwrap()
            .into_inner();
        let (one, two) = (one.rotation.unwrap(), two.rotation.unwrap());
        (one.end_time.is_some() && two.end_time.is_some()).then_some(())
    })
    .await;
}

fn check_export(held: &[(String, String, bool)]) {
    let has = |path: &str| {
        held.iter()
            .any(|(at, value, _)| at.ends_with(path) && value.contains(CORE))
    };
    for path in [
        "display_name",
        "email",
        "phone",
        "answers[0].text",
        "text",
        "resolution",
    ] {
        assert!(has(path), "{path} is not exported: {held:?}");
    }
    for (at, value, personal) in held {
        assert_eq!(value.contains(CORE), *personal, "{at}");
    }
    for kind in [
        "customer/",
        "merge/",
        "order/",
        "response/",
        "feedback_item/",
        "complaint/",
    ] {
        assert!(held.iter().any(|(at, ..)| at.starts_with(kind)), "{kind}");
    }
    // Every mark of the contract that a record can hold is in it.
    for field in personal_fields() {
        let record =
            !field.message.ends_with("Request") && !field.message.ends_with("PersonalItem");
        let seen = held
            .iter()
            .any(|(at, _, personal)| *personal && at.ends_with(field.field));
        assert!(
            seen || !record,
            "{}.{} is not exported",
            field.message,
            field.field
        );
    }
}

async fn start(plan: &Plan, log: &Path) -> Process {
    let (plan, log) = (plan.clone(), log.to_owned());
    tokio::task::spawn_blocking(move || Process::start_logged(PROGRAM, &plan, "debug", &log))
        .await
        .unwrap()
}

async fn nothing_personal_lies_in_plain(store: TestStore) {
    let stores = [store.another().await, store.another().await, store];
    let cache = TestCache::new(CacheKind::Redis).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let plan = Plan {
        customer: stores[0].url.clone(),
        feedback: stores[1].url.clone(),
        scoring: stores[2].url.clone(),
        redis: cache.redis_url.clone().unwrap(),
        listen: format!("127.0.0.1:{}", free_port()),
        ..Plan::default()
    };
    let mut process = start(&plan, &log).await;
    let client = client_at(&process.address, "default");
    let mut told = Told::default();
    a_day(&client, &mut told).await;
    let channel = Endpoint::new(process.address.clone())
        .unwrap()
        .connect_lazy();
    let used = every_call(&channel, &mut told).await;
    for path in [
        "CreateCustomer",
        "IngestCustomers",
        "RecordResponse",
        "ResolveComplaint",
    ] {
        assert!(
            used.iter().any(|used| used.ends_with(path)),
            "{path} of {used:?}"
        );
    }
    assert!(
        told.answered > 20 && told.failed > 100,
        "{} {}",
        told.answered,
        told.failed
    );
    let held = exported(&client, 1_000).await;
    check_export(&held);
    let named = [
        ("x-request-id", "asked-for-the-log"),
        ("grpc-timeout", "20S"),
    ];
    let path = "/regard.customer.v1.TenantService/GetTenant";
    let (_, status) = call_with(&channel, path, &named, frame(&[])).await;
    assert_eq!(status.code(), Code::Ok, "{status:?}");
    rotated(&client).await;
    // By pages of seven, under the new keys: the same.
    assert_eq!(exported(&client, 7).await, held);

    let redis = cache.redis_url.as_deref();
    let mut all = contents(&stores, redis).await;
    assert!(process.terminate(), "the suite ends well");
    let stopped = contents(&stores, redis).await;
    all.extend(
        stopped
            .into_iter()
            .map(|(place, bytes)| (format!("stopped, {place}"), bytes)),
    );
    all.push(("log".to_owned(), std::fs::read(&log).unwrap()));
    all.push(("errors".to_owned(), told.errors));
    let found = search(&all, &[Needle::text(CORE)]);
    assert!(found.is_empty(), "{found:#?}\n{}", around(&all));
    // The scan sees what is there: not personal, in the stores; calls, in the log; cached scores, in Redis.
    let control: BTreeSet<String> = search(&all, &[Needle::text(CONTROL)])
        .into_iter()
        .map(|hit| hit.place)
        .collect();
    for number in [0, 1] {
        let place = format!("store {number}");
        assert!(control.iter().any(|at| at.contains(&place)), "{control:?}");
    }
    check_line(&std::fs::read_to_string(&log).unwrap());
    let calls = search(&all, &[Needle::text("CreateCustomer")]);
    assert!(calls.iter().any(|hit| hit.place == "log"), "{calls:?}");
    let cached: Vec<&Content> = all.iter().filter(|(place, _)| place == "redis").collect();
    assert!(!cached.is_empty(), "scores were cached");
    // And sealed values are there, under the new key alone.
    let sealed = search(&all, &[Needle::bytes("sealed by key 2", &[1, 0, 0, 0, 2])]);
    assert!(
        sealed.iter().any(|hit| hit.place.contains("store 0")),
        "{sealed:?}"
    );
}

/// The line of a call tells for whom it was answered.
fn check_line(log: &str) {
    let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
    let line = lines
        .map(|line| line.expect("every line is JSON"))
        .find(|line| line["request_id"] == "asked-for-the-log" && line["message"] == "answered")
        .expect("the call has its line");
    for (name, value) in [
        ("tenant", "default"),
        ("caller", "default"),
        ("method", "GetTenant"),
        ("code", "OK"),
        ("level", "DEBUG"),
    ] {
        let told = line[name].as_str().unwrap_or_default();
        assert!(told.eq_ignore_ascii_case(value), "{name}: {line}");
    }
}

/// The neighbourhood of the first find, for whoever has to mend it.
fn around(all: &[Content]) -> String {
    for (place, bytes) in all {
        if let Some(at) = bytes.windows(CORE.len()).position(|w| w == CORE.as_bytes()) {
            let part = &bytes[at.saturating_sub(300)..bytes.len().min(at + 100)];
            return format!("{place}: {}", String::from_utf8_lossy(part));
        }
    }
    String::new()
}

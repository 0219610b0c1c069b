//! A person is erased from the whole suite: nothing of who it was stays anywhere, what it did counts as before, and nothing
//! brings it back.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use regard_client::{Client, Session};
use regard_erasure::verify;
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::scoring::v1 as scoring;
use regard_testkit::{CacheKind, Engine, TestStore, free_port};
use regard_tests::child::{Process, client_at};
use regard_tests::on_every_store_and_cache;
use regard_tests::plan::Plan;
use regard_tests::scan;
use regard_tests::tables::{self, check_same, engine_of, summaries, texts};
use regard_tests::values::{
    customer_ref, date, ingest, key, make_survey, merge, noon, order, pin, reason, record,
    record_ref, refund, respond, response, row, scores, try_record, try_scores,
};
use regard_tests::world::{World, until};
use regard_types::Uuid;

on_every_store_and_cache!(a_person_is_erased_from_the_whole_suite);

regard_testkit::on_both_engines!(
    an_erasure_outlives_kills_of_every_service,
    an_erasure_reaches_services_that_were_away_longer_than_changes_are_kept,
    answers_that_come_while_a_person_is_erased_leave_nothing,
);

const NAME: &str = "Ada Unmistakable";
const EMAIL: &str = "ada.unmistakable@example.org";
const PHONE: &str = "+4930987650001";
const SAID: &str = "the parcel was left at number 17 Unmistakable Row";
const COMPLAINED: &str = "my neighbour Grete Unmistakable saw it";
/// Source keys of the person and of its records.
const KEYS: [&str; 7] = [
    "ada-unmistakable",
    "ada-unmistakable-2",
    "order-unmistakable-1",
    "order-unmistakable-2",
    "refund-unmistakable",
    "said-unmistakable",
    "answer-unmistakable",
];

fn ada(external_id: &str) -> customer::Customer {
    customer::Customer {
        key: Some(key(external_id)),
        display_name: NAME.to_owned(),
        email: EMAIL.to_owned(),
        phone: PHONE.to_owned(),
        attributes: [("age_band".to_owned(), "30-39".to_owned())].into(),
        ..Default::default()
    }
}

async fn create(client: &Client, customer: customer::Customer) -> Result<String, tonic::Status> {
    let request = customer::CreateCustomerRequest {
        customer: Some(customer),
        ..Default::default()
    };
    let answer = client.customers().create_customer(request).await?;
    Ok(answer.into_inner().change_token)
}

async fn say(client: &Client, id: &str, of: &str) -> Result<String, tonic::Status> {
    let request = feedback::SubmitFeedbackItemRequest {
        feedback_item: Some(feedback::FeedbackItem {
            key: Some(key(id)),
            customer: Some(customer_ref(of)),
            kind: feedback::FeedbackKind::Praise.into(),
            text: SAID.to_owned(),
            rating: Some(4),
            say_time: Some(noon("2026-02-03")),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = client
        .feedback_items()
        .submit_feedback_item(request)
        .await?;
    Ok(answer.into_inner().change_token)
}

async fn complain(client: &Client, of: &str) -> Result<String, tonic::Status> {
    let request = feedback::OpenComplaintRequest {
        complaint: Some(feedback::Complaint {
            customer: Some(customer_ref(of)),
            text: COMPLAINED.to_owned(),
            reason: "delivery".to_owned(),
            severity: 3,
            open_time: Some(noon("2026-02-04")),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = client.complaints().open_complaint(request).await?;
    Ok(answer.into_inner().change_token)
}

/// Why a score is what it is.
async fn explained(
    client: &Client,
    id: &str,
) -> Result<scoring::ExplainScoreResponse, tonic::Status> {
    let request = scoring::ExplainScoreRequest {
        customer: Some(customer_ref(id)),
        score: "historic_value".to_owned(),
        ..Default::default()
    };
    Ok(client.scores().explain_score(request).await?.into_inner())
}

/// The person, and nine others; the change tokens.
async fn populate(client: &Client) -> Vec<String> {
    let mut tokens = vec![pin(client, "2026-06-30").await];
    make_survey(client, "after").await;
    tokens.push(create(client, ada(KEYS[0])).await.unwrap());
    tokens.push(create(client, ada(KEYS[1])).await.unwrap());
    tokens.push(merge(client, KEYS[1], KEYS[0]).await.unwrap());
    tokens.push(record(client, order(KEYS[2], KEYS[0], 12_345, "2025-08-01")).await);
    tokens.push(record(client, order(KEYS[3], KEYS[1], 6_789, "2026-01-15")).await);
    tokens.push(
        refund(client, KEYS[4], KEYS[0], Some(KEYS[2]), 1_111, "2025-09-01")
            .await
            .unwrap(),
    );
    let others = (0..9).flat_map(|n| {
        (0..=n).map(move |k| {
            let (id, of) = (format!("o{n}-{k}"), format!("c{n}"));
            // Each was active before the year that is asked for.
            let month = if k == 0 { 5 } else { 6 + k % 6 };
            let day = format!("2025-{month:02}-{:02}", 1 + n);
            row(&id, &of, 1_000 + n * 137 + k * 11, &day)
        })
    });
    let rows: Vec<_> = others.collect();
    for result in ingest(client, vec![rows]).await.unwrap() {
        tokens.push(result.change_token);
    }
    for n in 0..9 {
        let of = format!("c{n}");
        let answer = response(
            &format!("a{n}"),
            "after",
            Some(&of),
            (n % 11, 1 + n % 5),
            "2026-01-10",
        );
        tokens.push(respond(client, answer).await.unwrap());
    }
    tokens.push(
        respond(
            client,
            response(KEYS[6], "after", Some(KEYS[1]), (9, 5), "2026-02-01"),
        )
        .await
        .unwrap(),
    );
    tokens.push(say(client, KEYS[5], KEYS[0]).await.unwrap());
    tokens.push(complain(client, KEYS[1]).await.unwrap());
    let session = Session::new();
    for token in &tokens {
        session.note(token).unwrap();
    }
    session.tokens()
}

async fn erase(client: &Client, external_id: &str) -> Result<common::Erasure, tonic::Status> {
    let request = customer::ErasePersonalDataRequest {
        customer: Some(customer_ref(external_id)),
        reason: "request".to_owned(),
        ..Default::default()
    };
    let answer = client.privacy().erase_personal_data(request).await?;
    Ok(answer.into_inner().erasure.unwrap())
}

async fn complete(client: &Client, id: &str) -> common::Erasure {
    until("the erasure to be complete", || async {
        let request = customer::GetErasureRequest { id: id.to_owned() };
        let answer = client.privacy().get_erasure(request).await.ok()?;
        let erasure = answer.into_inner().erasure?;
        (erasure.state() == common::ErasureState::Complete).then_some(erasure)
    })
    .await
}

/// Every shipped metric over the last year and by what it can be grouped by, as bytes.
async fn metrics(client: &Client, tokens: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for metric in [
        "revenue",
        "repeat_purchase_rate",
        "churn_period",
        "lapsed_share",
        "nps",
        "csat",
    ] {
        for group_by in [
            scoring::MetricGrouping::Unspecified,
            scoring::MetricGrouping::Channel,
        ] {
            let request = scoring::QueryMetricRequest {
                metric: metric.to_owned(),
                from: Some(date("2025-07-01")),
                to: Some(date("2026-06-30")),
                group_by: group_by.into(),
                change_tokens: tokens.to_vec(),
                ..Default::default()
            };
            let answer = client.metrics().query_metric(request).await;
            let answer = answer
                .unwrap_or_else(|status| panic!("{metric}: {status:?}"))
                .into_inner();
            let whole = group_by == scoring::MetricGrouping::Unspecified;
            assert!(
                !whole || answer.values.iter().all(|v| v.value.is_some()),
                "{metric}: {answer:?}"
            );
            out.push((format!("{metric} {group_by:?}"), answer.encode_to_vec()));
        }
    }
    out
}

/// All that an owner of the store can read, by place: the files as they lie there, or every row as a dump writes it.
async fn contents(store: &TestStore) -> Vec<(String, Vec<u8>)> {
    match engine_of(&store.url) {
        Engine::Sqlite => {
            let path = store.url.trim_start_matches("sqlite://");
            let path = path.split('?').next().unwrap_or(path);
            ["", "-wal", "-shm", "-journal"]
                .iter()
                .filter_map(|end| {
                    let file = format!("{path}{end}");
                    Some((file.clone(), std::fs::read(&file).ok()?))
                })
                .collect()
        }
        Engine::Postgres => {
            let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
            let mut out = Vec::new();
            for table in texts(&store.url, sql.to_owned()).await {
                let rows = texts(&store.url, format!("SELECT t::text FROM {table} t")).await;
                out.push((table, rows.join("\n").into_bytes()));
            }
            out
        }
    }
}

/// What must not be found, as it would lie there.
struct Needle {
    what: String,
    bytes: Vec<Vec<u8>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Needle {
    fn text(text: &str) -> Self {
        // A dump writes bytes in hexadecimal.
        Self {
            what: text.to_owned(),
            bytes: vec![text.as_bytes().to_vec(), hex(text.as_bytes()).into_bytes()],
        }
    }

    fn sealed(digits: &str) -> Self {
        let digits = digits.to_lowercase();
        let pairs = digits.as_bytes().chunks_exact(2);
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        Self {
            what: format!("sealed {digits}"),
            bytes: vec![pairs.map(byte).collect(), digits.into_bytes()],
        }
    }
}

async fn found(stores: &[TestStore], needles: &[Needle]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for store in stores {
        for (place, bytes) in contents(store).await {
            for needle in needles {
                let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
                if needle.bytes.iter().any(|part| holds(part)) {
                    out.insert(format!("{} in {place}", needle.what));
                }
            }
        }
    }
    out
}

/// The sealed values of the person, as they lie in the tables.
async fn sealed(world: &World) -> Vec<Needle> {
    let mut out = Vec::new();
    for (store, table, column) in [
        (&world.stores[0], "customer_identity", "sealed"),
        (&world.stores[1], "record_text", "bytes"),
    ] {
        let digits = match engine_of(&store.url) {
            Engine::Sqlite => format!("hex({column})"),
            Engine::Postgres => format!("encode({column}, 'hex')"),
        };
        let values = texts(&store.url, format!("SELECT {digits} FROM {table}")).await;
        assert!(!values.is_empty(), "{table}");
        out.extend(values.iter().map(|digits| Needle::sealed(digits)));
    }
    out
}

/// What is looked for by the shared scan, in every form: the texts and keys of the person, and the sealed values as they lay there.
fn scanned(needles: &[Needle]) -> Vec<scan::Needle> {
    let one = |needle: &Needle| match needle.what.starts_with("sealed ") {
        true => scan::Needle::bytes(&needle.what, &needle.bytes[0]),
        false => scan::Needle::text(&needle.what),
    };
    needles.iter().map(one).collect()
}

/// What stays, and a scan must see: the code of an attribute of somebody else.
const CONTROL: &str = "ctl9harmlessband";

/// Nothing of the person lies anywhere; and what lies there is seen.
async fn check_clean(world: &World, needles: &[Needle]) {
    assert_eq!(found(&world.stores, needles).await, BTreeSet::new());
    assert_eq!(scan::scan(world, &scanned(needles)).await, []);
    let control = scan::scan(world, &[scan::Needle::text(CONTROL)]).await;
    assert!(
        control.iter().any(|hit| hit.place.starts_with("store 0")),
        "the scan does not see what is there: {control:?}"
    );
}

async fn a_person_is_erased_from_the_whole_suite(mut world: World) {
    let client = world.client();
    let tokens = populate(&client).await;
    let before = scores(&client, KEYS[0], &tokens).await;
    assert!(!before.scores.is_empty() && explained(&client, KEYS[1]).await.is_ok());
    let told = metrics(&client, &tokens).await;
    let mut needles = sealed(&world).await;
    assert_eq!(
        needles.len(),
        2 + 2,
        "two identities, an item and a complaint"
    );
    assert_eq!(
        found(&world.stores, &needles).await.len(),
        needles.len(),
        "the scan sees what is there"
    );
    needles.extend([NAME, EMAIL, PHONE, SAID, COMPLAINED, "Unmistakable"].map(Needle::text));
    needles.extend(KEYS.map(Needle::text));
    let somebody = customer::Customer {
        key: Some(key("somebody")),
        attributes: [("age_band".to_owned(), CONTROL.to_owned())].into(),
        ..Default::default()
    };
    create(&client, somebody).await.unwrap();
    let before_it: BTreeSet<String> = scan::scan(&world, &scanned(&needles))
        .await
        .into_iter()
        .map(|hit| hit.what)
        .collect();
    assert!(
        needles.iter().all(|needle| {
            before_it.contains(&needle.what) || !needle.what.starts_with("sealed ")
        }),
        "the scan sees what is sealed: {before_it:?}"
    );

    let erasure = erase(&client, KEYS[1]).await.unwrap();
    assert_eq!(erasure.state(), common::ErasureState::Running);
    let done = complete(&client, &erasure.id).await;

    // The receipt: who did what, and by whom it is signed.
    let id = Uuid::try_parse(&done.id).unwrap();
    let services: Vec<&str> = done
        .parts
        .iter()
        .map(|part| part.service.as_str())
        .collect();
    assert_eq!(services, ["customer", "feedback", "scoring"]);
    assert!(done.pending.is_empty() && done.complete_time.is_some());
    for part in &done.parts {
        assert!(verify(id, part), "{}", part.service);
        let mut changed = part.clone();
        changed.tables[0].removed += 1;
        assert!(!verify(id, &changed));
    }
    let removed = |service: usize, name: &str| {
        let table = done.parts[service].tables.iter().find(|t| t.table == name);
        table.map_or((0, 0), |t| (t.removed, t.relabelled))
    };
    assert_eq!(removed(0, "customer_identity"), (2, 0));
    assert_eq!(removed(0, "customer"), (0, 2));
    assert_eq!(removed(0, "sales_order"), (0, 2));
    assert_eq!(removed(0, "refund"), (0, 1));
    assert_eq!(removed(1, "record_text"), (2, 0));
    assert_eq!(removed(1, "response"), (0, 1));
    assert_eq!(removed(2, "alias"), (0, 2));

    // Nobody answers for the old ids, and whoever is new has the scores.
    for name in &KEYS[..2] {
        let status = try_scores(&client, name, &[]).await.unwrap_err();
        assert_eq!(reason(&status), "CUSTOMER_ERASED", "{status:?}");
        let status = explained(&client, name).await.unwrap_err();
        assert_eq!(reason(&status), "CUSTOMER_ERASED", "{status:?}");
    }
    let batch = scoring::BatchGetScoresRequest {
        customers: ["c1", KEYS[0], KEYS[1]].map(customer_ref).to_vec(),
        ..Default::default()
    };
    let status = client.scores().batch_get_scores(batch).await.unwrap_err();
    assert_eq!(reason(&status), "CUSTOMER_ERASED", "{status:?}");
    let now = metrics(&client, &tokens).await;
    for ((name, before), (_, after)) in told.iter().zip(&now) {
        assert_eq!(before, after, "{name} of the past changed");
    }
    let listed = client
        .scores()
        .list_scores(scoring::ListScoresRequest {
            score: "historic_value".to_owned(),
            page_size: 1_000,
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        listed.customers.len(),
        11,
        "nine others, somebody, and one without a name"
    );
    let value = |c: &scoring::CustomerScores| {
        c.scores
            .iter()
            .find(|s| s.name == "historic_value")
            .and_then(|s| s.value)
    };
    let old = value(&before);
    assert!(listed.customers.iter().any(|c| value(c) == old));
    assert!(
        listed
            .customers
            .iter()
            .all(|c| c.customer_id != before.customer_id)
    );

    // A resend of everything that was the person's brings nothing back.
    let erased = |status: tonic::Status| {
        assert_eq!(reason(&status), "CUSTOMER_ERASED", "{status:?}");
    };
    erased(create(&client, ada(KEYS[0])).await.unwrap_err());
    erased(
        try_record(&client, order(KEYS[2], KEYS[0], 12_345, "2025-08-01"))
            .await
            .unwrap_err(),
    );
    erased(say(&client, "said-again", KEYS[0]).await.unwrap_err());
    erased(complain(&client, KEYS[0]).await.unwrap_err());
    erased(
        respond(
            &client,
            response(KEYS[6], "after", Some(KEYS[1]), (9, 5), "2026-02-01"),
        )
        .await
        .unwrap_err(),
    );
    let rows = KEYS[2..4]
        .iter()
        .map(|id| row(id, KEYS[0], 12_345, "2025-08-01"));
    let results = ingest(&client, vec![rows.collect()]).await.unwrap();
    assert_eq!((results[0].accepted, results[0].rejected.len()), (0, 2));
    let status = client
        .orders()
        .get_order(customer::GetOrderRequest {
            order: Some(record_ref(KEYS[2])),
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "RECORD_UNKNOWN");
    assert_eq!(erase(&client, KEYS[0]).await.unwrap().id, done.id);
    assert_eq!(metrics(&client, &tokens).await, told);

    // The mapping of ids is forgotten once every lane has passed.
    until("the mapping to be forgotten", || async {
        let left = tables::count(&world.stores[2].url, "relabel").await;
        (left == 0).then_some(())
    })
    .await;

    check_clean(&world, &needles).await;
    world.stop().await;
    check_clean(&world, &needles).await;
    drop(world);
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");

async fn start_logged(plan: &Plan, log: &Path) -> Process {
    let (plan, log) = (plan.clone(), log.to_owned());
    tokio::task::spawn_blocking(move || Process::start_logged(PROGRAM, &plan, "debug", &log))
        .await
        .unwrap()
}

async fn start(plan: &Plan) -> Process {
    let plan = plan.clone();
    tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
        .await
        .unwrap()
}

/// All services are killed again and again between the steps of an erasure; it comes to its end, and what scoring has then
/// is what a scoring service has that reads everything anew.
async fn an_erasure_outlives_kills_of_every_service(store: TestStore) {
    let (feedback, scoring, fresh) = (
        store.another().await,
        store.another().await,
        store.another().await,
    );
    let plan = Plan {
        customer: store.url.clone(),
        feedback: feedback.url.clone(),
        scoring: scoring.url.clone(),
        listen: format!("127.0.0.1:{}", free_port()),
        ..Plan::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let log = |n: usize| folder.path().join(format!("log {n}"));
    let mut process = start_logged(&plan, &log(0)).await;
    let client = client_at(&process.address, "default");
    let tokens = populate(&client).await;
    scores(&client, KEYS[0], &tokens).await;
    let told = metrics(&client, &tokens).await;
    let erasure = erase(&client, KEYS[0]).await.unwrap();
    for (n, pause) in (1..).zip([0, 40, 120, 400, 900]) {
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        process.kill();
        for url in [&feedback.url, &scoring.url] {
            tables::run(url, &["UPDATE lease SET until = 0"]).await;
        }
        process = start_logged(&plan, &log(n)).await;
    }
    let done = complete(&client, &erasure.id).await;
    let id = Uuid::try_parse(&done.id).unwrap();
    assert!(done.parts.iter().all(|part| verify(id, part)));
    assert_eq!(metrics(&client, &tokens).await, told);
    let status = try_scores(&client, KEYS[1], &[]).await.unwrap_err();
    assert_eq!(reason(&status), "CUSTOMER_ERASED");
    let texts = [NAME, EMAIL, PHONE, SAID, COMPLAINED].map(Needle::text);
    let needles: Vec<Needle> = texts.into_iter().chain(KEYS.map(Needle::text)).collect();

    let anew = Plan {
        scoring: fresh.url.clone(),
        customer_at: process.address.clone(),
        feedback_at: process.address.clone(),
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let reader = start(&anew).await;
    let other = client_at(&reader.address, "default");
    assert_eq!(metrics(&other, &tokens).await, told);
    for url in [&scoring.url, &fresh.url] {
        until("the roll", || async {
            let rows = summaries(url).await;
            rows.iter()
                .all(|row| row.contains("as_of=20634 "))
                .then_some(())
        })
        .await;
    }
    let named = |rows: Vec<String>| -> Vec<String> {
        // The order of a dump is that of ids, and new ids are random.
        let mut rows = rows;
        rows.sort();
        rows
    };
    check_same(
        "summaries",
        &named(summaries(&scoring.url).await),
        &named(summaries(&fresh.url).await),
    );
    reader.kill();
    let stores = [store, feedback, scoring, fresh];
    assert_eq!(found(&stores, &needles).await, BTreeSet::new());
    process.kill();
    let mut all = scan::contents(&stores, None).await;
    all.extend((0..=5).map(|n| (format!("log {n}"), std::fs::read(log(n)).unwrap())));
    assert_eq!(scan::search(&all, &scanned(&needles)), []);
    // The logs tell of calls: the scan sees that.
    let calls = scan::search(&all, &[scan::Needle::text("CreateCustomer")]);
    assert!(calls.iter().any(|hit| hit.place == "log 0"), "{calls:?}");
}

/// The changes that told of an erasure are gone when the other services come back: a snapshot tells of it.
async fn an_erasure_reaches_services_that_were_away_longer_than_changes_are_kept(store: TestStore) {
    let (feedback, scoring) = (store.another().await, store.another().await);
    let all = Plan {
        customer: store.url.clone(),
        feedback: feedback.url.clone(),
        scoring: scoring.url.clone(),
        listen: format!("127.0.0.1:{}", free_port()),
        ..Plan::default()
    };
    let process = start(&all).await;
    let client = client_at(&process.address, "default");
    let tokens = populate(&client).await;
    scores(&client, KEYS[0], &tokens).await;
    let told = metrics(&client, &tokens).await;
    process.kill();
    let alone = Plan {
        feedback: String::new(),
        scoring: String::new(),
        ..all.clone()
    };
    let process = start(&alone).await;
    let client = client_at(&process.address, "default");
    let erasure = erase(&client, KEYS[0]).await.unwrap();
    process.kill();
    let trim = [
        "DELETE FROM change",
        "UPDATE lane SET trimmed = head, trimmed_nonce = nonce",
    ];
    tables::run(&store.url, &trim).await;
    for url in [&feedback.url, &scoring.url] {
        tables::run(url, &["UPDATE lease SET until = 0"]).await;
    }
    let process = start(&all).await;
    let client = client_at(&process.address, "default");
    complete(&client, &erasure.id).await;
    until("the metrics of before", || async {
        (metrics(&client, &[]).await == told).then_some(())
    })
    .await;
    let status = try_scores(&client, KEYS[1], &[]).await.unwrap_err();
    assert_eq!(reason(&status), "CUSTOMER_ERASED");
    process.kill();
    let texts = [NAME, EMAIL, PHONE, SAID, COMPLAINED].map(Needle::text);
    let needles: Vec<Needle> = texts.into_iter().chain(KEYS.map(Needle::text)).collect();
    assert_eq!(
        found(&[store, feedback, scoring], &needles).await,
        BTreeSet::new()
    );
}

/// Answers of a person go on coming while the person is erased: each is refused, or it stays without a name.
async fn answers_that_come_while_a_person_is_erased_leave_nothing(store: TestStore) {
    let mut world = World::new(store.engine, CacheKind::Memory).await;
    let client = world.client();
    pin(&client, "2026-06-30").await;
    make_survey(&client, "after").await;
    create(&client, ada(KEYS[0])).await.unwrap();
    let request = customer::GetCustomerRequest {
        customer: Some(customer_ref(KEYS[0])),
    };
    let found = client.customers().get_customer(request).await.unwrap();
    let old = found.into_inner().customer.unwrap().id.replace('-', "");
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let client = world.client();
            tokio::spawn(async move {
                let mut accepted = 0_u64;
                for n in 0..100 {
                    let id = format!("w{writer}-{n}");
                    let answer = response(&id, "after", Some(KEYS[0]), (9, 5), "2026-02-01");
                    match respond(&client, answer).await {
                        Ok(_) => accepted += 1,
                        Err(status) => assert_eq!(reason(&status), "CUSTOMER_ERASED", "{status:?}"),
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                accepted
            })
        })
        .collect();
    until("some answers", || async {
        (tables::count(&world.stores[1].url, "response").await >= 40).then_some(())
    })
    .await;
    let erasure = erase(&client, KEYS[0]).await.unwrap();
    let mut accepted = 0;
    for writer in writers {
        accepted += writer.await.unwrap();
    }
    assert!(
        accepted < 400,
        "the writers were through before the erasure"
    );
    complete(&client, &erasure.id).await;
    let count =
        |url: String, sql: String| async move { texts(&url, sql).await[0].parse::<u64>().unwrap() };
    let (feedback, scoring) = (world.stores[1].url.clone(), world.stores[2].url.clone());
    let literal = match store.engine {
        Engine::Sqlite => format!("x'{old}'"),
        Engine::Postgres => format!("'{old}'"),
    };
    let all = "SELECT CAST(count(*) AS text) FROM";
    assert_eq!(tables::count(&feedback, "response").await, accepted);
    let left = format!("{all} response WHERE customer = {literal} OR external_id IS NOT NULL");
    assert_eq!(count(feedback.clone(), left).await, 0);
    until("the answers in scoring", || async {
        let there = count(scoring.clone(), format!("{all} event WHERE kind = 5")).await;
        (there == 2 * accepted).then_some(())
    })
    .await;
    for table in ["event", "summary", "score_rank"] {
        let left = format!("{all} {table} WHERE customer = {literal}");
        assert_eq!(count(scoring.clone(), left).await, 0, "{table}");
    }
    world.stop().await;
}

//! The feed: what it tells, to whom, and what it never tells.

use std::collections::HashMap;

use prost::Message as _;
use regard_proto::feedback::v1 as pb;
use regard_testkit::{Engine, TestStore, on_both_engines};
use tonic::Code;

use crate::suite::{
    Clients, DAY, Suite, check_refused, customer, key, keyed, number, response, row, text, time,
};

on_both_engines!(
    measures_are_coded_and_hold_no_text,
    a_snapshot_tells_what_the_feed_told,
    a_caller_sees_its_tenant_only,
    a_reader_goes_on_from_its_cursors,
    a_snapshot_taken_while_rows_change_misses_nothing,
);

const SECRET: &str = "Zitronenfalter";

/// A record of every kind, some with two versions, with texts.
async fn fill(of: &mut Clients) {
    of.published("s").await;
    of.record(
        response("r", vec![number("wait", 2), text("why", SECRET)]),
        "",
    )
    .await
    .unwrap();
    of.record(
        response(
            "r",
            vec![number("wait", 1), number("nps", 10), text("why", SECRET)],
        ),
        "",
    )
    .await
    .unwrap();
    let item = pb::FeedbackItem {
        key: Some(key("i")),
        customer: Some(customer("r")),
        kind: pb::FeedbackKind::Praise.into(),
        text: SECRET.to_owned(),
        say_time: Some(time(DAY + 5)),
        ..Default::default()
    };
    let submit = pb::SubmitFeedbackItemRequest {
        feedback_item: Some(item),
        ..Default::default()
    };
    of.items.submit_feedback_item(submit).await.unwrap();
    let complaint = pb::Complaint {
        key: Some(key("k")),
        customer: Some(customer("r")),
        text: SECRET.to_owned(),
        reason: "rude_staff".to_owned(),
        severity: 5,
        open_time: Some(time(DAY + 7)),
        ..Default::default()
    };
    let open = pb::OpenComplaintRequest {
        complaint: Some(complaint),
        ..Default::default()
    };
    of.complaints.open_complaint(open).await.unwrap();
    let resolve = pb::ResolveComplaintRequest {
        complaint: Some(keyed("k")),
        resolution: SECRET.to_owned(),
        resolve_time: Some(time(DAY + 9)),
        ..Default::default()
    };
    of.complaints.resolve_complaint(resolve).await.unwrap();
}

/// Changes that [`fill`] makes.
const FILLED: usize = 7;

type Told = HashMap<(String, String, i64), pb::Change>;

fn told(changes: Vec<pb::Change>) -> Told {
    let named = |change: pb::Change| {
        let header = change.header.as_ref().unwrap();
        (
            (
                header.tenant_id.clone(),
                header.record_id.clone(),
                header.version,
            ),
            change,
        )
    };
    changes.into_iter().map(named).collect()
}

async fn measures_are_coded_and_hold_no_text(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    fill(&mut of).await;
    let changes = of.watched(FILLED).await;
    let holds = |bytes: &[u8]| {
        bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    };
    assert!(changes.iter().all(|change| !holds(&change.encode_to_vec())));

    let person = of.response("r").await.unwrap();
    let of_kind = |kind: fn(&pb::measures::Record) -> bool| -> Vec<_> {
        let mut found: Vec<_> = changes
            .iter()
            .filter(|change| kind(change.measures.as_ref().unwrap().record.as_ref().unwrap()))
            .map(|change| {
                (
                    change.header.clone().unwrap(),
                    change.measures.clone().unwrap().record.unwrap(),
                )
            })
            .collect();
        found.sort_by_key(|(header, _)| header.version);
        found
    };
    let responses = of_kind(|record| matches!(record, pb::measures::Record::Response(_)));
    let (header, pb::measures::Record::Response(last)) = &responses[1] else {
        panic!("no response")
    };
    assert_eq!(
        (header.version, header.occurred_micros),
        (2, DAY * 1_000_000)
    );
    assert_eq!(
        (header.record_id.as_str(), header.customer_id.is_empty()),
        (person.id.as_str(), false)
    );
    let answers: Vec<_> = last
        .answers
        .iter()
        .map(|a| {
            (
                a.metric.as_str(),
                a.dimension.as_str(),
                a.value,
                a.scale_min,
                a.scale_max,
            )
        })
        .collect();
    assert_eq!(
        answers,
        [("wait", "service", 5, 1, 5), ("nps", "service", 10, 0, 10)]
    );

    let complaints = of_kind(|record| matches!(record, pb::measures::Record::Complaint(_)));
    let states: Vec<_> = complaints
        .iter()
        .map(|(_, record)| match record {
            pb::measures::Record::Complaint(c) => (c.state.as_str(), c.severity, c.resolved_micros),
            _ => panic!("no complaint"),
        })
        .collect();
    assert_eq!(
        states,
        [
            ("received", 5, None),
            ("resolved", 5, Some((DAY + 9) * 1_000_000))
        ]
    );

    for hex in stored_bytes(&suite.store).await {
        let secret: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            !hex.to_lowercase().contains(&secret),
            "a text outside of its table"
        );
    }
}

/// Opaque bytes of every table but the texts' own, in hexadecimal.
async fn stored_bytes(store: &TestStore) -> Vec<String> {
    let columns = [
        ("change", "measures"),
        ("response", "answers"),
        ("response_history", "answers"),
        ("survey", "questions"),
        ("idempotency", "answer"),
        ("audit", "after_digest"),
    ];
    let mut all = Vec::new();
    for (table, column) in columns {
        let sql = match store.engine {
            Engine::Sqlite => format!("SELECT hex({column}) FROM {table}"),
            Engine::Postgres => format!("SELECT encode({column}, 'hex') FROM {table}"),
        };
        let sql = sqlx::AssertSqlSafe(sql);
        let rows: Vec<Option<String>> = match store.engine {
            Engine::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&store.url).await.unwrap();
                sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
            }
            Engine::Postgres => {
                let pool = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
                sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
            }
        };
        all.extend(rows.into_iter().flatten());
    }
    assert!(!all.is_empty());
    all
}

async fn a_snapshot_tells_what_the_feed_told(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    fill(&mut of).await;
    let rows = (0..400)
        .map(|i| row(&format!("r{i}"), vec![number("nps", i % 11)]))
        .collect();
    of.ingest(rows).await;
    let rows = (0..400)
        .map(|i| row(&format!("r{i}"), vec![number("nps", (i + 1) % 11)]))
        .collect();
    of.ingest(rows).await;
    let expected = told(of.watched(FILLED + 800).await);
    assert_eq!(expected.len(), FILLED + 800);

    let pages = of.snapshot("").await;
    assert!(pages.len() > 4);
    assert!(
        pages
            .iter()
            .enumerate()
            .all(|(i, page)| page.heads.is_empty() == (i > 0))
    );
    assert!(
        pages
            .iter()
            .enumerate()
            .all(|(i, page)| page.done == (i + 1 == pages.len()))
    );
    let found: Vec<_> = pages.iter().flat_map(|page| page.changes.clone()).collect();
    assert_eq!(found.len(), expected.len(), "nothing twice");
    assert_eq!(told(found), expected);

    // Broken off after any page, the rest comes with its token.
    for (index, page) in pages.iter().enumerate().take(pages.len() - 1) {
        let rest: Vec<_> = of
            .snapshot(&page.resume_token)
            .await
            .iter()
            .flat_map(|page| page.changes.clone())
            .collect();
        let missed: Vec<_> = pages[index + 1..]
            .iter()
            .flat_map(|page| page.changes.clone())
            .collect();
        assert_eq!(rest, missed);
    }
    // From the heads of the snapshot only what comes later is watched.
    let watch = pb::WatchChangesRequest {
        epoch: pages[0].epoch.clone(),
        cursors: pages[0].heads.clone(),
    };
    let mut later = of.changes.watch_changes(watch).await.unwrap().into_inner();
    of.ingest(vec![row("late", vec![number("nps", 1)])]).await;
    loop {
        let batch = later.message().await.unwrap().unwrap();
        if let [change] = batch.changes.as_slice() {
            assert_eq!(
                change.header.as_ref().unwrap().record_id,
                of.response("late").await.unwrap().id
            );
            break;
        }
        assert!(batch.changes.is_empty());
    }
    let request = pb::SnapshotChangesRequest {
        resume_token: "no token".to_owned(),
    };
    check_refused(
        of.changes.snapshot_changes(request).await,
        Code::InvalidArgument,
        "TOKEN_INVALID",
    );
}

async fn a_caller_sees_its_tenant_only(store: TestStore) {
    let suite = Suite::new(store).await;
    let (mut one, mut two) = (suite.of("one"), suite.of("two"));
    fill(&mut one).await;
    fill(&mut two).await;
    let mine = |changes: &[pb::Change], tenant: &str| {
        let id = suite.ids.tenant_id(tenant).to_string();
        changes
            .iter()
            .filter(|change| change.header.as_ref().unwrap().tenant_id == id)
            .count()
    };
    for (of, tenant) in [(&mut one, "one"), (&mut two, "two")] {
        let seen = of.watched(FILLED).await;
        assert_eq!((seen.len(), mine(&seen, tenant)), (FILLED, FILLED));
        let seen: Vec<_> = of
            .snapshot("")
            .await
            .into_iter()
            .flat_map(|page| page.changes)
            .collect();
        assert_eq!((seen.len(), mine(&seen, tenant)), (FILLED, FILLED));
    }
    let seen = suite.of_all().watched(2 * FILLED).await;
    assert_eq!((mine(&seen, "one"), mine(&seen, "two")), (FILLED, FILLED));
    let seen: Vec<_> = suite
        .of_all()
        .snapshot("")
        .await
        .into_iter()
        .flat_map(|page| page.changes)
        .collect();
    assert_eq!((mine(&seen, "one"), mine(&seen, "two")), (FILLED, FILLED));
}

async fn a_reader_goes_on_from_its_cursors(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    fill(&mut of).await;
    let mut batches = of
        .changes
        .watch_changes(pb::WatchChangesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let batch = loop {
        let batch = batches.message().await.unwrap().unwrap();
        if !batch.changes.is_empty() {
            break batch;
        }
    };
    let cursor = |position: u64, nonce: u64| regard_proto::common::v1::FeedCursor {
        lane: batch.lane,
        position,
        nonce,
    };
    let watch = |epoch: &str, position, nonce| pb::WatchChangesRequest {
        epoch: epoch.to_owned(),
        cursors: vec![cursor(position, nonce)],
    };
    let good = watch(&batch.epoch, batch.to_position, batch.to_nonce);
    of.changes.watch_changes(good).await.unwrap();
    for (epoch, position, nonce) in [
        (
            "00000000-0000-4000-8000-000000000000",
            batch.to_position,
            batch.to_nonce,
        ),
        (batch.epoch.as_str(), batch.to_position, batch.to_nonce ^ 1),
        (
            batch.epoch.as_str(),
            batch.to_position + 1_000,
            batch.to_nonce,
        ),
    ] {
        let answer = of
            .changes
            .watch_changes(watch(epoch, position, nonce))
            .await;
        check_refused(
            answer.map(|_| ()),
            Code::FailedPrecondition,
            "FEED_EPOCH_GONE",
        );
    }
}

async fn a_snapshot_taken_while_rows_change_misses_nothing(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let rows = |nps: i32, every: usize| {
        let rows = (0..1_000_usize).step_by(every);
        rows.map(|i| row(&format!("r{i}"), vec![number("nps", nps)]))
            .collect::<Vec<_>>()
    };
    of.ingest(rows(0, 1)).await;
    let mut writer = suite.of("default");
    let write = async {
        for nps in 1..=10 {
            writer.ingest(rows(nps, 7)).await;
        }
    };
    let mut reader = suite.of("default");
    let read = async {
        let mut pages = reader
            .changes
            .snapshot_changes(pb::SnapshotChangesRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut all = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            all.push(page);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        all
    };
    let ((), pages) = tokio::join!(write, read);
    let mut seen = told(pages.iter().flat_map(|page| page.changes.clone()).collect());
    let every = told(of.watched(2 + 1_000 + 10 * 143).await);
    // What the snapshot has not, the lanes tell from its heads.
    let watch = pb::WatchChangesRequest {
        epoch: pages[0].epoch.clone(),
        cursors: pages[0].heads.clone(),
    };
    let mut later = of.changes.watch_changes(watch).await.unwrap().into_inner();
    while seen.len() < every.len() {
        seen.extend(told(later.message().await.unwrap().unwrap().changes));
    }
    assert_eq!(seen, every);
}

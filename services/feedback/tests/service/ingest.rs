//! Responses in bulk.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_testkit::{TestStore, on_both_engines};

use crate::suite::{Suite, customer, keyed, number, response, row, survey, text, time};

on_both_engines!(
    resends_corrections_and_revisions,
    a_bad_row_refuses_only_itself,
    rows_of_one_key_in_one_batch,
    validate_only_keeps_nothing,
    two_writers_of_the_same_rows,
    a_full_batch,
    a_batch_of_bad_rows_only,
    any_sequence_of_batches_ends_as_its_rule_says,
);

fn counts(result: &common::BatchResult) -> (u32, u32, usize, bool) {
    (
        result.accepted,
        result.unchanged,
        result.rejected.len(),
        !result.change_token.is_empty(),
    )
}

async fn resends_corrections_and_revisions(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let row_of = |nps: i32, revision: i64| pb::ResponseRow {
        revision,
        ..row("r", vec![number("nps", nps), text("why", &nps.to_string())])
    };
    // Without revisions: A, A, B, A, B.
    for (nps, accepted, version) in [(1, 1, 1), (1, 0, 1), (2, 1, 2), (1, 0, 2), (2, 0, 2)] {
        let result = of.ingest(vec![row_of(nps, 0)]).await;
        assert_eq!(counts(&result), (accepted, 1 - accepted, 0, accepted == 1));
        assert_eq!(of.response("r").await.unwrap().version, version);
    }
    // With revisions: back to A counts, an older and an equal one do not, a newer one with the same content does.
    for (nps, revision, version) in [
        (1, 5, 3),
        (7, 4, 3),
        (7, 5, 3),
        (1, 6, 4),
        (9, 0, 5),
        (7, 6, 5),
        (7, 7, 6),
    ] {
        let result = of.ingest(vec![row_of(nps, revision)]).await;
        assert_eq!(result.rejected, []);
        assert_eq!(
            of.response("r").await.unwrap().version,
            version,
            "{nps} {revision}"
        );
    }
    let last = of.response("r").await.unwrap();
    assert_eq!(last.answers, [number("nps", 7), text("why", "7")]);
}

async fn a_bad_row_refuses_only_itself(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    of.create(survey("draft")).await.unwrap();
    of.ingest(vec![row("known", vec![number("nps", 1)])]).await;
    let with = |change: fn(&mut pb::Response)| {
        let mut response = response("x", vec![number("nps", 5)]);
        change(&mut response);
        pb::ResponseRow {
            response: Some(response),
            revision: 0,
        }
    };
    let rows = vec![
        row("good", vec![number("nps", 10)]),
        pb::ResponseRow::default(),
        with(|r| r.key = None),
        with(|r| (r.key, r.answer_time, r.channel) = (None, None, 99)),
        with(|r| r.answers = vec![number("NPS", 5), pb::Answer::default()]),
        with(|r| r.answer_time = Some(time(-2_208_988_801))),
        with(|r| r.answers = vec![number("nps", -1), number("csat", 6), number("price", 1)]),
        with(|r| r.survey = Some(keyed("none"))),
        with(|r| r.survey = Some(keyed("draft"))),
        pb::ResponseRow {
            response: Some(pb::Response {
                customer: Some(customer("other")),
                ..response("known", vec![number("nps", 2)])
            }),
            revision: 0,
        },
        pb::ResponseRow {
            revision: -1,
            ..row("y", vec![number("nps", 5)])
        },
        row("good too", vec![number("nps", 0)]),
    ];
    let result = of.ingest(rows).await;
    assert_eq!(counts(&result), (2, 0, 10, true));
    use common::ErrorReason::{CustomerFixed, FieldInvalid, RecordUnknown, WrongState};
    let expected: [(u32, common::ErrorReason, &[&str]); 10] = [
        (1, FieldInvalid, &["response"]),
        (2, FieldInvalid, &["response.key"]),
        (
            3,
            FieldInvalid,
            &["response.answer_time", "response.channel", "response.key"],
        ),
        (
            4,
            FieldInvalid,
            &[
                "response.answers[0].question",
                "response.answers[1].question",
                "response.answers[1].question",
                "response.answers[1].value",
            ],
        ),
        (5, FieldInvalid, &["response.answer_time"]),
        (
            6,
            FieldInvalid,
            &[
                "response.answers[0].number",
                "response.answers[1].number",
                "response.answers[2].question",
            ],
        ),
        (7, RecordUnknown, &["response.survey"]),
        (8, WrongState, &["response.survey"]),
        (9, CustomerFixed, &["response.customer"]),
        (10, FieldInvalid, &["revision"]),
    ];
    for (row, (index, reason, fields)) in result.rejected.iter().zip(expected) {
        let found: Vec<_> = row.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            (row.index, row.reason(), found.as_slice()),
            (index, reason, fields)
        );
        assert!(row.violations.iter().all(|v| !v.description.is_empty()));
    }
    assert_eq!(of.response("good too").await.unwrap().version, 1);
    assert_eq!(of.response("known").await.unwrap().version, 1);
}

async fn rows_of_one_key_in_one_batch(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let rows = vec![
        row("bad first", vec![number("nps", 99)]),
        row("a", vec![number("nps", 1)]),
        row("a", vec![number("nps", 1)]),
        row("a", vec![number("nps", 2)]),
        pb::ResponseRow {
            revision: 3,
            ..row("a", vec![number("nps", 1)])
        },
        row("bad first", vec![number("nps", 9)]),
    ];
    let result = of.ingest(rows).await;
    assert_eq!(counts(&result), (2, 1, 3, true));
    let found: Vec<_> = result
        .rejected
        .iter()
        .map(|r| (r.index, r.reason()))
        .collect();
    use common::ErrorReason::{DuplicateInBatch, FieldInvalid};
    assert_eq!(
        found,
        [
            (0, FieldInvalid),
            (3, DuplicateInBatch),
            (4, DuplicateInBatch)
        ]
    );
    assert_eq!(of.response("a").await.unwrap().answers, [number("nps", 1)]);
}

async fn validate_only_keeps_nothing(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let batch = |validate_only| pb::IngestResponsesRequest {
        rows: vec![
            row("a", vec![number("nps", 1)]),
            row("b", vec![number("nps", 11)]),
        ],
        validate_only,
    };
    let results = of
        .ingest_all(vec![
            batch(true),
            batch(true),
            batch(false),
            pb::IngestResponsesRequest::default(),
        ])
        .await;
    assert_eq!(
        results.iter().map(|r| r.batch).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(
        results.iter().map(counts).collect::<Vec<_>>(),
        [
            (1, 0, 1, false),
            (1, 0, 1, false),
            (1, 0, 1, true),
            (0, 0, 0, false)
        ]
    );
    assert_eq!(of.response("a").await.unwrap().version, 1);
}

async fn two_writers_of_the_same_rows(store: TestStore) {
    let suite = Suite::new(store).await;
    suite.of("default").published("s").await;
    let rows = |back: bool| {
        let mut rows: Vec<_> = (0..200)
            .map(|i| row(&format!("r{i}"), vec![number("nps", i % 11)]))
            .collect();
        if back {
            rows.reverse();
        }
        rows
    };
    for _ in 0..3 {
        let (mut one, mut two) = (suite.of("default"), suite.of("default"));
        let (one, two) = tokio::join!(one.ingest(rows(false)), two.ingest(rows(true)));
        assert_eq!((one.rejected.len(), two.rejected.len()), (0, 0));
        assert_eq!(
            one.unchanged + two.unchanged + one.accepted + two.accepted,
            400
        );
    }
    let mut of = suite.of("default");
    for i in [0, 77, 199] {
        assert_eq!(of.response(&format!("r{i}")).await.unwrap().version, 1);
    }
    assert_eq!(
        of.watched(202).await.len(),
        202,
        "two changes of the survey, one of each response"
    );
}

async fn a_full_batch(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let rows = |offset: i32| -> Vec<_> {
        (0..5_000)
            .map(|i| {
                row(
                    &format!("r{i}"),
                    vec![
                        number("nps", (i + offset) % 11),
                        number("csat", 1 + i % 5),
                        text("why", "so"),
                    ],
                )
            })
            .collect()
    };
    assert_eq!(counts(&of.ingest(rows(0)).await), (5_000, 0, 0, true));
    assert_eq!(counts(&of.ingest(rows(0)).await), (0, 5_000, 0, false));
    assert_eq!(counts(&of.ingest(rows(1)).await), (5_000, 0, 0, true));
    assert_eq!(counts(&of.ingest(rows(0)).await), (0, 5_000, 0, false));
    assert_eq!(of.response("r4999").await.unwrap().version, 2);
    let too_many = (0..5_001)
        .map(|i| row(&format!("r{i}"), vec![number("nps", 1)]))
        .collect();
    let batch = pb::IngestResponsesRequest {
        rows: too_many,
        validate_only: false,
    };
    let stream = of
        .responses
        .ingest_responses(tokio_stream::iter([batch]))
        .await;
    let status = match stream {
        Err(status) => status,
        Ok(answers) => answers.into_inner().message().await.unwrap_err(),
    };
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

async fn a_batch_of_bad_rows_only(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let bad = |i: i32| {
        row(
            &format!("r{i}"),
            (0..30).map(|_| number("NPS", 1)).collect(),
        )
    };
    let result = of.ingest((0..5_000).map(bad).collect()).await;
    assert_eq!(counts(&result), (0, 0, 5_000, false));
    assert!(result.rejected.iter().all(|row| !row.violations.is_empty()));
    assert_eq!(result.rejected[0].violations.len(), 20);
}

/// The rule of a resent row, written down a second time and more simply.
#[derive(Default)]
struct Reference {
    versions: Vec<i32>,
    revision: i64,
}

impl Reference {
    fn take(&mut self, nps: i32, revision: i64) -> bool {
        let old = match revision {
            0 => self.versions.contains(&nps),
            given => given <= self.revision,
        };
        if !old {
            self.versions.push(nps);
            self.revision = self.revision.max(revision);
        }
        !old
    }
}

async fn any_sequence_of_batches_ends_as_its_rule_says(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let mut seed = 20_240_611_u64;
    let mut next = |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut expected: Vec<Reference> = (0..6).map(|_| Reference::default()).collect();
    for _ in 0..40 {
        let mut rows = Vec::new();
        let mut accepted = 0;
        for (key, reference) in expected.iter_mut().enumerate() {
            if next(3) == 0 {
                continue;
            }
            let nps = i32::try_from(next(4)).unwrap();
            let revision = if next(2) == 0 {
                0
            } else {
                i64::try_from(next(12)).unwrap()
            };
            accepted += u32::from(reference.take(nps, revision));
            rows.push(pb::ResponseRow {
                revision,
                ..row(&format!("r{key}"), vec![number("nps", nps)])
            });
        }
        let sent = u32::try_from(rows.len()).unwrap();
        let result = of.ingest(rows).await;
        assert_eq!(
            counts(&result),
            (accepted, sent - accepted, 0, accepted > 0)
        );
    }
    for (key, reference) in expected.iter().enumerate() {
        let stored = of.response(&format!("r{key}")).await.unwrap();
        assert_eq!(
            stored.answers,
            [number("nps", *reference.versions.last().unwrap())]
        );
        assert_eq!(
            usize::try_from(stored.version).unwrap(),
            reference.versions.len()
        );
    }
    let all = expected
        .iter()
        .map(|reference| reference.versions.len())
        .sum::<usize>()
        + 2;
    let told: usize = of
        .snapshot("")
        .await
        .iter()
        .map(|page| page.changes.len())
        .sum();
    assert_eq!((of.watched(all).await.len(), told), (all, all));
}

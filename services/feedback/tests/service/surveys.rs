//! Creating, publishing, reading and listing surveys.

use regard_proto::feedback::v1 as pb;
use regard_testkit::{Engine, TestStore, on_both_engines};
use sqlx::Row as _;
use tonic::Code;

use crate::suite::{Suite, by_id, check_refused, keyed, question, refused, survey};

on_both_engines!(
    a_survey_from_draft_to_published,
    every_wrong_field_is_named,
    keys_are_taken_once,
    a_repeated_request_gets_the_first_answer,
    validate_only_keeps_nothing,
    lists_go_on_from_page_to_page,
    lists_are_read_by_an_index,
    a_page_of_large_surveys_fits_into_a_message,
);

async fn a_survey_from_draft_to_published(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let created = of.create(survey("s")).await.unwrap();
    assert!(!created.change_token.is_empty());
    let draft = created.survey.unwrap();
    assert_eq!((draft.version, draft.state()), (1, pb::SurveyState::Draft));
    let scales: Vec<_> = draft
        .questions
        .iter()
        .map(|q| (q.scale_min, q.scale_max))
        .collect();
    assert_eq!(scales, [(0, 10), (1, 5), (1, 7), (1, 5), (0, 0)]);

    let stale = pb::PublishSurveyRequest {
        survey: Some(keyed("s")),
        etag: "another".to_owned(),
        ..Default::default()
    };
    check_refused(
        of.surveys.publish_survey(stale).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    let right = pb::PublishSurveyRequest {
        survey: Some(by_id(&draft.id)),
        etag: draft.etag.clone(),
        ..Default::default()
    };
    let published = of
        .surveys
        .publish_survey(right)
        .await
        .unwrap()
        .into_inner()
        .survey
        .unwrap();
    assert_eq!(
        (published.version, published.state()),
        (2, pb::SurveyState::Published)
    );
    assert_ne!(published.etag, draft.etag);
    assert_eq!(published.questions, draft.questions);
    check_refused(
        of.publish("s").await,
        Code::FailedPrecondition,
        "WRONG_STATE",
    );

    for name in [keyed("s"), by_id(&draft.id)] {
        let found = of
            .surveys
            .get_survey(pb::GetSurveyRequest { survey: Some(name) })
            .await
            .unwrap();
        assert_eq!(found.into_inner().survey.unwrap(), published);
    }
    check_refused(of.publish("none").await, Code::NotFound, "RECORD_UNKNOWN");

    // What was read may be sent again under another key.
    let again = pb::Survey {
        key: Some(crate::suite::key("copy")),
        ..published
    };
    of.create(again).await.unwrap();
}

async fn every_wrong_field_is_named(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let mut bad = survey("s");
    bad.questions[0].scale_max = 9;
    bad.questions[1].dimension.clear();
    bad.questions[3].metric = "nps".to_owned();
    bad.questions[3].scale_max = 1;
    bad.questions[4].code = "nps".to_owned();
    let (code, reason, mut fields) = refused(of.create(bad).await);
    fields.sort();
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "FIELD_INVALID")
    );
    assert_eq!(
        fields,
        [
            "survey.questions[0].scale_max",
            "survey.questions[1].dimension",
            "survey.questions[3].metric",
            "survey.questions[3].scale_max",
            "survey.questions[4].code",
        ]
    );
    // Rules of the contract itself.
    let (code, _, fields) = refused(
        of.create(pb::Survey {
            name: String::new(),
            questions: vec![],
            ..survey("s")
        })
        .await,
    );
    assert_eq!((code, fields.len()), (Code::InvalidArgument, 2));
    check_refused(of.publish("s").await, Code::NotFound, "RECORD_UNKNOWN");
}

async fn keys_are_taken_once(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let first = of.create(survey("s")).await.unwrap().survey.unwrap();
    let again = of.create(survey("s")).await.unwrap();
    assert_eq!(
        (again.survey.unwrap(), again.change_token.as_str()),
        (first, "")
    );
    let other = pb::Survey {
        name: "Another".to_owned(),
        ..survey("s")
    };
    check_refused(of.create(other).await, Code::AlreadyExists, "RECORD_EXISTS");
    let keyless = pb::Survey {
        key: None,
        ..survey("s")
    };
    let one = of.create(keyless.clone()).await.unwrap().survey.unwrap();
    let two = of.create(keyless).await.unwrap().survey.unwrap();
    assert_ne!(one.id, two.id);
}

async fn a_repeated_request_gets_the_first_answer(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let request = pb::CreateSurveyRequest {
        survey: Some(survey("s")),
        request_id: "r1".to_owned(),
        validate_only: false,
    };
    let first = of
        .surveys
        .create_survey(request.clone())
        .await
        .unwrap()
        .into_inner();
    of.publish("s").await.unwrap();
    let again = of
        .surveys
        .create_survey(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        again, first,
        "the answer of then, though the survey is published now"
    );
    let mut other = request;
    other.survey.as_mut().unwrap().name.push('!');
    check_refused(
        of.surveys.create_survey(other).await,
        Code::FailedPrecondition,
        "REQUEST_ID_REUSED",
    );
}

async fn validate_only_keeps_nothing(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let request = pb::CreateSurveyRequest {
        survey: Some(survey("s")),
        validate_only: true,
        ..Default::default()
    };
    let answer = of
        .surveys
        .create_survey(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.survey.unwrap().version, answer.change_token.as_str()),
        (1, "")
    );
    let get = pb::GetSurveyRequest {
        survey: Some(keyed("s")),
    };
    check_refused(
        of.surveys.get_survey(get).await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );
}

async fn lists_go_on_from_page_to_page(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    for index in 0..5 {
        of.create(pb::Survey {
            questions: vec![question("nps", pb::QuestionKind::Nps)],
            ..survey(&format!("s{index}"))
        })
        .await
        .unwrap();
    }
    of.publish("s3").await.unwrap();
    let list = |state: pb::SurveyState, page_token: &str| pb::ListSurveysRequest {
        state: state.into(),
        page_size: 2,
        page_token: page_token.to_owned(),
    };
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let page = of
            .surveys
            .list_surveys(list(pb::SurveyState::Unspecified, &token))
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.surveys.into_iter().map(|s| s.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = of
            .surveys
            .list_surveys(list(pb::SurveyState::Draft, &token))
            .await;
        check_refused(other, Code::InvalidArgument, "PAGE_TOKEN_MISMATCH");
    }
    let mut sorted = ids.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((ids.len(), &ids), (5, &sorted));
    let published = of
        .surveys
        .list_surveys(list(pb::SurveyState::Published, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (published.surveys.len(), published.next_page_token.as_str()),
        (1, "")
    );
    let unknown = pb::ListSurveysRequest {
        state: 9,
        ..Default::default()
    };
    check_refused(
        of.surveys.list_surveys(unknown).await,
        Code::InvalidArgument,
        "FIELD_INVALID",
    );
}

async fn a_page_of_large_surveys_fits_into_a_message(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let large = |index: usize| pb::Question {
        text: "€".repeat(1_000),
        ..question(&format!("q{index}"), pb::QuestionKind::Nps)
    };
    for index in 0..20 {
        let questions = (0..100).map(large).collect();
        of.create(pb::Survey {
            questions,
            ..survey(&format!("s{index}"))
        })
        .await
        .unwrap();
    }
    let (mut found, mut page_token) = (0, String::new());
    loop {
        let list = pb::ListSurveysRequest {
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = of.surveys.list_surveys(list).await.unwrap().into_inner();
        found += page.surveys.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, 20);
}

async fn lists_are_read_by_an_index(store: TestStore) {
    let suite = Suite::new(store).await;
    let id = "00000000-0000-4000-8000-000000000000";
    for (filter, index) in [("", "pkey"), ("AND state = 'draft'", "survey_state")] {
        let sql = format!(
            "SELECT * FROM survey WHERE tenant = TENANT {filter} AND id > TENANT ORDER BY id LIMIT 50"
        );
        let plan: Vec<String> = match suite.store.engine {
            Engine::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&suite.store.url).await.unwrap();
                let sql = format!(
                    "EXPLAIN QUERY PLAN {}",
                    sql.replace("TENANT", "x'00000000000040008000000000000000'")
                );
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
                    .fetch_all(&pool)
                    .await
                    .unwrap();
                rows.iter().map(|row| row.get::<String, _>(3)).collect()
            }
            Engine::Postgres => {
                let pool = sqlx::postgres::PgPoolOptions::new()
                    .max_connections(1)
                    .connect(&suite.store.url)
                    .await
                    .unwrap();
                // Empty tables are scanned whatever the index.
                for off in ["enable_seqscan", "enable_bitmapscan"] {
                    sqlx::query(sqlx::AssertSqlSafe(format!("SET {off} = off")))
                        .execute(&pool)
                        .await
                        .unwrap();
                }
                let sql = format!("EXPLAIN {}", sql.replace("TENANT", &format!("'{id}'")));
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                    .fetch_all(&pool)
                    .await
                    .unwrap()
            }
        };
        let plan = plan.join("\n");
        assert!(
            !plan.to_lowercase().contains("temp b-tree") && !plan.contains("Sort"),
            "{plan}"
        );
        assert!(
            plan.contains(index) || plan.contains("PRIMARY KEY") || plan.contains("autoindex"),
            "{plan}"
        );
    }
}

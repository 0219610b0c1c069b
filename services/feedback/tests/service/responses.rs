//! Recording one response.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::{CustomerId, Micros, SourceKey};
use tonic::Code;

use crate::suite::{
    DAY, Suite, by_id, check_refused, customer, number, refused, response, survey, text, time,
};

on_both_engines!(
    a_response_is_read_as_it_was_given,
    wrong_answers_are_all_named,
    anonymous_and_early_answers,
    a_correction_keeps_what_was_said_before,
    a_repeated_request_gets_the_first_answer,
    the_customer_is_fixed,
    tenants_do_not_meet,
);

async fn a_response_is_read_as_it_was_given(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    let survey = of.published("s").await;
    let given = vec![
        number("nps", 9),
        text("why", "schnell – 很好 🙂"),
        number("wait", 1),
    ];
    let answer = of.record(response("r", given.clone()), "").await.unwrap();
    assert!(!answer.change_token.is_empty());
    let stored = answer.response.unwrap();
    assert_eq!((stored.version, &stored.answers), (1, &given));
    assert_eq!(stored.survey, Some(by_id(&survey.id)));
    assert_eq!(
        (stored.answer_time, stored.channel()),
        (Some(time(DAY)), common::Channel::WebSurvey)
    );
    assert_eq!(of.response("r").await.unwrap(), stored);
    check_refused(of.response("none").await, Code::NotFound, "RECORD_UNKNOWN");
    let again = of.record(response("r", given), "").await.unwrap();
    assert_eq!(
        (again.response.unwrap(), again.change_token.as_str()),
        (stored, "")
    );
}

async fn wrong_answers_are_all_named(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.create(survey("s")).await.unwrap();
    let early = of.record(response("r", vec![number("nps", 9)]), "").await;
    check_refused(early, Code::FailedPrecondition, "WRONG_STATE");
    of.publish("s").await.unwrap();
    let answers = vec![
        number("nps", 11),
        number("csat", 0),
        text("ces", "easy"),
        number("why", 1),
        number("nps", 3),
        number("price", 3),
    ];
    let (code, reason, fields) = refused(of.record(response("r", answers), "").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "FIELD_INVALID")
    );
    assert_eq!(
        fields,
        [
            "response.answers[0].number",
            "response.answers[1].number",
            "response.answers[2].text",
            "response.answers[3].number",
            "response.answers[4].question",
            "response.answers[5].question",
        ]
    );
    let unknown = pb::Response {
        survey: Some(crate::suite::keyed("none")),
        ..response("r", vec![number("nps", 9)])
    };
    check_refused(
        of.record(unknown, "").await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );
    check_refused(of.response("r").await, Code::NotFound, "RECORD_UNKNOWN");
}

async fn anonymous_and_early_answers(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let anonymous = pb::Response {
        customer: None,
        key: None,
        ..response("", vec![number("nps", 3)])
    };
    let one = of
        .record(anonymous.clone(), "")
        .await
        .unwrap()
        .response
        .unwrap();
    let two = of.record(anonymous, "").await.unwrap().response.unwrap();
    assert_eq!((one.customer, &one.key), (None, &None));
    assert_ne!(one.id, two.id, "without a key each is a record of its own");

    // A customer that no service knows yet gets the id that every service will compute.
    let early = of
        .record(response("r", vec![number("nps", 9)]), "")
        .await
        .unwrap()
        .response
        .unwrap();
    let expected = suite
        .ids
        .tenant(suite.ids.tenant_id("default"))
        .id("customer", &SourceKey::new("test", "r"));
    let Some(common::customer_ref::Customer::Id(id)) = early.customer.unwrap().customer else {
        panic!("no id")
    };
    assert_eq!(id, CustomerId(expected).to_string());
    let by_id = common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Id(id)),
    };
    let same = pb::Response {
        customer: Some(by_id),
        ..response("r", vec![number("nps", 9)])
    };
    assert_eq!(
        of.record(same, "").await.unwrap().change_token,
        "",
        "the same customer by its id"
    );
}

async fn a_correction_keeps_what_was_said_before(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let first = of
        .record(
            response("r", vec![number("nps", 2), text("why", "late")]),
            "one",
        )
        .await
        .unwrap();
    suite.clock.set(Micros(suite.clock.now().0 + 1_000_000));
    let second = of
        .record(
            response("r", vec![number("nps", 8), text("why", "came after all")]),
            "two",
        )
        .await
        .unwrap();
    let (first, second) = (first.response.unwrap(), second.response.unwrap());
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(first.create_time, second.create_time);
    assert_ne!(first.update_time, second.update_time);
    assert_eq!(of.response("r").await.unwrap(), second);
    // The first answer, from the history.
    let again = of
        .record(
            response("r", vec![number("nps", 2), text("why", "late")]),
            "one",
        )
        .await
        .unwrap();
    assert_eq!(again.response.unwrap(), first);
    // Back to what was said first: without revisions that is an old resend.
    let back = of
        .record(
            response("r", vec![number("nps", 2), text("why", "late")]),
            "three",
        )
        .await
        .unwrap();
    assert_eq!(
        (back.response.unwrap(), back.change_token.as_str()),
        (second, "")
    );
}

async fn a_repeated_request_gets_the_first_answer(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    let keyless = pb::Response {
        key: None,
        ..response("r", vec![number("nps", 2)])
    };
    let first = of.record(keyless.clone(), "one").await.unwrap();
    assert_eq!(of.record(keyless.clone(), "one").await.unwrap(), first);
    let other = pb::Response {
        answers: vec![number("nps", 3)],
        ..keyless
    };
    check_refused(
        of.record(other, "one").await,
        Code::FailedPrecondition,
        "REQUEST_ID_REUSED",
    );
    let dry = pb::RecordResponseRequest {
        response: Some(response("dry", vec![number("nps", 3)])),
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(
        of.responses
            .record_response(dry)
            .await
            .unwrap()
            .into_inner()
            .change_token,
        ""
    );
    check_refused(of.response("dry").await, Code::NotFound, "RECORD_UNKNOWN");
}

async fn the_customer_is_fixed(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default");
    of.published("s").await;
    of.record(response("r", vec![number("nps", 2)]), "")
        .await
        .unwrap();
    for other in [None, Some(customer("another"))] {
        let moved = pb::Response {
            customer: other,
            ..response("r", vec![number("nps", 3)])
        };
        let (code, reason, fields) = refused(of.record(moved, "").await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "CUSTOMER_FIXED"),
            "{fields:?}"
        );
    }
}

async fn tenants_do_not_meet(store: TestStore) {
    let suite = Suite::new(store).await;
    let (mut one, mut two) = (suite.of("one"), suite.of("two"));
    one.published("s").await;
    let mine = one
        .record(
            response("r", vec![number("nps", 2), text("why", "mine")]),
            "id",
        )
        .await
        .unwrap()
        .response
        .unwrap();
    // The same survey key is another survey, and there is none.
    check_refused(
        two.record(response("r", vec![number("nps", 2)]), "id")
            .await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );
    check_refused(two.response("r").await, Code::NotFound, "RECORD_UNKNOWN");
    let stolen = two
        .responses
        .get_response(pb::GetResponseRequest {
            response: Some(by_id(&mine.id)),
        })
        .await;
    check_refused(stolen, Code::NotFound, "RECORD_UNKNOWN");
    let survey = pb::GetSurveyRequest {
        survey: mine.survey.clone(),
    };
    check_refused(
        two.surveys.get_survey(survey).await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );
    let theirs = pb::Response {
        survey: mine.survey.clone(),
        ..response("r", vec![number("nps", 2)])
    };
    check_refused(
        two.record(theirs, "").await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );

    two.published("s").await;
    let other = two
        .record(response("r", vec![number("nps", 7)]), "id")
        .await
        .unwrap()
        .response
        .unwrap();
    assert_ne!((&mine.id, &mine.customer), (&other.id, &other.customer));
    assert_eq!(one.response("r").await.unwrap(), mine);
    let list = pb::ListSurveysRequest::default();
    assert_eq!(
        two.surveys
            .list_surveys(list)
            .await
            .unwrap()
            .into_inner()
            .surveys
            .len(),
        1
    );
}

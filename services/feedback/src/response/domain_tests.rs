//! The rules of answers and of resent responses, as tables.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use regard_types::{CustomerId, Micros, RecordId, Uuid};

use super::domain::*;
use crate::survey::{Measured, NewSurvey, Question, QuestionKind, Scale, State, Survey};

fn question(code: &str, kind: QuestionKind, scale: Option<Scale>) -> Question {
    let measured = scale.map(|scale| Measured {
        metric: kind.as_str().to_owned(),
        dimension: "service".to_owned(),
        scale,
    });
    Question {
        code: code.to_owned(),
        text: "?".to_owned(),
        kind,
        measured,
    }
}

fn survey() -> Survey {
    let scale = |min, max, reversed| Some(Scale { min, max, reversed });
    Survey {
        id: RecordId(Uuid::nil()),
        version: 2,
        created: Micros(0),
        updated: Micros(0),
        state: State::Published,
        content: NewSurvey {
            key: None,
            name: "after delivery".to_owned(),
            questions: vec![
                question("nps", QuestionKind::Nps, scale(0, 10, false)),
                question("effort", QuestionKind::Rating, scale(1, 5, true)),
                question("why", QuestionKind::Text, None),
            ],
        },
    }
}

fn number(question: &str, number: i32) -> Answer {
    Answer {
        question: question.to_owned(),
        value: Value::Number(number),
    }
}

fn text(question: &str, text: &str) -> Answer {
    Answer {
        question: question.to_owned(),
        value: Value::Text(text.to_owned()),
    }
}

fn wrong(answers: &[Answer]) -> Vec<String> {
    wrong_answers("a", &survey(), answers)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

#[test]
fn good_answers() {
    assert!(wrong(&[number("nps", 0), number("effort", 5), text("why", "slow")]).is_empty());
    assert!(wrong(&[number("nps", 10)]).is_empty());
}

#[test]
fn every_wrong_answer_is_named() {
    let answers = [
        number("nps", 11),
        number("effort", 0),
        number("why", 3),
        text("nps", "ten"),
        number("price", 3),
        text("why", ""),
    ];
    assert_eq!(
        wrong(&answers),
        [
            "a[0].number",
            "a[1].number",
            "a[2].number",
            "a[3].question",
            "a[3].text",
            "a[4].question",
            "a[5].question",
            "a[5].text"
        ]
    );
}

#[test]
fn measures_are_coded_so_that_high_is_good_and_hold_no_text() {
    let survey = survey();
    let answers = [number("effort", 1), text("why", "slow"), number("nps", 7)];
    let measured = measures(&survey, &answers);
    let told: Vec<_> = measured.iter().map(|m| (m.question, m.value)).collect();
    assert_eq!(told, [("effort", 5), ("nps", 7)]);
}

#[test]
fn what_a_resent_response_means() {
    let ann = Some(CustomerId(Uuid::from_u128(1)));
    let bob = Some(CustomerId(Uuid::from_u128(2)));
    let known = |revision, seen| {
        Some(Known {
            version: 3,
            revision,
            customer: ann,
            seen,
        })
    };
    let revise = |revision| Verdict::Revise {
        version: 4,
        revision,
    };
    for (known, revision, customer, expected) in [
        (None, 0, ann, Verdict::New),
        (None, 7, None, Verdict::New),
        (known(0, true), 0, ann, Verdict::Unchanged),
        (known(0, false), 0, ann, revise(0)),
        (known(5, false), 0, ann, revise(5)),
        (known(5, true), 0, ann, Verdict::Unchanged),
        (known(5, false), 4, ann, Verdict::Unchanged),
        (known(5, false), 5, ann, Verdict::Unchanged),
        (known(5, true), 6, ann, revise(6)),
        (known(5, false), 6, ann, revise(6)),
        (known(5, false), 6, bob, Verdict::CustomerFixed),
        (known(5, false), 6, None, Verdict::CustomerFixed),
        (known(0, false), 0, bob, Verdict::CustomerFixed),
        (known(5, false), 5, bob, Verdict::Unchanged),
    ] {
        assert_eq!(
            judge(known, revision, customer),
            expected,
            "{known:?} {revision} {customer:?}"
        );
    }
}

fn response(answers: Vec<Answer>) -> NewResponse {
    NewResponse {
        key: None,
        survey: RecordId(Uuid::nil()),
        customer: None,
        answered: Micros(5),
        channel: None,
        answers,
        revision: 0,
    }
}

proptest! {
    /// Rows of one key with revisions, in any order and any number of times, end in the newest one.
    #[test]
    fn revisions_in_any_order_end_in_the_newest(revisions in prop::collection::vec(1..6i64, 1..20)) {
        let mut known: Option<Known> = None;
        for revision in &revisions {
            match judge(known, *revision, None) {
                Verdict::New => known = Some(Known { version: 1, revision: *revision, customer: None, seen: false }),
                Verdict::Revise { version, revision } => {
                    known = Some(Known { version, revision, customer: None, seen: false });
                }
                Verdict::Unchanged => {}
                Verdict::CustomerFixed => prop_assert!(false),
            }
        }
        prop_assert_eq!(known.unwrap().revision, *revisions.iter().max().unwrap());
    }

    #[test]
    fn contents_are_equal_when_their_bytes_are(
        one in prop::collection::btree_map("[ab]{1,2}", 0..3i32, 0..3),
        two in prop::collection::btree_map("[ab]{1,2}", 0..3i32, 0..3),
    ) {
        let content = |map: &std::collections::BTreeMap<String, i32>, back: bool| {
            let mut answers: Vec<_> = map.iter().map(|(q, n)| number(q, *n)).collect();
            if back {
                answers.reverse();
            }
            response(answers).bytes()
        };
        prop_assert_eq!(content(&one, false), content(&one, true));
        prop_assert_eq!(content(&one, false) == content(&two, false), one == two);
    }

    #[test]
    fn any_answers_are_judged_without_panic(
        answers in prop::collection::vec(("(nps|effort|why|x)", prop::option::of(any::<i32>()), "[a-z]{0,2}"), 0..8),
    ) {
        let answers: Vec<_> = answers
            .into_iter()
            .map(|(question, n, t)| Answer { question, value: n.map_or(Value::Text(t), Value::Number) })
            .collect();
        let survey = survey();
        let bad = wrong_answers("a", &survey, &answers);
        if bad.is_empty() {
            for measure in measures(&survey, &answers) {
                prop_assert!(measure.measured.scale.holds(measure.value));
            }
        }
    }
}

//! The rules of questions, as tables.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::domain::*;

fn sent(kind: QuestionKind) -> SentQuestion {
    SentQuestion {
        code: "q".to_owned(),
        text: "?".to_owned(),
        kind,
        dimension: if kind == QuestionKind::Text {
            String::new()
        } else {
            "service".to_owned()
        },
        metric: if kind == QuestionKind::Rating {
            "recommend".to_owned()
        } else {
            String::new()
        },
        scale_min: i32::from(kind == QuestionKind::Rating),
        scale_max: if kind == QuestionKind::Rating { 10 } else { 0 },
        reversed: false,
    }
}

fn check(question: SentQuestion) -> Result<Question, Vec<String>> {
    match questions("survey.questions", vec![question]) {
        Ok(mut good) => Ok(good.remove(0)),
        Err(wrong) => {
            let field = |(field, _): Wrong| {
                field
                    .strip_prefix("survey.questions[0].")
                    .unwrap()
                    .to_owned()
            };
            Err(wrong.into_iter().map(field).collect())
        }
    }
}

fn ends(kind: QuestionKind, min: i32, max: i32) -> Option<(i32, i32)> {
    let question = SentQuestion {
        scale_min: min,
        scale_max: max,
        ..sent(kind)
    };
    let measured = check(question).ok()?.measured?;
    Some((measured.scale.min, measured.scale.max))
}

#[test]
fn each_kind_has_its_scales() {
    use QuestionKind::{Ces, Csat, Nps, Rating};
    for (kind, min, max, expected) in [
        (Nps, 0, 0, Some((0, 10))),
        (Nps, 0, 10, Some((0, 10))),
        (Nps, 1, 10, None),
        (Nps, 0, 5, None),
        (Csat, 0, 0, Some((1, 5))),
        (Csat, 1, 5, Some((1, 5))),
        (Csat, 0, 7, Some((1, 7))),
        (Csat, 0, 10, Some((1, 10))),
        (Csat, 0, 6, None),
        (Csat, 2, 5, None),
        (Ces, 0, 0, Some((1, 7))),
        (Ces, 1, 7, Some((1, 7))),
        (Ces, 0, 5, None),
        (Rating, 1, 10, Some((1, 10))),
        (Rating, 0, 100, Some((0, 100))),
        (Rating, 5, 5, None),
        (Rating, 6, 5, None),
        (Rating, 0, 0, None),
        (Rating, 0, 101, None),
        (Rating, -1, 5, None),
    ] {
        assert_eq!(ends(kind, min, max), expected, "{kind:?} {min} to {max}");
    }
}

#[test]
fn a_fixed_metric_takes_the_kind_s_name_and_a_rating_its_own() {
    for kind in [QuestionKind::Nps, QuestionKind::Csat, QuestionKind::Ces] {
        assert_eq!(
            check(sent(kind)).unwrap().measured.unwrap().metric,
            kind.as_str()
        );
    }
    assert_eq!(
        check(sent(QuestionKind::Rating))
            .unwrap()
            .measured
            .unwrap()
            .metric,
        "recommend"
    );
    assert_eq!(check(sent(QuestionKind::Text)).unwrap().measured, None);
}

#[test]
fn what_does_not_belong_is_named() {
    let base = |kind| sent(kind);
    let cases: [(&str, SentQuestion); 9] = [
        (
            "metric",
            SentQuestion {
                metric: "nps".to_owned(),
                ..base(QuestionKind::Rating)
            },
        ),
        (
            "metric",
            SentQuestion {
                metric: String::new(),
                ..base(QuestionKind::Rating)
            },
        ),
        (
            "metric",
            SentQuestion {
                metric: "own".to_owned(),
                ..base(QuestionKind::Nps)
            },
        ),
        (
            "dimension",
            SentQuestion {
                dimension: String::new(),
                ..base(QuestionKind::Csat)
            },
        ),
        (
            "dimension",
            SentQuestion {
                dimension: "price".to_owned(),
                ..base(QuestionKind::Text)
            },
        ),
        (
            "scale_max",
            SentQuestion {
                scale_max: 5,
                ..base(QuestionKind::Text)
            },
        ),
        (
            "metric",
            SentQuestion {
                metric: "m".to_owned(),
                ..base(QuestionKind::Text)
            },
        ),
        (
            "reversed",
            SentQuestion {
                reversed: true,
                ..base(QuestionKind::Ces)
            },
        ),
        (
            "reversed",
            SentQuestion {
                reversed: true,
                ..base(QuestionKind::Text)
            },
        ),
    ];
    for (field, question) in cases {
        let described = format!("{question:?}");
        assert_eq!(check(question), Err(vec![field.to_owned()]), "{described}");
    }
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let bad = SentQuestion {
        dimension: String::new(),
        metric: "csat".to_owned(),
        scale_min: 9,
        scale_max: 3,
        ..sent(QuestionKind::Rating)
    };
    let twice = sent(QuestionKind::Nps);
    let wrong = questions("survey.questions", vec![bad, twice.clone(), twice]).unwrap_err();
    let fields: Vec<_> = wrong.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "survey.questions[0].dimension",
            "survey.questions[0].metric",
            "survey.questions[0].scale_max",
            "survey.questions[1].code",
            "survey.questions[2].code",
        ]
    );
}

#[test]
fn publishing_is_possible_once() {
    assert_eq!(State::Draft.publish(), Some(State::Published));
    assert_eq!(State::Published.publish(), None);
}

proptest! {
    #[test]
    fn any_question_is_judged_without_panic(
        kind in prop::sample::select(QuestionKind::ALL.to_vec()),
        scale_min: i32,
        scale_max: i32,
        reversed: bool,
        dimension in "[a-z]{0,3}",
        metric in "[a-z]{0,3}",
    ) {
        let question = SentQuestion { dimension, metric, scale_min, scale_max, reversed, ..sent(kind) };
        match check(question) {
            Ok(question) => {
                prop_assert_eq!(question.measured.is_some(), kind != QuestionKind::Text);
                if let Some(Measured { scale, dimension, .. }) = question.measured {
                    prop_assert!(0 <= scale.min && scale.min < scale.max && scale.max <= 100);
                    prop_assert!(!dimension.is_empty());
                }
            }
            Err(fields) => prop_assert!(!fields.is_empty()),
        }
    }

    #[test]
    fn coding_stays_on_the_scale_and_undoes_itself(min in 0..100i32, width in 1..100i32, step: u32, reversed: bool) {
        let max = min + width;
        let scale = Scale { min, max, reversed };
        let number = min + i32::try_from(step % (width.unsigned_abs() + 1)).unwrap();
        prop_assert!(scale.holds(number) && scale.holds(scale.coded(number)));
        prop_assert_eq!(scale.coded(scale.coded(number)), number);
        prop_assert!(!scale.holds(min - 1) && !scale.holds(max + 1));
    }
}

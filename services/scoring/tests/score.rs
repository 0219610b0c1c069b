//! Scores as pure functions: defined or explained for every customer, never a number that is none.
#![allow(clippy::unwrap_used)]

mod common;

use common::{basis, day, event, id, noon, order, refund, serving};
use regard_models::Grade;
use regard_scoring::definition::Book;
use regard_scoring::event::domain::pack_scale;
use regard_scoring::event::{Event, Kind};
use regard_scoring::score::domain::{Basis, ScoreValue, Serving, score_all};
use regard_scoring::score::explain::{Explanation, explain};
use regard_scoring::summary::{Summary, fold};
use regard_types::Zone;

const ON: &str = "1997-09-30";

fn at(events: &[Event]) -> Summary {
    fold(events, &Zone::utc(), day(ON))
}

fn named<'a>(book: &Book, values: &'a [ScoreValue], name: &str) -> &'a ScoreValue {
    &values[book.score(name).unwrap()]
}

/// All scores and explanations of a customer: finite, in range, and each absent one says why.
fn checked(s: &Summary, basis: Basis, serving: &Serving) -> Vec<ScoreValue> {
    let book = Book::shipped().unwrap();
    let values = score_all(&book, s, basis, serving);
    assert_eq!(values.len(), 7);
    for (place, (value, definition)) in values.iter().zip(&book.scores).enumerate() {
        assert_eq!(value.definition, place);
        assert!(
            value.value.is_some() || !value.reasons.is_empty(),
            "{}: absent without a reason",
            definition.name
        );
        if let Some(v) = value.value {
            assert!(v.is_finite());
            if definition.unit == "probability" {
                assert!((0.0..=1.0).contains(&v), "{} = {v}", definition.name);
            }
        } else {
            assert!(value.interval.is_none() && value.band.is_empty());
        }
        if let Some((low, high, level)) = value.interval {
            assert!(
                low.is_finite() && high.is_finite() && low <= high && level > 0.0 && level < 1.0
            );
        }
        let e = explain(place, definition, s, basis, serving);
        assert_eq!(&e.score, value, "the explanation is of another score");
        sound(&e);
    }
    values
}

fn sound(e: &Explanation) {
    assert!(
        e.facts
            .iter()
            .all(|f| f.value.is_finite() && !f.description.is_empty())
    );
    assert!(
        e.contributions
            .iter()
            .all(|c| c.effect.is_finite() && !c.description.is_empty()),
        "{:?}",
        e.contributions
    );
    assert!(
        e.contributions
            .windows(2)
            .all(|w| w[0].effect.abs() >= w[1].effect.abs()),
        "the largest first: {:?}",
        e.contributions
    );
    assert!(e.parameters.iter().all(|(_, v)| v.is_finite()));
    assert!(
        !e.summary.is_empty() && !e.summary.contains("NaN") && !e.summary.contains("inf "),
        "{}",
        e.summary
    );
}

#[test]
fn a_customer_with_one_order() {
    let book = Book::shipped().unwrap();
    for on in ["1997-01-01", ON] {
        let v = checked(&at(&[order(1, on, 2933)]), basis(ON), &serving());
        for name in [
            "rfm",
            "p_alive",
            "expected_purchases",
            "no_purchase_13w",
            "residual_clv",
            "historic_value",
        ] {
            assert!(
                named(&book, &v, name).value.is_some(),
                "{name}: {:?}",
                named(&book, &v, name)
            );
        }
        assert_eq!(named(&book, &v, "historic_value").value, Some(2933.0));
        assert!(named(&book, &v, "p_alive").value.unwrap() < 1.0);
        assert!(
            named(&book, &v, "residual_clv")
                .reasons
                .iter()
                .any(|r| r.contains("population"))
        );
        assert!(named(&book, &v, "satisfaction").value.is_none());
    }
}

#[test]
fn a_customer_with_no_order() {
    let book = Book::shipped().unwrap();
    let v = checked(
        &at(&[event(Kind::Customer, 1, 1, noon("1997-01-01"))]),
        basis(ON),
        &serving(),
    );
    for name in [
        "rfm",
        "p_alive",
        "expected_purchases",
        "no_purchase_13w",
        "residual_clv",
        "satisfaction",
    ] {
        assert!(named(&book, &v, name).value.is_none(), "{name}");
    }
    let historic = named(&book, &v, "historic_value");
    assert_eq!((historic.value, historic.n), (Some(0.0), 0));
    assert!(!historic.reasons.is_empty());
}

#[test]
fn a_customer_with_only_refunds() {
    let book = Book::shipped().unwrap();
    let unlinked = checked(
        &at(&[refund(1, "1997-02-01", 500, None)]),
        basis(ON),
        &serving(),
    );
    assert_eq!(
        named(&book, &unlinked, "historic_value").value,
        Some(-500.0)
    );
    assert!(
        named(&book, &unlinked, "historic_value")
            .reasons
            .iter()
            .any(|r| r.contains("exceed"))
    );
    // Everything sent back.
    let back = checked(
        &at(&[
            order(1, "1997-01-01", 500),
            refund(2, "1997-02-01", 500, Some(1)),
        ]),
        basis(ON),
        &serving(),
    );
    assert_eq!(named(&book, &back, "historic_value").value, Some(0.0));
    assert!(named(&book, &back, "p_alive").value.is_none());
    // A refund of an order that nobody has told of.
    let early = checked(
        &at(&[refund(1, "1997-02-01", 500, Some(77))]),
        basis(ON),
        &serving(),
    );
    assert_eq!(named(&book, &early, "historic_value").value, Some(0.0));
    // Repeat days whose value is eaten up: the population's mean value is used.
    let eaten = [
        order(1, "1997-01-01", 500),
        order(2, "1997-03-01", 500),
        refund(3, "1997-04-01", 1000, None),
    ];
    let eaten = checked(&at(&eaten), basis(ON), &serving());
    assert!(named(&book, &eaten, "residual_clv").value.is_some());
}

#[test]
fn a_customer_with_an_order_in_the_future() {
    let book = Book::shipped().unwrap();
    let v = checked(&at(&[order(1, "1998-01-01", 500)]), basis(ON), &serving());
    assert!(named(&book, &v, "p_alive").value.is_none());
    let both = [order(1, "1997-01-01", 500), order(2, "1998-01-01", 500)];
    let v = checked(&at(&both), basis(ON), &serving());
    assert_eq!(named(&book, &v, "historic_value").value, Some(500.0));
    assert_eq!(named(&book, &v, "expected_purchases").n, 1);
}

#[test]
fn without_models_scores_say_so() {
    let book = Book::shipped().unwrap();
    let v = checked(
        &at(&[order(1, "1997-01-01", 500)]),
        basis(ON),
        &Serving::default(),
    );
    assert!(named(&book, &v, "p_alive").reasons[0].contains("FitModel"));
    assert_eq!(named(&book, &v, "historic_value").grade, Grade::A);
}

#[test]
fn extreme_customers_give_numbers_or_reasons() {
    let many: Vec<Event> = (0..270)
        .map(|n| Event {
            value: i64::MAX / 400,
            ..order(n, "1997-01-02", 0)
        })
        .enumerate()
        .map(|(n, e)| Event {
            occurred: regard_types::Micros(
                e.occurred.0 + i64::try_from(n).unwrap() * 86_400 * regard_types::Micros::SECOND,
            ),
            ..e
        })
        .collect();
    checked(&at(&many), basis(ON), &serving());
    let old = fold(
        &[order(1, "1900-01-01", 1), order(2, "1900-01-02", 1)],
        &Zone::utc(),
        day("2099-12-31"),
    );
    checked(&old, basis("2099-12-31"), &serving());
    let saturated = [
        order(1, "1997-01-01", i64::MAX),
        order(2, "1997-01-03", i64::MAX),
        refund(3, "1997-01-04", i64::MAX, None),
        refund(4, "1997-01-05", i64::MAX, None),
    ];
    checked(&at(&saturated), basis(ON), &serving());
}

#[test]
fn an_unknown_past_is_flagged() {
    let book = Book::shipped().unwrap();
    let s = at(&[order(1, "1997-07-01", 500)]);
    let basis = Basis {
        history_start: Some(day("1997-07-01")),
        ..basis(ON)
    };
    let v = checked(&s, basis, &serving());
    let p = named(&book, &v, "expected_purchases");
    assert!(p.grade >= Grade::D && p.reasons.iter().any(|r| r.contains("history_start")));
    let new = Summary {
        since: Some(day("1997-07-01")),
        ..s
    };
    assert_eq!(
        named(
            &book,
            &checked(&new, basis, &serving()),
            "expected_purchases"
        )
        .grade,
        Grade::B
    );
}

#[test]
fn historic_value_is_the_sum_of_its_contributions() {
    let book = Book::shipped().unwrap();
    let events = [
        order(1, "1997-01-01", 1000),
        order(2, "1997-02-01", 500),
        refund(3, "1997-02-09", 200, Some(2)),
        refund(4, "1997-03-01", 50, None),
    ];
    let place = book.score("historic_value").unwrap();
    let e = explain(
        place,
        &book.scores[place],
        &at(&events),
        basis(ON),
        &serving(),
    );
    let sum: f64 = e.contributions.iter().map(|c| c.effect).sum();
    assert_eq!((e.score.value, sum), (Some(1250.0), 1250.0));
}

#[test]
fn satisfaction_is_the_weighted_mean_of_its_parts() {
    let book = Book::shipped().unwrap();
    let answer = |record, dimension: &str, value| Event {
        value,
        aux: pack_scale(1, 10),
        link: Some(id(500)),
        dimension: dimension.into(),
        question: dimension.into(),
        ..event(Kind::Answer, 1, record, noon("1997-09-01"))
    };
    let s = at(&[
        answer(1, "overall_satisfaction", 8),
        answer(2, "product_quality", 7),
    ]);
    let v = checked(&s, basis(ON), &serving());
    let expected = (0.5 * 700.0 / 9.0 + 0.1 * 600.0 / 9.0) / 0.6;
    let satisfaction = named(&book, &v, "satisfaction");
    assert!((satisfaction.value.unwrap() - expected).abs() < 1e-9);
    assert_eq!(satisfaction.n, 2);
    let little = checked(
        &at(&[answer(2, "product_quality", 7)]),
        basis(ON),
        &serving(),
    );
    assert!(named(&book, &little, "satisfaction").value.is_none());
    let late = fold(
        &[answer(1, "overall_satisfaction", 8)],
        &Zone::utc(),
        day("1998-09-01"),
    );
    let late = checked(&late, basis("1998-09-01"), &serving());
    assert!(
        named(&book, &late, "satisfaction").value.is_none(),
        "an answer of a year ago no longer counts"
    );
}

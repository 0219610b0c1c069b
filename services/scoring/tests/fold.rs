//! The fold: counting rules, and that neither order nor repeats of events matter.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{day, event, id, noon, order, refund};
use proptest::prelude::*;
use regard_scoring::event::domain::pack_scale;
use regard_scoring::event::{Event, Kind};
use regard_scoring::summary::{Summary, fold};
use regard_types::{CustomerId, Micros, RecordId, Zone};

fn at(events: &[Event], on: &str) -> Summary {
    fold(events, &Zone::utc(), day(on))
}

#[test]
fn orders_of_a_day_count_once_and_their_values_add_up() {
    let s = at(
        &[
            order(1, "1997-01-01", 1000),
            order(2, "1997-01-01", 500),
            order(3, "1997-01-15", 2000),
        ],
        "1997-02-01",
    );
    assert_eq!(
        (s.purchase_days, s.orders, s.units, s.gross, s.repeat_net),
        (2, 3, 3, 3500, 2000)
    );
    assert_eq!(
        (s.first_day, s.last_day),
        (Some(day("1997-01-01")), Some(day("1997-01-15")))
    );
    let stat = s.stat(day("1997-02-05")).unwrap();
    assert_eq!((stat.x, stat.t_x, stat.t), (1.0, 2.0, 5.0));
    stat.validate().unwrap();
    assert!(
        s.stat(day("1997-01-10")).is_none(),
        "the summary knows more than that day did"
    );
}

#[test]
fn an_order_of_no_value_counts() {
    let s = at(
        &[order(1, "1997-01-01", 0), order(2, "1997-01-09", 0)],
        "1997-02-01",
    );
    assert_eq!((s.purchase_days, s.gross), (2, 0));
}

#[test]
fn a_day_that_is_refunded_in_full_does_not_count_but_its_money_does() {
    let events = [
        order(1, "1997-01-01", 1000),
        order(2, "1997-01-05", 700),
        refund(3, "1997-01-20", 400, Some(2)),
        refund(4, "1997-01-25", 300, Some(2)),
    ];
    let before = at(&events, "1997-01-24");
    assert_eq!(
        (before.purchase_days, before.repeat_net, before.net()),
        (2, 300, 1300)
    );
    assert_eq!(before.next_day, Some(day("1997-01-25")));
    let after = at(&events, "1997-01-25");
    assert_eq!(
        (
            after.purchase_days,
            after.x(),
            after.repeat_net,
            after.net()
        ),
        (1, 0, 0, 1000)
    );
    assert_eq!(after.stat(day("1997-02-01")).unwrap().t_x, 0.0);
    // Another order of that day keeps it.
    let kept = at(
        &[&events[..], &[order(5, "1997-01-05", 100)]].concat(),
        "1997-01-25",
    );
    assert_eq!((kept.purchase_days, kept.repeat_net), (2, 100));
}

#[test]
fn unlinked_refunds_reduce_the_whole_and_never_a_day() {
    let s = at(
        &[
            order(1, "1997-01-01", 1000),
            order(2, "1997-01-05", 1000),
            refund(3, "1997-01-06", 500, None),
        ],
        "1997-02-01",
    );
    assert_eq!((s.purchase_days, s.net(), s.repeat_net), (2, 1500, 1000));
    assert_eq!(s.net_factor(), 0.75);
    assert_eq!(s.mean_repeat(), Some(750.0));
}

#[test]
fn a_refund_before_its_order_waits_for_it() {
    let s = at(&[refund(3, "1997-01-06", 500, Some(1))], "1997-02-01");
    assert_eq!((s.purchase_days, s.net(), s.refunded), (0, 0, 0));
}

#[test]
fn the_latest_version_counts_and_a_correction_moves_the_day() {
    let first = order(1, "1997-01-01", 1000);
    let moved = Event {
        version: 2,
        value: 900,
        occurred: noon("1997-01-03"),
        ..first.clone()
    };
    let voided = Event {
        version: 3,
        live: false,
        ..moved.clone()
    };
    let s = at(&[moved.clone(), first.clone()], "1997-02-01");
    assert_eq!(
        (s.first_day, s.gross, s.orders),
        (Some(day("1997-01-03")), 900, 1)
    );
    assert_eq!(
        at(&[voided, moved, first], "1997-02-01"),
        Summary::default()
    );
}

#[test]
fn events_of_days_to_come_wait_for_them() {
    let events = [
        order(1, "1997-01-01", 1000),
        order(2, "1997-03-01", 500),
        order(3, "1997-02-15", 500),
    ];
    let s = at(&events, "1997-02-01");
    assert_eq!((s.purchase_days, s.next_day), (1, Some(day("1997-02-15"))));
    assert_eq!(at(&events, "1997-03-01").next_day, None);
    // A complaint that is resolved on a day to come is open until then.
    let complaint = Event {
        aux: noon("1997-02-20").0,
        ..event(Kind::Complaint, 1, 9, noon("1997-01-20"))
    };
    let s = at(std::slice::from_ref(&complaint), "1997-02-01");
    assert_eq!(
        (s.complaints, s.complaints_open, s.next_day),
        (1, 1, Some(day("1997-02-20")))
    );
    assert_eq!(at(&[complaint], "1997-02-20").complaints_open, 0);
}

#[test]
fn days_are_those_of_the_zone() {
    let zone = Zone::parse("Europe/Berlin").unwrap();
    // 31 March 2024: the day has 23 hours; 23:30 UTC of the 30th and 21:59 UTC of the 31st are its first and last half hours.
    let of = |record, micros: i64| Event {
        value: 100,
        ..event(Kind::Order, 1, record, Micros(micros))
    };
    let start = day("2024-03-31").start(&Zone::utc()).0;
    let minute = 60 * Micros::SECOND;
    let s = fold(
        &[
            of(1, start - 30 * minute),
            of(2, start + (21 * 60 + 59) * minute),
        ],
        &zone,
        day("2024-04-01"),
    );
    assert_eq!((s.purchase_days, s.first_day), (1, Some(day("2024-03-31"))));
    let s = fold(
        &[of(1, start - 61 * minute), of(2, start + 22 * 60 * minute)],
        &zone,
        day("2024-04-01"),
    );
    assert_eq!(
        (s.purchase_days, s.first_day, s.last_day),
        (2, Some(day("2024-03-30")), Some(day("2024-04-01")))
    );
}

#[test]
fn the_latest_answer_to_a_question_counts() {
    let answer = |record, on: &str, value| Event {
        value,
        aux: pack_scale(1, 10),
        link: Some(id(500)),
        dimension: "overall_satisfaction".into(),
        question: "q1".into(),
        metric: "csat".into(),
        ..event(Kind::Answer, 1, record, noon(on))
    };
    let events = [
        answer(1, "1997-01-02", 9),
        answer(2, "1997-01-20", 5),
        answer(3, "1997-02-10", 1),
    ];
    let s = at(&events, "1997-02-01");
    assert_eq!(s.answers.len(), 1);
    assert_eq!(
        (s.answers[0].value, s.answers[0].day),
        (5, day("1997-01-20"))
    );
    let anonymous = Event {
        anonymous: true,
        ..answer(4, "1997-01-25", 1)
    };
    assert_eq!(
        at(&[events[1].clone(), anonymous], "1997-02-01").answers[0].value,
        5
    );
    // A version of the response without numbers takes the answer back.
    let emptied = Event {
        version: 2,
        live: false,
        ..answer(2, "1997-01-20", 0)
    };
    assert_eq!(
        at(
            &[events[0].clone(), events[1].clone(), emptied],
            "1997-02-01"
        )
        .answers[0]
            .value,
        9
    );
}

#[test]
fn cdnow_counts_2457_repeat_days() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/CDNOW_sample.txt"
    ))
    .unwrap();
    let mut customers: BTreeMap<u128, Vec<Event>> = BTreeMap::new();
    for (n, line) in (1..).zip(text.lines().filter(|l| !l.trim().is_empty())) {
        let f: Vec<&str> = line.split_whitespace().collect();
        let on = format!("{}-{}-{}", &f[2][..4], &f[2][4..6], &f[2][6..]);
        let cents: i64 = f[4].replace('.', "").parse().unwrap();
        customers
            .entry(f[0].parse().unwrap())
            .or_default()
            .push(order(n, &on, cents));
    }
    assert_eq!(customers.len(), 2357);
    let end = day("1997-09-30");
    let summaries: Vec<Summary> = customers
        .values()
        .map(|events| fold(events, &Zone::utc(), end))
        .collect();
    assert_eq!(summaries.iter().map(Summary::x).sum::<i64>(), 2457);
    assert_eq!(summaries.iter().filter(|s| s.x() > 0).count(), 946);
    for s in &summaries {
        s.stat(end).unwrap().validate().unwrap();
    }
}

/// Histories of a customer: versions of orders, refunds, answers, complaints, in small ranges so that they meet.
fn history() -> impl Strategy<Value = Vec<Event>> {
    let one = (
        0u128..6,
        1i64..4,
        0i32..60,
        -50i64..300,
        any::<bool>(),
        0u8..5,
    )
        .prop_map(|(record, version, on, value, live, what)| {
            let base = |kind, record| Event {
                version,
                occurred: Micros(i64::from(on) * 86_400 * Micros::SECOND + version),
                live: live || version % 2 == 1,
                value: value.max(0),
                ..event(kind, 1, record, Micros(0))
            };
            match what {
                0 | 1 => base(Kind::Order, record),
                2 => Event {
                    link: (value >= 0).then(|| id(record)),
                    ..base(Kind::Refund, 10 + record)
                },
                3 => Event {
                    link: Some(id(99)),
                    question: format!("q{}", record % 2),
                    aux: pack_scale(0, 10),
                    ..base(Kind::Answer, 20 + record)
                },
                _ => Event {
                    aux: if value < 0 {
                        Event::NONE
                    } else {
                        value * 86_400 * Micros::SECOND
                    },
                    ..base(Kind::Complaint, 30 + record)
                },
            }
        });
    proptest::collection::vec(one, 0..40).prop_map(|events| {
        // One content a version, as the store's key has it.
        let mut unique: BTreeMap<(Kind, RecordId, i64), Event> = BTreeMap::new();
        for e in events {
            unique.entry((e.kind, e.record, e.version)).or_insert(e);
        }
        unique.into_values().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn neither_order_nor_repeats_matter(events in history(), seed in any::<u64>(), on in 0i32..80) {
        let day = regard_types::Day(on);
        let expected = fold(&events, &Zone::utc(), day);
        let mut mixed = events.clone();
        mixed.extend(events.iter().step_by(2).cloned());
        let mut state = seed;
        for i in (1..mixed.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            mixed.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        // An arrival id of the same group is as good as another.
        for (n, e) in (0..).zip(&mut mixed) {
            e.customer = CustomerId(id(n % 3));
        }
        prop_assert_eq!(fold(&mixed, &Zone::utc(), day), expected);
    }

    #[test]
    fn superseded_versions_do_not_matter(events in history(), on in 0i32..80) {
        let day = regard_types::Day(on);
        let mut latest: BTreeMap<(Kind, RecordId), Event> = BTreeMap::new();
        for e in &events {
            let known = latest.entry((e.kind, e.record)).or_insert_with(|| e.clone());
            if e.version > known.version { *known = e.clone(); }
        }
        let only: Vec<Event> = latest.into_values().collect();
        prop_assert_eq!(fold(&only, &Zone::utc(), day), fold(&events, &Zone::utc(), day));
    }

    #[test]
    fn statistics_are_always_valid_and_hold_until_the_next_day(events in history(), on in 0i32..80, later in 0i32..20) {
        let day = regard_types::Day(on);
        let s = fold(&events, &Zone::utc(), day);
        if let Some(stat) = s.stat(day) {
            prop_assert!(stat.validate().is_ok());
        }
        let then = day.plus(later);
        if s.next_day.is_none_or(|next| next > then) {
            let mut again = fold(&events, &Zone::utc(), then);
            again.next_day = s.next_day;
            prop_assert_eq!(again, s);
        }
    }
}

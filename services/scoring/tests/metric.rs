//! Metrics, fits and operations over the stores, on both engines and on real data.
#![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

mod common;
mod market;

use common::{day, event, id, noon};
use market::{Market, value_of};
use regard_scoring::event::domain::pack_scale;
use regard_scoring::event::{Event, Kind};
use regard_scoring::metric::app::{Question, query};
use regard_scoring::metric::domain::{Grouping, Measured};
use regard_testkit::{TestStore, on_both_engines};
use regard_types::{Channel, Day};

on_both_engines!(
    cdnow_metrics,
    ecsi_metrics,
    small_groups_are_withheld,
    merges_and_refunds_count_as_known,
    wrong_questions_are_named
);

fn ask(metric: &str) -> Question {
    Question {
        metric: metric.into(),
        from: None,
        to: None,
        as_of: None,
        grouping: Grouping::Whole,
        dimension: String::new(),
        window: None,
    }
}

fn near(found: f64, expected: f64, within: f64) {
    assert!(
        (found - expected).abs() <= within,
        "{found}, expected {expected}"
    );
}

fn whole(m: &Measured) -> &regard_scoring::metric::domain::Value {
    assert_eq!(m.values.len(), 1);
    &m.values[0]
}

async fn cdnow_metrics(store: TestStore) {
    let market = Market::open(&store, Some("1998-06-30")).await;
    market.cdnow().await;
    let at = |metric, window| Question {
        window,
        ..ask(metric)
    };
    for (metric, window, share, n) in [
        ("churn_period", None, 0.476_973_684, 608),
        ("churn_period", Some(90), 0.558_441_558, 385),
        ("lapsed_share", None, 0.781_926_177, 2357),
        ("lapsed_share", Some(90), 0.873_143_827, 2357),
        ("repeat_purchase_rate", None, 0.291_472_210, 2357),
    ] {
        let m = query(&market.core, &market.caller, &at(metric, window))
            .await
            .unwrap();
        let v = whole(&m);
        near(v.value.unwrap(), share, 1e-8);
        assert_eq!(v.n, n, "{metric}");
        let (low, high) = v.interval.unwrap();
        assert!(low < share && share < high);
    }
    let m = query(
        &market.core,
        &market.caller,
        &Question {
            as_of: Some(day("1997-09-30")),
            ..ask("repeat_purchase_rate")
        },
    )
    .await
    .unwrap();
    near(value_of(whole(&m), "lifetime_rate"), 0.401_357_658, 1e-8);
    assert_eq!(m.span.from, None);
    // Everything that was ever paid; the file's own sum.
    let all = Question {
        from: Some(day("1997-01-01")),
        ..ask("revenue")
    };
    let m = query(&market.core, &market.caller, &all).await.unwrap();
    assert_eq!(whole(&m).value, Some(24_409_194.0));
    assert_eq!(whole(&m).n, 6919);
    // 1.96 * sqrt(2357) * standard deviation of the customers' sums, computed apart from the file.
    let (low, high) = whole(&m).interval.unwrap();
    near(low + high, 2.0 * 24_409_194.0, 1e-6);
    near((high - low) / 2.0, 2_064_564.711, 1e-2);
    // As of a day, what came later does not exist.
    let before = Question {
        as_of: Some(day("1997-09-30")),
        ..all
    };
    let m = query(&market.core, &market.caller, &before).await.unwrap();
    assert_eq!(m.span.to, day("1997-09-30"));
    assert!(whole(&m).value.unwrap() < 24_409_194.0);
    market.close().await;
}

async fn ecsi_metrics(store: TestStore) {
    let market = Market::open(&store, Some("2005-06-30")).await;
    market.ecsi().await;
    let m = query(&market.core, &market.caller, &ask("csat"))
        .await
        .unwrap();
    let v = whole(&m);
    near(v.value.unwrap(), 0.268, 1e-12);
    near(v.interval.unwrap().0, 0.216_911_32, 1e-6);
    near(v.interval.unwrap().1, 0.326_110_53, 1e-6);
    near(value_of(v, "mean"), 7.988, 1e-12);
    assert_eq!((v.n, value_of(v, "satisfied")), (250, 67.0));
    let m = query(&market.core, &market.caller, &ask("recommend_1_10"))
        .await
        .unwrap();
    let v = whole(&m);
    assert_eq!((v.n, m.unit.as_str()), (250, "1 to 10"));
    let (low, high) = v.interval.unwrap();
    near(v.value.unwrap(), 7.668, 1e-9);
    assert!(low < v.value.unwrap() && v.value.unwrap() < high && high - low < 1.0);
    near(value_of(v, "top_two_boxes"), 95.0 / 250.0, 1e-12);
    let m = query(
        &market.core,
        &market.caller,
        &Question {
            grouping: Grouping::Dimension,
            ..ask("csat")
        },
    )
    .await
    .unwrap();
    assert_eq!(
        m.values
            .iter()
            .map(|v| v.group.as_str())
            .collect::<Vec<_>>(),
        ["overall"]
    );
    let m = query(
        &market.core,
        &market.caller,
        &Question {
            dimension: "price".into(),
            ..ask("csat")
        },
    )
    .await
    .unwrap();
    assert!(whole(&m).value.is_none() && !whole(&m).reason.is_empty());
    market.close().await;
}

fn answer(
    customer: u128,
    record: u128,
    on: &str,
    metric: &str,
    value: i64,
    scale: (i32, i32),
) -> Event {
    Event {
        value,
        aux: pack_scale(scale.0, scale.1),
        link: Some(id(9)),
        metric: metric.into(),
        dimension: "overall".into(),
        question: "q".into(),
        channel: Some(Channel::Email),
        ..event(Kind::Answer, customer, record, noon(on))
    }
}

async fn small_groups_are_withheld(store: TestStore) {
    let market = Market::open(&store, Some("2024-06-30")).await;
    let mut events = Vec::new();
    for n in 0..6 {
        events.push(answer(100 + n, 1000 + n, "2024-06-01", "nps", 10, (0, 10)));
    }
    // The same person again, later: the later one counts. An anonymous one counts by itself.
    events.push(answer(100, 1100, "2024-06-02", "nps", 0, (0, 10)));
    events.push(Event {
        anonymous: true,
        ..answer(1200, 1200, "2024-06-02", "nps", 5, (0, 10))
    });
    events.push(Event {
        channel: Some(Channel::Phone),
        ..answer(101, 1300, "2023-06-02", "nps", 0, (0, 10))
    });
    events.push(Event {
        channel: Some(Channel::Phone),
        question: "other".into(),
        ..answer(101, 1301, "2024-06-02", "nps", 9, (0, 10))
    });
    // Corrected, and withdrawn.
    events.push(answer(105, 1400, "2024-06-03", "nps", 1, (0, 10)));
    events.push(Event {
        version: 2,
        live: false,
        metric: String::new(),
        ..answer(105, 1400, "2024-06-03", "nps", 1, (0, 10))
    });
    // On a scale that NPS is not defined on.
    events.push(answer(106, 1500, "2024-06-03", "nps", 5, (1, 5)));
    market.put(&events).await;
    market.minimum(3).await;
    let m = query(&market.core, &market.caller, &ask("nps"))
        .await
        .unwrap();
    let v = whole(&m);
    assert_eq!((v.n, value_of(v, "answers")), (7, 8.0));
    assert_eq!(
        (
            value_of(v, "promoters"),
            value_of(v, "detractors"),
            value_of(v, "left_out")
        ),
        (6.0, 2.0, 1.0)
    );
    near(v.value.unwrap(), 50.0, 1e-9);
    let m = query(
        &market.core,
        &market.caller,
        &Question {
            grouping: Grouping::Channel,
            ..ask("nps")
        },
    )
    .await
    .unwrap();
    let phone = m.values.iter().find(|v| v.group == "phone").unwrap();
    assert!(phone.suppressed && phone.value.is_none() && phone.n == 0 && phone.parts.is_empty());
    assert!(
        !m.values
            .iter()
            .find(|v| v.group == "email")
            .unwrap()
            .suppressed
    );
    market.close().await;
}

async fn merges_and_refunds_count_as_known(store: TestStore) {
    let market = Market::open(&store, Some("2024-06-30")).await;
    let order = |customer, record, on: &str, value| Event {
        value,
        aux: 1,
        channel: Some(Channel::Store),
        ..event(Kind::Order, customer, record, noon(on))
    };
    let refund = |customer, record, on: &str, value, of| Event {
        value,
        link: Some(id(of)),
        ..event(Kind::Refund, customer, record, noon(on))
    };
    let events = [
        order(1, 11, "2024-01-10", 1000),
        order(2, 12, "2024-02-10", 2000),
        order(3, 13, "2024-01-10", 5000),
        refund(3, 14, "2024-03-01", 5000, 13),
        Event {
            version: 2,
            live: false,
            ..order(3, 15, "2024-01-10", 7000)
        },
        order(3, 15, "2024-01-10", 7000),
    ];
    market.put(&events).await;
    let repeat = ask("repeat_purchase_rate");
    let m = query(&market.core, &market.caller, &repeat).await.unwrap();
    assert_eq!((whole(&m).value, whole(&m).n), (Some(0.0), 2));
    market.merge(2, 1).await;
    let m = query(&market.core, &market.caller, &repeat).await.unwrap();
    assert_eq!((whole(&m).value, whole(&m).n), (Some(1.0), 1));
    // Before the refund was given the third customer had bought.
    let m = query(
        &market.core,
        &market.caller,
        &Question {
            as_of: Some(day("2024-02-28")),
            ..ask("lapsed_share")
        },
    )
    .await
    .unwrap();
    assert_eq!(whole(&m).n, 2);
    let spring = Question {
        from: Some(day("2024-03-01")),
        grouping: Grouping::Channel,
        ..ask("revenue")
    };
    let m = query(&market.core, &market.caller, &spring).await.unwrap();
    assert_eq!(
        (m.values[0].group.as_str(), m.values[0].value, m.values[0].n),
        ("store", Some(-5000.0), 0)
    );
    market.close().await;
}

async fn wrong_questions_are_named(store: TestStore) {
    let market = Market::open(&store, None).await;
    market
        .put(&[answer(1, 2, "2024-06-01", "cleanliness", 4, (1, 5))])
        .await;
    let wrong = |q: Question| {
        let (core, caller) = (market.core.clone(), market.caller.clone());
        async move { query(&core, &caller, &q).await.unwrap_err() }
    };
    let fault = wrong(ask("nps_score")).await;
    assert_eq!(fault.reason, "DEFINITION_UNKNOWN");
    assert!(
        fault.message.contains("cleanliness") && fault.message.contains("churn_period"),
        "{}",
        fault.message
    );
    let fault = wrong(Question {
        grouping: Grouping::Dimension,
        window: Some(5),
        ..ask("revenue")
    })
    .await;
    let fields: Vec<&str> = fault.violations.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(fields, ["group_by", "window_days"]);
    let fault = wrong(Question {
        from: Some(Day(20_000)),
        to: Some(Day(19_999)),
        ..ask("nps")
    })
    .await;
    assert_eq!(fault.violations[0].0, "from");
    // A tenant that was never heard of has no metric, which is not an error.
    let other = regard_types::Caller::new(market.secret.tenant_id("other"), "other", "tester");
    let m = query(&market.core, &other, &ask("revenue")).await.unwrap();
    assert!(whole(&m).value.is_none());
    market.close().await;
}

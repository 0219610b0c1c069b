//! What a shop does with the suite, from recorded purchases and answers to explained scores: on every engine and cache.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use regard_client::Client;
use regard_proto::customer::v1 as customer;
use regard_proto::scoring::v1 as scoring;
use regard_tests::values::{
    check_refused, correct, create, customer_ref, date, explain, ingest, key, make_survey, merge,
    noon, order, pin, record, refund, respond, response, row, score, scores, unmerge,
};
use regard_tests::world::{World, until};
use tonic::Code;

const TODAY: &str = "2026-03-31";

regard_tests::on_every_store_and_cache!(
    a_shop_imports_and_reads,
    models_of_real_purchases,
    little_history_is_explained,
    a_merge_and_its_undoing,
    late_and_corrected_orders,
    the_pinned_day_moves,
);

/// Values are numbers or absent with a reason; never NaN, never infinite.
fn check_sound(scores: &scoring::CustomerScores) {
    assert!(!scores.scores.is_empty(), "{scores:?}");
    for s in &scores.scores {
        assert!(
            s.as_of.is_some() && !s.definition_version.is_empty() && s.grade != 0,
            "{s:?}"
        );
        match s.value {
            Some(value) => assert!(value.is_finite(), "{s:?}"),
            None => assert!(
                !s.reasons.is_empty() && s.reasons.iter().all(|r| !r.is_empty()),
                "absent without a reason: {s:?}"
            ),
        }
        if let Some(i) = &s.interval {
            assert!(
                i.low.is_finite() && i.high.is_finite() && i.low <= i.high,
                "{s:?}"
            );
        }
    }
}

async fn check_explained(client: &Client, id: &str, tokens: &[String]) {
    for name in scores(client, id, tokens)
        .await
        .scores
        .into_iter()
        .map(|s| s.name)
    {
        // A roll may score between two reads, and a model may serve before all rows are scored by it.
        let (s, e) = until("a score and its explanation to agree", || async {
            let before = scores(client, id, tokens).await;
            let e = explain(client, id, &name, tokens).await;
            let told = e.score.as_ref().and_then(|told| told.value);
            let same = scores(client, id, tokens).await.version == before.version
                && told == score(&before, &name).value;
            same.then(|| (score(&before, &name).clone(), e))
        })
        .await;
        let told = e.score.as_ref().unwrap();
        assert_eq!((told.value, &told.name), (s.value, &s.name));
        assert!(!e.formula.is_empty() && !e.summary.is_empty(), "{e:?}");
        assert!(
            e.facts
                .iter()
                .all(|f| f.value.is_finite() && !f.name.is_empty()),
            "{e:?}"
        );
        assert!(
            e.contributions.iter().all(|c| c.effect.is_finite()),
            "{e:?}"
        );
        assert!(e.parameters.iter().all(|p| p.value.is_finite()), "{e:?}");
    }
}

fn fact(e: &scoring::ExplainScoreResponse, name: &str) -> f64 {
    e.facts
        .iter()
        .find(|f| f.name == name)
        .unwrap_or_else(|| panic!("no fact {name} in {:?}", e.facts))
        .value
}

async fn metric(client: &Client, name: &str, tokens: &[String]) -> scoring::QueryMetricResponse {
    let request = scoring::QueryMetricRequest {
        metric: name.to_owned(),
        from: Some(date("2025-10-01")),
        to: Some(date("2026-04-01")),
        change_tokens: tokens.to_vec(),
        ..Default::default()
    };
    let answer = client.metrics().query_metric(request).await;
    answer
        .unwrap_or_else(|s| panic!("{name}: {}", regard_client::describe(&s)))
        .into_inner()
}

async fn a_shop_imports_and_reads(world: World) {
    let client = world.client();
    let mut tokens = vec![pin(&client, TODAY).await];

    // Customers by import; one bad row rejects itself only.
    let mut rows: Vec<customer::CustomerRow> = (0..60)
        .map(|n| customer::CustomerRow {
            customer: Some(customer::Customer {
                key: Some(key(&format!("c{n}"))),
                email: format!("c{n}@example.org"),
                attributes: [("segment".to_owned(), "retail".to_owned())].into(),
                ..Default::default()
            }),
            revision: 1,
        })
        .collect();
    rows[7].customer.as_mut().unwrap().key = None;
    let batch = customer::IngestCustomersRequest {
        rows,
        validate_only: false,
    };
    let mut answers = client
        .customers()
        .ingest_customers(tokio_stream::iter([batch]))
        .await
        .unwrap()
        .into_inner();
    let result = answers.message().await.unwrap().unwrap().result.unwrap();
    assert_eq!(
        (result.accepted, result.rejected.len()),
        (59, 1),
        "{result:?}"
    );
    assert_eq!(result.rejected[0].index, 7);

    // Orders by import: customer n buys n % 6 + 1 times, 9 days apart.
    let day = |n: usize, k: usize| format!("2026-{:02}-{:02}", 1 + (n % 2), 1 + (k * 9 + n) % 28);
    let rows: Vec<_> = (0..60)
        .flat_map(|n| (0..=n % 6).map(move |k| (n, k)))
        .map(|(n, k)| {
            row(
                &format!("o{n}-{k}"),
                &format!("c{n}"),
                1_000 + i64::try_from(n * 10 + k).unwrap(),
                &day(n, k),
            )
        })
        .collect();
    let total = u32::try_from(rows.len()).unwrap();
    let results = ingest(&client, rows.chunks(50).map(<[_]>::to_vec).collect())
        .await
        .unwrap();
    assert_eq!(results.iter().map(|r| r.accepted).sum::<u32>(), total);
    tokens.extend(results.iter().map(|r| r.change_token.clone()));
    // Sent again, nothing changes.
    let again = ingest(&client, rows.chunks(50).map(<[_]>::to_vec).collect())
        .await
        .unwrap();
    assert_eq!(
        again
            .iter()
            .map(|r| (r.accepted, r.unchanged))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (0, total)
    );

    // Answers, also of somebody who is no customer yet.
    make_survey(&client, "s").await;
    for n in 0..20 {
        let said = response(
            &format!("r{n}"),
            "s",
            Some(&format!("c{n}")),
            (if n % 4 == 0 { 3 } else { 10 }, 5),
            "2026-03-01",
        );
        tokens.push(respond(&client, said).await.unwrap());
    }
    tokens.retain(|token| !token.is_empty());
    let session = regard_client::Session::new();
    for token in &tokens {
        session.note(token).unwrap();
    }
    let tokens = session.tokens();

    let found = scores(&client, "c5", &tokens).await;
    check_sound(&found);
    check_explained(&client, "c5", &tokens).await;
    let value = score(&found, "historic_value").value.unwrap();
    let bought: i64 = (0..6).map(|k| 1_050 + k).sum();
    assert!((value - bought as f64).abs() < 1e-9, "{value}");
    assert!(score(&found, "satisfaction").value.is_some(), "{found:?}");

    // Several at once are the same as one by one.
    let request = scoring::BatchGetScoresRequest {
        customers: ["c5", "c6", "c59"].map(customer_ref).to_vec(),
        change_tokens: tokens.clone(),
        ..Default::default()
    };
    let many = client
        .scores()
        .batch_get_scores(request)
        .await
        .unwrap()
        .into_inner()
        .customers;
    assert_eq!(many.len(), 3);
    assert_eq!(
        (&many[0].customer_id, score(&many[0], "historic_value")),
        (&found.customer_id, score(&found, "historic_value"))
    );

    // A list is in order, and pages hold together.
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = scoring::ListScoresRequest {
            score: "historic_value".to_owned(),
            page_size: 25,
            page_token,
            change_tokens: tokens.clone(),
            ..Default::default()
        };
        let answer = client
            .scores()
            .list_scores(request)
            .await
            .unwrap()
            .into_inner();
        listed.extend(answer.customers.iter().map(|c| {
            (
                c.customer_id.clone(),
                score(c, "historic_value").value.unwrap(),
            )
        }));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed.len(), 60);
    assert!(listed.windows(2).all(|w| w[0].1 >= w[1].1), "{listed:?}");
    let ids: std::collections::BTreeSet<_> = listed.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 60);

    // Metrics carry n and, where defined, an interval.
    let nps = metric(&client, "nps", &tokens).await;
    let value = &nps.values[0];
    assert_eq!(value.n, 20);
    assert!(
        (value.value.unwrap() - 50.0).abs() < 1e-9 && value.interval.is_some(),
        "{nps:?}"
    );
    for name in [
        "csat",
        "revenue",
        "repeat_purchase_rate",
        "lapsed_share",
        "churn_period",
    ] {
        let answer = metric(&client, name, &tokens).await;
        for v in &answer.values {
            assert!(
                v.value.is_none_or(f64::is_finite)
                    && (v.value.is_some() || v.suppressed || !v.reason.is_empty()),
                "{name}: {v:?}"
            );
        }
    }
}

/// The purchases of the first customers of CDNOW: customer, day, cents.
fn cdnow(customers: usize) -> Vec<(String, String, i64)> {
    let text = include_str!("../data/CDNOW_sample.txt");
    let rows = text.lines().filter_map(|line| {
        let parts: Vec<_> = line.split_whitespace().collect();
        let [_, customer, day, _, value] = parts[..] else {
            return None;
        };
        let cents = (value.parse::<f64>().ok()? * 100.0).round() as i64;
        Some((
            customer.to_owned(),
            format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]),
            cents,
        ))
    });
    rows.filter(|(customer, ..)| customer.parse::<usize>().is_ok_and(|n| n <= customers))
        .collect()
}

async fn models_of_real_purchases(world: World) {
    let client = world.client();
    let session = regard_client::Session::new();
    session.note(&pin(&client, "1997-09-30").await).unwrap();
    let purchases = cdnow(500);
    let rows: Vec<_> = purchases
        .iter()
        .enumerate()
        .map(|(n, (of, day, cents))| row(&format!("o{n}"), of, *cents, day))
        .collect();
    for result in ingest(&client, rows.chunks(500).map(<[_]>::to_vec).collect())
        .await
        .unwrap()
    {
        assert_eq!(result.rejected.len(), 0, "{result:?}");
        session.note(&result.change_token).unwrap();
    }
    let tokens = session.tokens();
    // A customer with repeat purchases before the day.
    let early = |of: &str| {
        purchases
            .iter()
            .filter(|(c, day, _)| c == of && day.as_str() <= "1997-09-30")
            .count()
    };
    let best = (1..=500)
        .map(|n| format!("{n:04}"))
        .max_by_key(|of| early(of))
        .unwrap();
    scores(&client, &best, &tokens).await;

    // Models are fitted on request; every score that they serve is then there.
    for kind in [
        scoring::ModelKind::Bgnbd,
        scoring::ModelKind::Mbgnbd,
        scoring::ModelKind::GammaGamma,
        scoring::ModelKind::Rfm,
    ] {
        let request = scoring::FitModelRequest {
            kind: kind.into(),
            ..Default::default()
        };
        let mut operation = client
            .models()
            .fit_model(request)
            .await
            .unwrap()
            .into_inner()
            .operation
            .unwrap();
        while !operation.done {
            let request = scoring::WaitOperationRequest {
                name: operation.name,
                timeout: Some(prost_types::Duration {
                    seconds: 10,
                    nanos: 0,
                }),
            };
            operation = client
                .operations()
                .wait_operation(request)
                .await
                .unwrap()
                .into_inner()
                .operation
                .unwrap();
        }
        let request = scoring::GetModelRequest {
            kind: kind.into(),
            ..Default::default()
        };
        let model = client
            .models()
            .get_model(request)
            .await
            .unwrap_or_else(|s| panic!("{operation:?}: {s:?}"))
            .into_inner()
            .model
            .unwrap();
        assert!(
            model.serving && model.n > 0 && model.parameters.iter().all(|p| p.value.is_finite()),
            "{model:?}"
        );
    }
    let found = until("scores by the new models", || async {
        Some(scores(&client, &best, &tokens).await).filter(|found| {
            found
                .scores
                .iter()
                .all(|s| s.value.is_some() || s.name == "satisfaction")
        })
    })
    .await;
    check_sound(&found);
    check_explained(&client, &best, &tokens).await;
}

async fn little_history_is_explained(world: World) {
    let client = world.client();
    let mut tokens = vec![pin(&client, TODAY).await];
    tokens.push(create(&client, "none").await);
    tokens.push(record(&client, order("once-1", "once", 2_500, "2026-03-01")).await);
    tokens.push(create(&client, "refunds").await);
    tokens.push(
        refund(&client, "refunds-1", "refunds", None, 700, "2026-03-02")
            .await
            .unwrap(),
    );
    tokens.push(record(&client, order("ahead-1", "ahead", 900, "2026-05-01")).await);
    tokens.push(record(&client, order("undone-1", "undone", 900, "2026-03-01")).await);
    tokens.push(
        refund(
            &client,
            "undone-2",
            "undone",
            Some("undone-1"),
            900,
            "2026-03-03",
        )
        .await
        .unwrap(),
    );
    tokens.push(record(&client, order("zero-1", "zero", 0, "2026-03-01")).await);
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !t.is_empty()).collect();
    for id in ["none", "once", "refunds", "ahead", "undone", "zero"] {
        let found = scores(&client, id, &tokens).await;
        check_sound(&found);
        check_explained(&client, id, &tokens).await;
    }
    // Nobody has heard of this one: scores without values, each with its reason.
    let nobody = scores(&client, "nobody", &tokens).await;
    check_sound(&nobody);
    assert!(
        nobody.scores.iter().all(|s| s.value.is_none()),
        "{nobody:?}"
    );
    // What lies ahead does not exist yet, and does once its day has come.
    let ahead = scores(&client, "ahead", &tokens).await;
    assert!(
        score(&ahead, "historic_value")
            .value
            .is_none_or(|v| v == 0.0),
        "{ahead:?}"
    );
    let moved = pin(&client, "2026-05-02").await;
    let ahead = scores(&client, "ahead", &[moved]).await;
    assert_eq!(score(&ahead, "historic_value").value, Some(900.0));
}

async fn a_merge_and_its_undoing(world: World) {
    let client = world.client();
    let tokens = vec![
        pin(&client, TODAY).await,
        record(&client, order("a-1", "a", 1_000, "2026-01-05")).await,
        record(&client, order("b-1", "b", 2_000, "2026-02-05")).await,
    ];
    let before = (
        scores(&client, "a", &tokens).await,
        scores(&client, "b", &tokens).await,
    );
    assert_ne!(before.0.customer_id, before.1.customer_id);

    let token = merge(&client, "b", "a").await.unwrap();
    let a = scores(&client, "a", std::slice::from_ref(&token)).await;
    let b = scores(&client, "b", std::slice::from_ref(&token)).await;
    assert_eq!(a.customer_id, before.0.customer_id);
    assert_eq!(
        (&a.customer_id, score(&a, "historic_value")),
        (&b.customer_id, score(&b, "historic_value"))
    );
    assert_eq!(score(&a, "historic_value").value, Some(3000.0));
    let e = explain(&client, "b", "historic_value", &[token]).await;
    assert_eq!(
        (fact(&e, "gross"), fact(&e, "purchase_days")),
        (3000.0, 2.0),
        "{e:?}"
    );
    check_refused(
        merge(&client, "b", "a").await,
        Code::FailedPrecondition,
        "MERGE_NOT_CANONICAL",
    );

    let token = unmerge(&client, "b").await.unwrap();
    let a = scores(&client, "a", std::slice::from_ref(&token)).await;
    let b = scores(&client, "b", &[token]).await;
    let values = |s: &scoring::CustomerScores| {
        // The quintiles are of all customers.
        s.scores
            .iter()
            .filter(|s| s.name != "rfm")
            .map(|s| (s.name.clone(), s.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&a), values(&before.0));
    assert_eq!(values(&b), values(&before.1));
    assert!(
        a.version > before.0.version && b.version > before.1.version,
        "versions never fall"
    );
}

async fn late_and_corrected_orders(world: World) {
    let client = world.client();
    let tokens = vec![
        pin(&client, TODAY).await,
        record(&client, order("o1", "c", 1_000, "2026-02-10")).await,
        record(&client, order("o2", "c", 1_000, "2026-03-10")).await,
    ];
    let before = explain(&client, "c", "historic_value", &tokens).await;
    // Late: an earlier first day.
    let token = record(&client, order("o0", "c", 500, "2026-01-10")).await;
    let late = scores(&client, "c", std::slice::from_ref(&token)).await;
    assert_eq!(score(&late, "historic_value").value, Some(2500.0));
    assert_eq!(before.score.unwrap().value, Some(2000.0));
    // Corrected: the value, not a second order.
    let token = correct(&client, "o0", 700).await.unwrap();
    assert_eq!(
        score(&scores(&client, "c", &[token]).await, "historic_value").value,
        Some(2700.0)
    );
    // The earlier answer as of a day between.
    let request = scoring::GetScoresRequest {
        customer: Some(customer_ref("c")),
        as_of: Some(date("2026-02-28")),
        ..Default::default()
    };
    let then = client
        .scores()
        .get_scores(request)
        .await
        .unwrap()
        .into_inner()
        .scores
        .unwrap();
    check_sound(&then);
    assert_eq!(score(&then, "historic_value").value, Some(1700.0));
    // Refunded in part, voided.
    let token = refund(&client, "f1", "c", Some("o1"), 400, "2026-03-11")
        .await
        .unwrap();
    assert_eq!(
        score(&scores(&client, "c", &[token]).await, "historic_value").value,
        Some(2300.0)
    );
    let request = customer::VoidOrderRequest {
        target: Some(regard_tests::values::record_ref("o2")),
        ..Default::default()
    };
    let token = client
        .orders()
        .void_order(request)
        .await
        .unwrap()
        .into_inner()
        .change_token;
    assert_eq!(
        score(&scores(&client, "c", &[token]).await, "historic_value").value,
        Some(1300.0)
    );
    // A stale etag is refused and changes nothing.
    let request = customer::CorrectOrderRequest {
        target: Some(regard_tests::values::record_ref("o0")),
        order_time: Some(noon("2026-01-11")),
        etag: "stale".to_owned(),
        ..Default::default()
    };
    check_refused(
        client.orders().correct_order(request).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
}

async fn the_pinned_day_moves(world: World) {
    let client = world.client();
    let tokens = vec![
        pin(&client, "2026-02-01").await,
        record(&client, order("o1", "c", 1_000, "2026-01-10")).await,
        record(&client, order("o2", "c", 2_000, "2026-02-20")).await,
    ];
    let day = |s: &scoring::CustomerScores| s.scores[0].as_of.unwrap();
    let early = scores(&client, "c", &tokens).await;
    assert_eq!(
        (day(&early), score(&early, "historic_value").value),
        (date("2026-02-01"), Some(1000.0))
    );
    let token = pin(&client, "2026-03-01").await;
    let later = scores(&client, "c", &[token]).await;
    assert_eq!(
        (day(&later), score(&later, "historic_value").value),
        (date("2026-03-01"), Some(3000.0))
    );
    // The list follows once the roll is through.
    let client = &client;
    until("the roll", || async move {
        let request = scoring::ListScoresRequest {
            score: "historic_value".to_owned(),
            ..Default::default()
        };
        let listed = client
            .scores()
            .list_scores(request)
            .await
            .unwrap()
            .into_inner()
            .customers;
        listed
            .first()
            .filter(|c| score(c, "historic_value").value == Some(3000.0))
            .cloned()
    })
    .await;
    // And back: days may go backwards when a tenant is pinned anew.
    let token = pin(client, "2026-02-01").await;
    let back = scores(client, "c", &[token]).await;
    assert_eq!(
        (day(&back), score(&back, "historic_value").value),
        (date("2026-02-01"), Some(1000.0))
    );
}

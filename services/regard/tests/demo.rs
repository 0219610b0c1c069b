//! `regard demo`: the real data through the public API of an embedded suite, against values computed elsewhere.
#![allow(clippy::unwrap_used)]

mod common;

use common::{fails, json, near, ok, reference};
use serde_json::Value;

#[test]
fn the_demo_shows_what_is_published() {
    let got = json(&["demo", "--json"]);
    let theirs = &reference()["from_orders_exact_days"];
    assert_eq!(got["purchases"]["accepted"], 6919);
    assert_eq!(got["purchases"]["rejected"], 0);
    assert_eq!(got["bgnbd"]["n"], 2357);
    assert_eq!(got["gamma_gamma"]["n"], 946);
    let models: [(&str, &[(&str, &str)]); 3] = [
        (
            "bgnbd",
            &[("r", "r"), ("alpha", "alpha"), ("a", "a"), ("b", "b")],
        ),
        (
            "mbgnbd",
            &[("r", "r"), ("alpha", "alpha"), ("a", "a"), ("b", "b")],
        ),
        ("gamma_gamma", &[("p", "p"), ("q", "q"), ("gamma", "v")]),
    ];
    for (model, parameters) in models {
        for (ours, name) in parameters {
            let want = theirs[model]["params"][name].as_f64().unwrap();
            near(
                &format!("{model} {ours}"),
                &got[model]["params"][ours],
                want,
                2e-3,
            );
            assert!(got[model]["standard_errors"][ours].as_f64().unwrap() > 0.0);
        }
        let want = theirs[model]["LL"].as_f64().unwrap();
        near(
            &format!("{model} log-likelihood"),
            &got[model]["log_likelihood"],
            want,
            1e-6,
        );
    }
    near("paper", &got["bgnbd"]["published"]["alpha"], 4.414, 1e-9);
    forecast(&got["forecast"], &theirs["holdout_39_weeks"]);
    people(&got);
    answers(&got);
    acts(&got);
}

fn forecast(got: &Value, theirs: &Value) {
    for (ours, name) in [
        ("predicted_total", "predicted_total"),
        ("actual_total", "actual_total"),
        ("rmse", "rmse"),
        ("correlation", "pearson"),
        ("auc", "auc_of_1_minus_P0_39w"),
    ] {
        near(ours, &got[ours], theirs[name].as_f64().unwrap(), 1e-3);
    }
    assert_eq!(got["from"], "1997-10-01");
    assert_eq!(got["to"], "1998-06-30");
    assert!(got["auc_no_purchase_13w"].as_f64().unwrap() > 0.74);
}

fn people(got: &Value) {
    let tiers = got["value_tiers"].as_array().unwrap();
    let customers: i64 = tiers.iter().map(|t| t["customers"].as_i64().unwrap()).sum();
    assert_eq!(customers, 2357);
    // Who was expected to be worth most did pay most.
    assert_eq!(tiers[0]["tier"], "high");
    assert!(tiers[0]["then_share"].as_f64().unwrap() > 0.6);
    let top = got["top_customers"].as_array().unwrap();
    let values: Vec<f64> = top
        .iter()
        .map(|p| p["residual_clv"].as_f64().unwrap())
        .collect();
    assert!(values.is_sorted_by(|a, b| a >= b) && values.len() == 5);
    let slipping = got["slipping_away"].as_array().unwrap();
    assert_eq!(slipping[0]["customer"], "cdnow:1901");
    for person in top.iter().chain(slipping) {
        assert!(
            !person["reasons"].as_array().unwrap().is_empty(),
            "{person}"
        );
        assert!(!person["summary"].as_str().unwrap().is_empty());
    }
    let churn = &got["behaviour"]["churn_period"];
    near("churn", &churn["value"], 0.477, 5e-3);
    near(
        "repeat",
        &got["behaviour"]["repeat_purchase_rate"]["value"],
        0.291,
        5e-3,
    );
}

fn answers(got: &Value) {
    let theirs: Value = serde_json::from_str(
        &std::fs::read_to_string(common::data("reference/ecsi_mobi.json")).unwrap(),
    )
    .unwrap();
    let csat = &theirs["csat_on_CUSA1_top2"];
    let ours = &got["metrics"]["csat"];
    let share = |v: &Value| v.as_f64().unwrap() / 100.0;
    near("csat", &ours["value"], share(&csat["pct"]), 1e-9);
    near(
        "low",
        &ours["interval"]["low"],
        share(&csat["wilson95"][0]),
        1e-6,
    );
    near(
        "high",
        &ours["interval"]["high"],
        share(&csat["wilson95"][1]),
        1e-6,
    );
    assert_eq!(ours["n"], 250);
    let recommend = &got["metrics"]["recommend_1_10"];
    near(
        "recommend",
        &recommend["value"],
        recommend["reference"]["value"].as_f64().unwrap(),
        1e-9,
    );
    assert_eq!(recommend["n"], 250);
    assert!(
        got["metrics"]["nps"].is_null(),
        "a question of 1 to 10 is no NPS"
    );
    assert_eq!(got["satisfaction"]["n"], 250);
}

fn acts(got: &Value) {
    let moved = |act: &str, score: &str| {
        let scores = got[act]["scores"].as_array().unwrap();
        let score = scores.iter().find(|s| s["name"] == score).unwrap();
        (
            score["before"].as_f64().unwrap(),
            score["after"].as_f64().unwrap(),
        )
    };
    let (before, after) = moved("late_order", "no_purchase_13w");
    assert!(before > 0.9 && after < 0.5, "{before} {after}");
    let (before, after) = moved("late_order", "historic_value");
    assert!((after - before - 39.97).abs() < 1e-9);
    let (before, after) = moved("correction", "historic_value");
    assert!(after > before);
    let (before, after) = moved("correction", "no_purchase_13w");
    assert_eq!(
        before.to_bits(),
        after.to_bits(),
        "a value does not move a rhythm"
    );
    let (apart, together) = moved("merge", "historic_value");
    assert!(together > apart);
    for score in [
        "no_purchase_13w",
        "residual_clv",
        "historic_value",
        "expected_purchases",
    ] {
        assert_eq!(
            moved("merge", score).0.to_bits(),
            moved("unmerge", score).1.to_bits(),
            "{score}"
        );
    }
    assert!(got["unmerge"]["note"].as_str().unwrap().contains("exactly"));
}

#[test]
fn its_data_are_named_where_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (code, message) = fails(&["demo", "--data-dir", &dir.path().display().to_string()]);
    assert!(
        code == 1 && message.contains("CDNOW_sample.txt"),
        "{message}"
    );
    std::fs::write(dir.path().join("x"), "x").unwrap();
    let (_, message) = fails(&["demo", "--keep", &dir.path().display().to_string()]);
    assert!(message.contains("not empty"), "{message}");
    assert!(ok(&["--help"]).contains("demo"));
}

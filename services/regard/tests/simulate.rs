//! `regard simulate` and what the other commands make of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{fails, json};

fn make(dir: &std::path::Path, name: &str, seed: &str) -> std::path::PathBuf {
    let out = dir.join(name);
    let card = json(&[
        "simulate",
        "--customers",
        "2000",
        "--seed",
        seed,
        "--out",
        &out.display().to_string(),
        "--json",
    ]);
    assert_eq!(card["written"]["customers"], 2000);
    out
}

#[test]
fn a_seed_is_a_market() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] =
        [("a", "5"), ("b", "5"), ("c", "6")].map(|(name, seed)| make(dir.path(), name, seed));
    for file in [
        "customers.csv",
        "orders.csv",
        "responses.csv",
        "truth.csv",
        "truth.json",
    ] {
        let read = |folder: &std::path::Path| std::fs::read(folder.join(file)).unwrap();
        assert_eq!(read(&a), read(&b), "{file}");
        assert!(file == "customers.csv" || read(&a) != read(&c), "{file}");
    }
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(a.join("truth.json")).unwrap()).unwrap();
    assert_eq!(truth["seed"], 5);
    let orders = std::fs::read_to_string(a.join("orders.csv")).unwrap();
    assert_eq!(
        orders.lines().count() as u64 - 1,
        truth["written"]["orders"].as_u64().unwrap()
    );
}

#[test]
fn a_market_can_be_scored() {
    let dir = tempfile::tempdir().unwrap();
    let market = make(dir.path(), "m", "5");
    let card = json(&[
        "score",
        &market.join("orders.csv").display().to_string(),
        "--horizon",
        "13",
        "--json",
    ]);
    assert_eq!(card["counts"]["customers"], 2000);
    assert_eq!(card["counts"]["rejected"], 0);
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(market.join("truth.json")).unwrap()).unwrap();
    let (foreseen, came) = (
        card["totals"]["expected_purchases"].as_f64().unwrap(),
        truth["written"]["future_orders"].as_f64().unwrap(),
    );
    assert!(
        (foreseen / came - 1.0).abs() < 0.3,
        "{foreseen} foreseen, {came} came"
    );
}

#[test]
fn ranges_are_told() {
    for (flag, value) in [
        ("--weeks", "0"),
        ("--effect", "9"),
        ("--response", "2"),
        ("--customers", "0"),
        ("--start", "soon"),
    ] {
        let (code, message) = fails(&["simulate", "--out", "nowhere", flag, value]);
        assert!(code == 2 && message.contains(flag), "{message}");
    }
}

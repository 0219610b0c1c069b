//! `regard score` on the CDNOW purchases and on small files.
#![allow(clippy::unwrap_used)]

mod common;

use common::{data, fails, json, near, reference};
use serde_json::Value;

fn table(path: &std::path::Path) -> Vec<std::collections::HashMap<String, String>> {
    csv::Reader::from_path(path)
        .unwrap()
        .deserialize()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn cdnow_orders_equal_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("scored.csv");
    let orders = data("CDNOW_sample.txt").display().to_string();
    let card = json(&[
        "score",
        &orders,
        "--out",
        &out.display().to_string(),
        "--as-of",
        "1997-09-30",
        "--json",
    ]);
    let want = &reference()["from_orders_exact_days"];
    assert_eq!(card["counts"]["customers"], 2357);
    assert_eq!(card["counts"]["repeat_days"], 2457);
    assert_eq!(card["counts"]["orders_read"], 6919);
    assert_eq!(card["counts"]["rejected"], 0);
    for (model, entry) in [
        ("bgnbd", &card["models"]["bgnbd"]),
        ("mbgnbd", &card["models"]["mbgnbd"]),
        ("gamma_gamma", &card["models"]["gamma_gamma"]),
    ] {
        for (name, value) in entry["params"].as_object().unwrap() {
            let known = if name == "gamma" { "v" } else { name };
            let known = want[model]["params"][known]
                .as_f64()
                .or_else(|| want[model]["params"]["gamma"].as_f64())
                .unwrap();
            near(&format!("{model} {name}"), value, known, 1e-3);
        }
        assert!(
            (entry["log_likelihood"].as_f64().unwrap() - want[model]["LL"].as_f64().unwrap()).abs()
                < 1e-3
        );
        assert_ne!(entry["reasons"][0], Value::Null);
    }
    let rows = table(&out);
    assert_eq!(rows.len(), 2357);
    let total: f64 = rows
        .iter()
        .map(|r| r["expected_purchases"].parse::<f64>().unwrap())
        .sum();
    near(
        "total",
        &total.into(),
        want["holdout_39_weeks"]["predicted_total"]
            .as_f64()
            .unwrap(),
        1e-3,
    );
    for row in &rows {
        let expected: f64 = row["expected_purchases"].parse().unwrap();
        let [low, high]: [f64; 2] =
            ["expected_purchases_low", "expected_purchases_high"].map(|n| row[n].parse().unwrap());
        assert!(low <= expected.ceil() && low <= high);
        let p: f64 = row["p_alive"].parse().unwrap();
        assert!(p > 0.0 && p < 1.0);
        assert!(("1"..="5").contains(&row["rfm_r"].as_str()));
    }
    let clv: Vec<f64> = rows
        .iter()
        .map(|r| r["residual_clv"].parse().unwrap())
        .collect();
    assert!(clv.windows(2).all(|pair| pair[0] >= pair[1]));
}

#[test]
fn the_holdout_grades_the_models() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("scored.csv");
    let orders = data("CDNOW_sample.txt").display().to_string();
    let card = json(&[
        "score",
        &orders,
        "--out",
        &out.display().to_string(),
        "--json",
    ]);
    assert_eq!(card["as_of"], "1998-06-30");
    assert_eq!(card["holdout"]["weeks"], 25);
    let grade = card["models"]["bgnbd"]["grade"].as_str().unwrap();
    assert!(["A", "B", "C", "D"].contains(&grade));
    assert!(
        card["models"]["bgnbd"]["reasons"][0]
            .as_str()
            .unwrap()
            .starts_with("hold-out: forecast")
    );
    assert!(
        card["models"]["gamma_gamma"]["reasons"][0]
            .as_str()
            .unwrap()
            .starts_with("hold-out")
    );
}

fn small(text: &str, more: &[&str]) -> (tempfile::TempDir, Value) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.csv");
    std::fs::write(&path, text).unwrap();
    let shown = path.display().to_string();
    let mut args = vec!["score", &shown, "--json"];
    args.extend(more);
    let card = json(&args);
    (dir, card)
}

#[test]
fn too_little_data_is_told_and_never_nan() {
    let (dir, card) = small(
        "Customer ID;Order Date;Amount\na;2024-01-05;10\na;2024-01-05;5\na;2024-02-01T10:00:00Z;$1,000.50\nb;20240110;0\nc;2024-03-01;-4\nd;9999-01-01;1\ne;2024-01-01;abc\n;2024-01-01;1\n",
        &[],
    );
    assert_eq!(card["as_of"], "2024-03-01");
    assert_eq!(card["counts"]["rejected"], 3);
    assert_eq!(card["counts"]["refunds"], 1);
    assert_eq!(card["models"]["bgnbd"]["grade"], "E");
    assert!(
        card["models"]["bgnbd"]["reasons"][0]
            .as_str()
            .unwrap()
            .contains("too little")
    );
    let rows = table(&dir.path().join("orders.scored.csv"));
    assert_eq!(rows.len(), 3);
    let of = |name: &str| rows.iter().find(|r| r["customer"] == name).unwrap();
    assert_eq!(
        (
            of("a")["x"].as_str(),
            of("a")["historic_value"].as_str(),
            of("a")["m"].as_str()
        ),
        ("1", "1015.50", "1000.5")
    );
    assert_eq!(
        (of("b")["x"].as_str(), of("b")["grade"].as_str()),
        ("0", "E")
    );
    assert_eq!(
        (
            of("c")["x"].as_str(),
            of("c")["historic_value"].as_str(),
            of("c")["note"].as_str()
        ),
        ("", "-4.00", "refunds but no purchase")
    );
    assert!(
        rows.iter()
            .flat_map(|r| r.values())
            .all(|v| v != "NaN" && v != "inf")
    );
    let rejected = std::fs::read_to_string(dir.path().join("orders.rejected.csv")).unwrap();
    assert!(
        rejected.contains("7,Order Date,9999-01-01,a year from 1900 to 2099"),
        "{rejected}"
    );
    assert!(rejected.contains("8,Amount,abc"), "{rejected}");
}

#[test]
fn days_begin_in_the_zone() {
    let text =
        "customer,date,value\na,2024-01-01T20:00:00Z,1\na,2024-01-02T02:00:00Z,1\nb,2024-02-01,1\n";
    let x = |more: &[&str]| {
        let (dir, _) = small(text, more);
        table(&dir.path().join("orders.scored.csv"))
            .iter()
            .find(|r| r["customer"] == "a")
            .unwrap()["x"]
            .clone()
    };
    assert_eq!(x(&[]), "1");
    assert_eq!(x(&["--zone", "Asia/Shanghai"]), "0");
}

#[test]
fn columns_are_named_or_asked_for() {
    let text = "who,when,worth\na,2024-01-01,1\n";
    let (_dir, card) = small(text, &["--columns", "customer=who,date=When,value=3"]);
    assert_eq!(card["counts"]["customers"], 1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.csv");
    for (text, more, code, part) in [
        (text, vec![], 2, "--columns customer="),
        (text, vec!["--columns", "buyer=who"], 2, "customer=NAME"),
        (
            "customer,date,value\na,03/04/2024,1\n",
            vec![],
            1,
            "--day-order",
        ),
        ("customer,date,value\n", vec![], 1, "no orders"),
        ("a,2024-01-01,1,2\n", vec![], 2, "no header"),
        (
            "customer,date,value\na,2024-01-01,1\n",
            vec!["--as-of", "2023-01-01"],
            1,
            "--as-of",
        ),
        (
            "customer,date,value\na,2024-01-01,1\n",
            vec!["--zone", "Mars/Base"],
            2,
            "Mars/Base",
        ),
        (
            "customer,date,value\na,2024-01-01,1\n",
            vec!["--as-of", "yesterday"],
            2,
            "--as-of",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let shown = path.display().to_string();
        let mut args = vec!["score", &shown];
        args.extend(more);
        let (got, message) = fails(&args);
        assert_eq!(got, code, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

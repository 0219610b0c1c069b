//! `regard model` against the reference values of the CDNOW sample.
#![allow(clippy::unwrap_used)]

mod common;

use common::{data, fails, json, near, ok, reference};
use serde_json::Value;

const SUMMARY: &str = "cdnow_customers_summary_with_transactions.csv";

fn file() -> String {
    data(SUMMARY).display().to_string()
}

#[test]
fn fits_equal_the_reference() {
    let reference = reference();
    // Values of the tolerance: parameters 1e-4, b 1e-3, log-likelihood 1e-3 absolute.
    let cases = [
        (
            "bgnbd",
            &reference["bgnbd"]["params"],
            reference["bgnbd"]["LL"].as_f64().unwrap(),
            2357,
        ),
        (
            "mbgnbd",
            &reference["mbgnbd"]["summary_file"]["params"],
            reference["mbgnbd"]["summary_file"]["LL"].as_f64().unwrap(),
            2357,
        ),
        (
            "gamma-gamma",
            &reference["gamma_gamma"]["maximum_likelihood"],
            reference["gamma_gamma"]["maximum_likelihood"]["LL"]
                .as_f64()
                .unwrap(),
            946,
        ),
    ];
    for (model, want, ll, n) in cases {
        let got = json(&["model", "fit", &file(), "--model", model, "--json"]);
        assert_eq!(got["model"], model);
        assert_eq!(got["n"], n);
        let mut keys: Vec<&String> = got.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "grade",
                "log_likelihood",
                "model",
                "n",
                "params",
                "reasons",
                "standard_errors"
            ]
        );
        assert!(
            (got["log_likelihood"].as_f64().unwrap() - ll).abs() < 1e-3,
            "{model}: {}",
            got["log_likelihood"]
        );
        for (name, value) in got["params"].as_object().unwrap() {
            let known = if name == "gamma" { "v" } else { name };
            let tolerance = if name == "b" { 1e-3 } else { 1e-4 };
            near(name, value, want[known].as_f64().unwrap(), tolerance);
            assert!(got["standard_errors"][name].as_f64().unwrap() > 0.0);
        }
        assert_eq!(got["grade"], "E");
        assert!(got["reasons"][0].as_str().unwrap().contains("hold-out"));
    }
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn params(reference: &Value) -> String {
    let parts: Vec<String> = reference
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join(",")
}

#[test]
fn predictions_at_given_parameters_equal_the_reference() {
    let reference = reference();
    let purchases = params(&reference["bgnbd"]["params"]);
    let values = params(&reference["gamma_gamma"]["params"]);
    let predict = |model: &str, params: &str, horizon: &str| {
        rows(&ok(&[
            "model",
            "predict",
            &file(),
            "--model",
            model,
            "--params",
            params,
            "--horizon",
            horizon,
            "--json",
        ]))
    };
    let by_39 = predict("bgnbd", &purchases, "39");
    let by_1 = predict("bgnbd", &purchases, "1");
    let worth = predict("gamma-gamma", &values, "39");
    assert_eq!(by_39.len(), 2357);
    for (id, want) in reference["customers"].as_object().unwrap() {
        let find = |rows: &'_ [Value]| {
            rows.iter()
                .find(|row| row["id"] == id.as_str())
                .unwrap()
                .clone()
        };
        let want = |name: &str| want[name].as_f64().unwrap();
        near(id, &find(&by_39)["p_alive"], want("bg_palive"), 1e-6);
        near(
            id,
            &find(&by_39)["expected_purchases"],
            want("bg_E39"),
            1e-6,
        );
        near(id, &find(&by_1)["expected_purchases"], want("bg_E1"), 1e-6);
        near(
            id,
            &find(&worth)["expected_value"],
            want("gg_cond_avg"),
            1e-6,
        );
        assert!(find(&by_39)["expected_value"].is_null() && find(&worth)["p_alive"].is_null());
        let none = find(&by_39)["no_purchase"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&none));
    }
    let both = predict("bgnbd", &format!("{purchases},{values}"), "39");
    assert_eq!(both[0]["expected_value"], worth[0]["expected_value"]);
}

#[test]
fn predict_fits_where_no_parameters_are_given() {
    let fitted = rows(&ok(&[
        "model",
        "predict",
        &file(),
        "--model",
        "mbgnbd",
        "--json",
    ]));
    assert!(
        fitted
            .iter()
            .all(|row| row["p_alive"].as_f64().is_some_and(|p| p > 0.0 && p < 1.0))
    );
    assert!(
        fitted
            .iter()
            .all(|row| row["expected_value"].as_f64().is_some_and(|v| v > 0.0))
    );
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.csv");
    std::fs::write(&path, text).unwrap();
    let shown = path.display().to_string();
    (dir, shown)
}

const PARAMS: &str = "r=0.243,alpha=4.414,a=0.793,b=2.426";

#[test]
fn headers_in_any_case_and_shape_are_read() {
    let forms = [
        "id,x,t_x,T\na,2,30.43,38.86\n",
        "ID,X,T_X,T\na,2,30.43,38.86\n",
        "id,x,t_x,t\na,2,30.43,38.86\n",
        "T,t_x,x,id\n38.86,30.43,2,a\n",
        "customer_id,frequency,recency,T,monetary_value\na,2.0,30.43,38.86,22.35\n",
        "\u{feff}id,x,t_x,T,zbar,weight\r\n\r\n\"a\",\"2\",30.43,38.86,22.35,3\r\n,,,,,\r\n\r\n",
        "id;x;t_x;T;note\na;2;30.43;38.86;\"b;c\"\n",
        "id\tx\tt_x\tT\na\t2\t30.43\t38.86\n",
    ];
    for text in forms {
        let (_dir, path) = written(text);
        let got = rows(&ok(&[
            "model", "predict", &path, "--model", "bgnbd", "--params", PARAMS, "--json",
        ]));
        assert_eq!(got.len(), 1, "{text:?}");
        assert_eq!(got[0]["id"], "a");
        near(text, &got[0]["p_alive"], 0.7266, 1e-3);
    }
}

#[test]
fn wrong_files_name_line_and_field() {
    for (text, parts) in [
        (
            "id,x,t_x,T\na,2,30,38\nb,two,3,38\n",
            ["line 3", "x", "two"],
        ),
        ("id,x,t_x,T\na,2,40,38\n", ["line 2", "t_x", "0 to T"]),
        ("id,x,t_x,T\na,0,4,38\n", ["line 2", "t_x", "x is 0"]),
        ("id,x,t_x,T\na,1.5,4,38\n", ["line 2", "x", "whole"]),
        ("id,x,t_x,T\na,-1,4,38\n", ["line 2", "x", "whole"]),
        ("id,x,t_x,T\na,1,4,NaN\n", ["line 2", "T", "NaN"]),
        ("id,x,t_x,T\na,1,4\n", ["line 2", "T", "empty"]),
        (
            "id,x,t_x,T,weight\na,1,4,5,0\n",
            ["line 2", "weight", "more than 0"],
        ),
        (
            "id,x,recency,t_x,T\na,1,4,4,5\n",
            ["recency", "t_x", "same"],
        ),
        ("id,x,t_x\na,1,4\n", ["line 1", "lacks", "T"]),
        ("1,2,30,38\n", ["line 1", "lacks", "x"]),
        ("id,x,t_x,T\n", ["header", "no rows", ""]),
        ("", ["empty", "", ""]),
    ] {
        let (_dir, path) = written(text);
        let (code, message) = fails(&["model", "fit", &path, "--model", "bgnbd"]);
        assert_eq!(code, 1, "{message}");
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{text:?}: {message}"
        );
        assert!(message.contains("file.csv"), "{message}");
    }
    let (_dir, path) = written("id,x,t_x,T\na,1,4,38\n");
    let (code, message) = fails(&["model", "fit", &path, "--model", "bgnbd"]);
    assert!(
        code == 1 && message.contains("too little data"),
        "{message}"
    );
    let (code, message) = fails(&["model", "fit", &path, "--model", "gamma-gamma"]);
    assert!(code == 1 && message.contains("lacks m"), "{message}");
}

#[test]
fn wrong_use_is_exit_code_2() {
    let file = file();
    for (args, part) in [
        (vec!["model", "fit", &file], "--model"),
        (vec!["model", "fit", &file, "--model", "pareto"], "pareto"),
        (
            vec![
                "model", "predict", &file, "--model", "bgnbd", "--params", "r=1",
            ],
            "alpha",
        ),
        (
            vec![
                "model",
                "predict",
                &file,
                "--model",
                "bgnbd",
                "--params",
                "r=1,alpha=0,a=1,b=1",
            ],
            "alpha",
        ),
        (
            vec![
                "model",
                "predict",
                &file,
                "--model",
                "bgnbd",
                "--horizon",
                "0",
            ],
            "--horizon",
        ),
        (
            vec![
                "model",
                "predict",
                &file,
                "--model",
                "bgnbd",
                "--horizon",
                "NaN",
            ],
            "--horizon",
        ),
        (vec!["frobnicate"], "frobnicate"),
    ] {
        let (code, message) = fails(&args);
        assert_eq!(code, 2, "{message}");
        assert!(message.contains(part), "{message}");
    }
    let (code, message) = fails(&["model", "fit", "no-such-file.csv", "--model", "bgnbd"]);
    assert!(
        code == 1 && message.contains("no-such-file.csv"),
        "{message}"
    );
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.csv");
    for bytes in [
        &b"id,x,t_x,T\n\xff\xfe,1,2,3\n"[..],
        b"\xff\xfei\0d\0",
        b"id,x,t_x,T\na,\xff,2,3\n",
        b"\0\0\0",
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (code, message) = fails(&[
            "model",
            "fit",
            &path.display().to_string(),
            "--model",
            "bgnbd",
        ]);
        assert!(
            code == 1 && message.contains("UTF-8") || message.contains("line 2"),
            "{message}"
        );
    }
}

#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Survey measures against the mobile phone survey.

mod support;

use regard_models::attitude::{self, Answer, AttitudeError, balance, cronbach_alpha, csat, nps};
use support::{close, json, number, path};

/// Answers to the items whose name starts with `prefix`, a row a respondent.
fn items(prefix: &str) -> Vec<Vec<f64>> {
    let mut reader = csv::Reader::from_path(path("ecsi_mobi.csv")).unwrap();
    let columns: Vec<usize> = reader
        .headers()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, h)| h.starts_with(prefix))
        .map(|(i, _)| i)
        .collect();
    reader
        .records()
        .map(|row| {
            columns
                .iter()
                .map(|&i| row.as_ref().unwrap()[i].parse().unwrap())
                .collect()
        })
        .collect()
}

fn answers(item: &str) -> Vec<Answer> {
    items(item)
        .into_iter()
        .map(|row| Answer::new(row[0]))
        .collect()
}

#[test]
fn balance_of_a_ten_point_question() {
    let reference = json("reference/ecsi_mobi.json");
    let at = "/nps_on_CUSL3 (9-10 ~1 7-8 ~1 1-6)";
    let answers = answers("CUSL3");
    let share = |keep: fn(f64) -> bool| {
        answers.iter().filter(|a| keep(a.value)).count() as f64 / answers.len() as f64
    };
    let found = balance(share(|v| v >= 9.0), share(|v| v <= 6.0), 250.0, 0.95).unwrap();
    close(
        found.points,
        number(&reference, &format!("{at}/nps")),
        1e-12,
        "points",
    );
    close(
        found.standard_error,
        number(&reference, &format!("{at}/se")),
        1e-12,
        "se",
    );
    close(
        found.interval.low,
        number(&reference, &format!("{at}/adj_wald95_sauro/0")),
        1e-6,
        "low",
    );
    close(
        found.interval.high,
        number(&reference, &format!("{at}/adj_wald95_sauro/1")),
        1e-6,
        "high",
    );
    let wilson = attitude::wilson(found.above, 250.0, 0.95);
    close(
        wilson.low * 100.0,
        number(&reference, &format!("{at}/promoter_share_wilson95/0")),
        1e-6,
        "low",
    );
    close(
        wilson.high * 100.0,
        number(&reference, &format!("{at}/promoter_share_wilson95/1")),
        1e-6,
        "high",
    );
}

#[test]
fn top_two_boxes_and_mean() {
    let reference = json("reference/ecsi_mobi.json");
    let n = |name: &str| number(&reference, &format!("/csat_on_CUSA1_top2/{name}"));
    let found = csat(&answers("CUSA1"), 10.0, 0.95).unwrap();
    close(found.top2.share * 100.0, n("pct"), 1e-12, "share");
    close(
        found.top2.interval.low * 100.0,
        n("wilson95/0"),
        1e-6,
        "low",
    );
    close(
        found.top2.interval.high * 100.0,
        n("wilson95/1"),
        1e-6,
        "high",
    );
    close(found.mean.mean, n("mean"), 1e-12, "mean");
    close(found.mean.deviation.unwrap(), n("sd"), 1e-12, "deviation");
    // t(.975, 249) = 1.969537.
    let half = 1.969_537 * n("sd") / 250.0_f64.sqrt();
    close(
        found.mean.interval.unwrap().low,
        n("mean") - half,
        1e-6,
        "low",
    );
}

#[test]
fn reliability_of_each_construct() {
    let reference = json("reference/ecsi_mobi.json");
    for (name, row) in reference["cronbach_alpha"].as_object().unwrap() {
        let prefix = if name == "CUSA" { "CUSA" } else { name };
        let rows: Vec<Vec<Option<f64>>> = items(prefix)
            .into_iter()
            .map(|row| row.into_iter().map(Some).collect())
            .collect();
        let found = cronbach_alpha(&rows).unwrap();
        assert_eq!(
            (found.k as u64, found.n as u64),
            (row["k"].as_u64().unwrap(), row["n"].as_u64().unwrap())
        );
        close(found.alpha, row["alpha"].as_f64().unwrap(), 1e-9, name);
        assert!(found.item_rest.iter().all(Option::is_some));
    }
}

#[test]
fn nps_counts_and_refuses() {
    let on = |values: &[f64]| values.iter().map(|v| Answer::new(*v)).collect::<Vec<_>>();
    let found = nps(&on(&[10.0, 9.0, 8.0, 7.0, 6.0, 0.0, 10.0]), 0.95).unwrap();
    close(found.balance.points, 100.0 / 7.0, 1e-12, "points");
    close(found.passives, 2.0 / 7.0, 1e-12, "passives");
    assert_eq!(nps(&[], 0.95), Err(AttitudeError::Empty));
    let error = nps(&on(&[9.0, 11.0]), 0.95).unwrap_err().to_string();
    assert!(
        error.contains("answer 1") && error.contains("11"),
        "{error}"
    );
    assert!(nps(&on(&[8.5]), 0.95).is_err());
    assert!(nps(&on(&[f64::NAN]), 0.95).is_err());
    // One answer: an interval at every n; (1 + ¾ − ¾)/4 = 25 points ± 1.96 · 37.5.
    let one = nps(&on(&[10.0]), 0.95).unwrap().balance;
    assert_eq!(one.points, 100.0);
    close(one.interval.low, 25.0 - 1.959_964 * 37.5, 1e-6, "low");
    let clipped = nps(&on(&[10.0; 3]), 0.999).unwrap().balance;
    assert_eq!(clipped.interval.high, 100.0);
}

#[test]
fn weights_count_by_their_effective_number() {
    let equal: Vec<Answer> = [10.0, 3.0, 9.0]
        .iter()
        .map(|&value| Answer { value, weight: 2.0 })
        .collect();
    let single: Vec<Answer> = [10.0, 3.0, 9.0]
        .iter()
        .map(|&value| Answer::new(value))
        .collect();
    let (equal, single) = (nps(&equal, 0.95).unwrap(), nps(&single, 0.95).unwrap());
    close(
        equal.balance.interval.low,
        single.balance.interval.low,
        1e-12,
        "low",
    );
    let skewed = [
        Answer {
            value: 10.0,
            weight: 3.0,
        },
        Answer {
            value: 3.0,
            weight: 1.0,
        },
    ];
    let skewed = nps(&skewed, 0.95).unwrap().balance;
    close(skewed.points, 50.0, 1e-12, "points");
    close(skewed.n_effective, 1.6, 1e-12, "n");
}

#[test]
fn differences_and_edges() {
    let a = balance(0.5, 0.2, 400.0, 0.95).unwrap();
    let b = balance(0.4, 0.3, 300.0, 0.95).unwrap();
    let d = attitude::difference(&a, &b);
    close(d.points, 20.0, 1e-12, "points");
    assert!(d.interval.low > 0.0 && d.interval.low < 20.0 && d.interval.high > 20.0);
    assert_eq!(attitude::wilson(0.0, 10.0, 0.95).low, 0.0);
    assert_eq!(attitude::wilson(1.0, 10.0, 0.95).high, 1.0);
    assert_eq!(attitude::rescale(4.0, 1.0, 7.0), Some(50.0));
    assert_eq!(attitude::rescale(8.0, 1.0, 7.0), None);
    assert!(csat(&[Answer::new(3.0)], 6.0, 0.95).is_err());
    let one = attitude::ces(&[Answer::new(5.0)], 0.95).unwrap();
    assert_eq!((one.easy.share, one.mean.interval), (1.0, None));
    assert_eq!(
        cronbach_alpha(&[vec![Some(1.0), None], vec![Some(2.0), Some(2.0)]]),
        None
    );
    let constant = vec![vec![Some(3.0), Some(3.0)]; 5];
    assert_eq!(cronbach_alpha(&constant), None);
}

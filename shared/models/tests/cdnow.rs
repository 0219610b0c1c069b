#![allow(clippy::unwrap_used, clippy::expect_used)]
//! CDNOW against published and independently computed values.

mod support;

use regard_models::holdout::{self, Case};
use regard_models::purchase::Params;
use regard_models::{Fit, Grade, Model, Spend, Stat, bgnbd, clv, gamma_gamma, mbgnbd};
use serde_json::Value;
use support::{close, counted, json, number, summary};

fn stats() -> Vec<Stat> {
    summary().values().map(|c| c.0).collect()
}

fn same(fit: &Fit<Params>, reference: &Value, at: &str, tolerance: f64, b_tolerance: f64) {
    let n = |name: &str| number(reference, &format!("{at}/params/{name}"));
    close(fit.params.r, n("r"), tolerance, "r");
    close(fit.params.alpha, n("alpha"), tolerance, "alpha");
    close(fit.params.a, n("a"), tolerance, "a");
    close(fit.params.b, n("b"), b_tolerance, "b");
    let ll = number(reference, &format!("{at}/LL"));
    assert!(
        (fit.log_likelihood - ll).abs() < 1e-3,
        "LL {} is not {ll}",
        fit.log_likelihood
    );
    assert!(fit.decrement < 1e-10);
    assert_eq!(fit.grade, Grade::E);
}

#[test]
fn bgnbd_on_the_summary_file() {
    let reference = json("reference/cdnow.json");
    let fit = bgnbd::fit(&stats()).unwrap();
    same(&fit, &reference, "/bgnbd", 1e-4, 1e-3);
    assert_eq!(fit.n, 2357.0);
    // models.md prints maximum likelihood to six digits.
    close(fit.params.r, 0.242_593, 3e-6, "r");
    close(fit.params.alpha, 4.413_532, 1e-6, "alpha");
    close(fit.params.a, 0.792_886, 2e-6, "a");
    close(fit.params.b, 2.425_753, 1e-5, "b");
    close(fit.log_likelihood, -9582.4256, 1e-8, "LL");
    let se = |name| number(&reference, &format!("/bgnbd/se/{name}"));
    close(fit.standard_errors.r, se("r"), 0.01, "se r");
    close(fit.standard_errors.alpha, se("alpha"), 0.01, "se alpha");
    close(fit.standard_errors.a, se("a"), 0.01, "se a");
    close(fit.standard_errors.b, se("b"), 0.01, "se b");
}

#[test]
fn mbgnbd_on_the_summary_file() {
    let fit = mbgnbd::fit(&stats()).unwrap();
    same(
        &fit,
        &json("reference/cdnow.json"),
        "/mbgnbd/summary_file",
        1e-4,
        1e-3,
    );
}

#[test]
fn gamma_gamma_on_the_summary_file() {
    let reference = json("reference/cdnow.json");
    let spends: Vec<Spend> = summary().values().map(|c| c.1).collect();
    let fit = gamma_gamma::fit(&spends).unwrap();
    let at = |name| {
        number(
            &reference,
            &format!("/gamma_gamma/maximum_likelihood/{name}"),
        )
    };
    close(fit.params.p, at("p"), 1e-4, "p");
    close(fit.params.q, at("q"), 1e-4, "q");
    close(fit.params.gamma, at("v"), 1e-4, "gamma");
    assert!((fit.log_likelihood - at("LL")).abs() < 1e-3);
    assert_eq!(fit.n, 946.0);
    let correlation = fit.correlation.unwrap();
    close(
        correlation.pearson,
        number(&reference, "/gamma_gamma/corr_freq_monetary"),
        1e-9,
        "pearson",
    );
    let mean = gamma_gamma::population_mean(&fit.params).unwrap();
    close(
        mean,
        number(&reference, "/gamma_gamma/population_mean"),
        1e-4,
        "mean",
    );
}

fn reference_bgnbd(reference: &Value) -> Params {
    let n = |name| number(reference, &format!("/bgnbd/params/{name}"));
    Params {
        r: n("r"),
        alpha: n("alpha"),
        a: n("a"),
        b: n("b"),
    }
}

fn reference_gamma_gamma(reference: &Value) -> gamma_gamma::Params {
    let n = |name| number(reference, &format!("/gamma_gamma/params/{name}"));
    gamma_gamma::Params {
        p: n("p"),
        q: n("q"),
        gamma: n("v"),
    }
}

#[test]
fn customers_at_given_parameters() {
    let reference = json("reference/cdnow.json");
    let (params, value) = (
        reference_bgnbd(&reference),
        reference_gamma_gamma(&reference),
    );
    let customers = summary();
    for (id, row) in reference["customers"].as_object().unwrap() {
        let (stat, spend) = customers[&id.parse().unwrap()];
        let n = |name| number(row, &format!("/{name}"));
        close(stat.t_x, n("t_x"), 1e-12, "t_x");
        close(
            bgnbd::expected_purchases(&params, &stat, 1.0),
            n("bg_E1"),
            1e-6,
            "E1",
        );
        close(
            bgnbd::expected_purchases(&params, &stat, 39.0),
            n("bg_E39"),
            1e-6,
            "E39",
        );
        close(
            bgnbd::p_alive(&params, &stat),
            n("bg_palive"),
            1e-9,
            "P(alive)",
        );
        close(
            gamma_gamma::expected_value(&value, &spend).unwrap(),
            n("gg_cond_avg"),
            1e-9,
            "E[M]",
        );
    }
    for (weeks, expected) in reference["bgnbd"]["E_X_t"].as_object().unwrap() {
        let weeks: f64 = weeks.parse().unwrap();
        let found = bgnbd::expected_purchases(&params, &Stat::new(0.0, 0.0, 0.0), weeks);
        close(found, expected.as_f64().unwrap(), 1e-9, "E[X(t)]");
    }
    close(
        gamma_gamma::population_mean(&value).unwrap(),
        number(&reference, "/gamma_gamma/population_mean"),
        1e-9,
        "E[M]",
    );
}

#[test]
fn clv_discounts_each_month_at_its_end() {
    let reference = json("reference/cdnow.json");
    let (params, value) = (
        reference_bgnbd(&reference),
        reference_gamma_gamma(&reference),
    );
    let (stat, spend) = summary()[&1];
    // The reference uses 4.345 weeks a month and 1% a month; here 4.348 weeks.
    let annual = 1.01_f64.powi(12) - 1.0;
    let clv = clv::residual(&params, &value, &stat, &spend, annual).unwrap();
    close(
        clv.revenue,
        number(&reference, "/customers/1/clv12_1pct"),
        1e-3,
        "CLV",
    );
    assert_eq!(clv.steps.len(), 12);
    close(
        clv.steps[11].discount,
        1.01_f64.powi(-12),
        1e-12,
        "discount",
    );
    close(
        clv.purchases,
        bgnbd::expected_purchases(&params, &stat, 365.25 / 7.0),
        1e-12,
        "purchases",
    );
    close(
        clv.at_margin(0.3).unwrap(),
        0.3 * clv.revenue,
        1e-15,
        "margin",
    );
    assert!(clv.at_margin(1.5).is_err());
}

#[test]
fn from_orders_with_exact_days() {
    let reference = json("reference/cdnow.json");
    let at = "/from_orders_exact_days";
    let customers = counted();
    let stats: Vec<Stat> = customers.values().map(|c| c.stat).collect();
    let spends: Vec<Spend> = customers.values().map(|c| c.spend).collect();
    assert_eq!(stats.len() as f64, number(&reference, &format!("{at}/n")));
    assert_eq!(
        stats.iter().map(|s| s.x).sum::<f64>(),
        number(&reference, &format!("{at}/repeat_days"))
    );
    let bg = bgnbd::fit(&stats).unwrap();
    same(&bg, &reference, &format!("{at}/bgnbd"), 1e-4, 1e-3);
    same(
        &mbgnbd::fit(&stats).unwrap(),
        &reference,
        &format!("{at}/mbgnbd"),
        1e-4,
        1e-3,
    );
    let gg = gamma_gamma::fit(&spends).unwrap();
    let n = |name: &str| number(&reference, &format!("{at}/gamma_gamma/{name}"));
    close(gg.params.p, n("params/p"), 1e-4, "p");
    close(gg.params.q, n("params/q"), 1e-4, "q");
    close(gg.params.gamma, n("params/v"), 1e-4, "gamma");
    assert!((gg.log_likelihood - n("LL")).abs() < 1e-3);
    for (id, row) in reference
        .pointer(&format!("{at}/customers_by_sample_id"))
        .unwrap()
        .as_object()
        .unwrap()
    {
        let Some(customer) = customers.get(&id.parse().unwrap()) else {
            continue;
        };
        let n = |name| number(row, &format!("/{name}"));
        let tolerance = if n("p_alive_bgnbd") < 1e-6 {
            0.02
        } else {
            2e-3
        };
        assert_eq!(
            (customer.stat.x, customer.stat.t_x, customer.stat.t),
            (n("x"), n("t_x"), n("T"))
        );
        close(customer.spend.m, n("m"), 1e-9, "m");
        close(
            bgnbd::p_alive(&bg.params, &customer.stat),
            n("p_alive_bgnbd"),
            tolerance,
            "P(alive)",
        );
        close(
            bgnbd::expected_purchases(&bg.params, &customer.stat, 39.0),
            n("E39"),
            tolerance,
            "E39",
        );
        close(
            bgnbd::no_purchase(&bg.params, &customer.stat, 39.0),
            n("P0_39w"),
            tolerance,
            "P0 39w",
        );
        close(
            bgnbd::no_purchase(&bg.params, &customer.stat, 13.0),
            n("P0_13w"),
            tolerance,
            "P0 13w",
        );
    }
}

#[test]
fn hold_out_of_39_weeks() {
    let reference = json("reference/cdnow.json");
    let n = |name: &str| {
        number(
            &reference,
            &format!("/from_orders_exact_days/holdout_39_weeks/{name}"),
        )
    };
    let customers = counted();
    let fit = bgnbd::fit(&customers.values().map(|c| c.stat).collect::<Vec<_>>()).unwrap();
    let cases: Vec<Case> = customers
        .values()
        .map(|c| Case {
            stat: c.stat,
            actual: c.actual,
        })
        .collect();
    let outcome = holdout::assess(Model::BgNbd, &fit.params, &cases, 39.0).unwrap();
    close(outcome.rmse, n("rmse"), 1e-5, "RMSE");
    close(outcome.pearson.unwrap(), n("pearson"), 1e-5, "correlation");
    close(
        outcome.predicted_total,
        n("predicted_total"),
        1e-5,
        "predicted",
    );
    close(outcome.actual_total, n("actual_total"), 0.0, "actual");
    close(
        outcome.auc.unwrap(),
        n("auc_of_1_minus_P0_39w"),
        1e-4,
        "AUC",
    );
    assert_eq!(outcome.grade, Grade::C);
    let graded = fit.with_holdout(outcome.grade, outcome.reason.clone());
    assert_eq!(graded.grade, Grade::C);
    assert!(
        graded.reasons[0].contains("12.1% below"),
        "{:?}",
        graded.reasons
    );
    let alive: Vec<f64> = cases
        .iter()
        .map(|c| bgnbd::p_alive(&graded.params, &c.stat))
        .collect();
    let bought: Vec<bool> = cases.iter().map(|c| c.actual > 0).collect();
    let auc = regard_models::auc(&alive, &bought).unwrap();
    close(
        auc,
        n("auc_of_p_alive_for_who_buys"),
        1e-3,
        "AUC of P(alive)",
    );
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let truth = Params {
        r: 0.3,
        alpha: 5.0,
        a: 0.8,
        b: 2.5,
    };
    let market = regard_models::simulate::Market {
        customers: 60_000,
        weeks: 20.0..=60.0,
        future_weeks: 0.0,
        seed: 7,
    };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let customers = regard_models::simulate::market(Model::BgNbd, &truth, &market);
            let mut stats: Vec<Stat> = customers.iter().map(|c| c.stat).collect();
            if threads == 3 {
                stats.reverse();
            }
            bgnbd::fit(&stats).unwrap()
        })
    };
    let one = run(1);
    for threads in [2, 3, 4, 7] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

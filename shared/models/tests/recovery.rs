#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Simulated truth: recovered, foreseen and covered.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regard_models::predictive::Purchases;
use regard_models::purchase::{self, Params};
use regard_models::simulate::{self, Customer, Market};
use regard_models::{
    FitError, Model, Parameters, Spend, Stat, bgnbd, forecast, gamma_gamma, mbgnbd,
};

const TRUTH: Params = Params {
    r: 0.35,
    alpha: 5.0,
    a: 0.8,
    b: 2.5,
};
const MODELS: [Model; 2] = [Model::BgNbd, Model::MbgNbd];

fn market(model: Model, customers: usize, seed: u64) -> Vec<Customer> {
    simulate::market(
        model,
        &TRUTH,
        &Market {
            customers,
            weeks: 26.0..=52.0,
            future_weeks: 39.0,
            seed,
        },
    )
}

fn within_three_errors<P: Parameters>(found: &P, errors: &P, truth: &P) {
    for ((name, found), (error, truth)) in found
        .named()
        .into_iter()
        .zip(errors.values().into_iter().zip(truth.values()))
    {
        let z = (found - truth) / error;
        assert!(
            error > 0.0 && z.abs() < 3.0,
            "{name}: {found} ± {error}, truth {truth} (z = {z:.2})"
        );
    }
}

#[test]
fn parameters_are_recovered() {
    for model in MODELS {
        let stats: Vec<Stat> = market(model, 50_000, 11).iter().map(|c| c.stat).collect();
        let fit = purchase::fit(model, &stats).unwrap();
        within_three_errors(&fit.params, &fit.standard_errors, &TRUTH);
        assert_eq!(fit.n, 50_000.0);
    }
    let truth = gamma_gamma::Params {
        p: 6.0,
        q: 3.7,
        gamma: 15.0,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let spends: Vec<Spend> = (0..50_000)
        .map(|i| simulate::spend(&truth, f64::from(i % 7), &mut rng))
        .collect();
    let fit = gamma_gamma::fit(&spends).unwrap();
    within_three_errors(&fit.params, &fit.standard_errors, &truth);
    // In a currency of large numbers only the scale changes.
    let dear: Vec<Spend> = spends
        .iter()
        .map(|s| Spend { m: 1e6 * s.m, ..*s })
        .collect();
    let large = gamma_gamma::fit(&dear).unwrap();
    assert!((large.params.p / fit.params.p - 1.0).abs() < 1e-6);
    assert!((large.params.gamma / fit.params.gamma / 1e6 - 1.0).abs() < 1e-6);
    let shift = fit.log_likelihood - large.log_likelihood - fit.n * 1e6_f64.ln();
    assert!(shift.abs() < 1e-3 * fit.n * 1e-3, "{shift}");
}

#[test]
fn forecasts_meet_what_happens_in_every_stratum() {
    for model in MODELS {
        let customers = market(model, 100_000, 5);
        let strata: [fn(&Customer) -> bool; 4] = [
            |_| true,
            |c| c.stat.x == 0.0,
            |c| c.stat.x >= 3.0,
            |c| c.stat.x > 0.0 && c.stat.t_x < 0.5 * c.stat.t,
        ];
        for (i, stratum) in strata.iter().enumerate() {
            let chosen: Vec<&Customer> = customers.iter().filter(|c| stratum(c)).collect();
            let n = chosen.len() as f64;
            let off = |value: &dyn Fn(&Customer) -> f64| {
                let (sum, squares) = chosen
                    .iter()
                    .map(|c| value(c))
                    .fold((0.0, 0.0), |(s, q), d| (s + d, q + d * d));
                let mean = sum / n;
                mean / ((squares / n - mean * mean) / n).sqrt().max(1e-300)
            };
            let z = [
                off(&|c| {
                    purchase::expected_purchases(model, &TRUTH, &c.stat, 39.0) - c.future as f64
                }),
                off(&|c| {
                    purchase::no_purchase(model, &TRUTH, &c.stat, 39.0)
                        - f64::from(u8::from(c.future == 0))
                }),
                off(&|c| purchase::p_alive(model, &TRUTH, &c.stat) - f64::from(u8::from(c.active))),
            ];
            // BG/NBD knows that one-time buyers are active: nothing varies there.
            assert!(
                z.iter().all(|z| z.abs() < 4.0),
                "{model:?}, stratum {i} of {n}: z = {z:?}"
            );
        }
    }
}

#[test]
fn intervals_cover_what_they_claim() {
    for model in MODELS {
        let stats: Vec<Customer> = market(model, 20_000, 23);
        let fit = purchase::fit(model, &stats.iter().map(|c| c.stat).collect::<Vec<_>>()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut within, mut held) = (0, 0);
        for customer in &stats {
            let future = Purchases::new(model, &fit.params, &customer.stat, 39.0);
            let below = if customer.future == 0 {
                0.0
            } else {
                future.cdf(customer.future - 1)
            };
            let transform = below + rng.random::<f64>() * future.pmf(customer.future);
            within += usize::from((0.05..=0.95).contains(&transform));
            let (low, high) = future.interval(0.9);
            held += usize::from((low..=high).contains(&customer.future));
        }
        let coverage = within as f64 / stats.len() as f64;
        assert!((0.88..=0.92).contains(&coverage), "{model:?}: {coverage}");
        assert!(held as f64 >= 0.9 * stats.len() as f64, "{model:?}: {held}");
    }
}

#[test]
fn totals_are_covered() {
    let mut held = 0;
    for seed in 0..60 {
        let customers = market(Model::BgNbd, 1_500, 1_000 + seed);
        let stats: Vec<Stat> = customers.iter().map(|c| c.stat).collect();
        let fit = bgnbd::fit(&stats).unwrap();
        let total = forecast::total(Model::BgNbd, &fit, &stats, 39.0, 0.9, None).unwrap();
        let actual: u64 = customers.iter().map(|c| c.future).sum();
        held += usize::from((total.interval.low..=total.interval.high).contains(&(actual as f64)));
        assert!(total.parameter_error > 0.0 && total.mean_interval.high < total.interval.high);
        let mean: f64 = stats
            .iter()
            .map(|s| bgnbd::expected_purchases(&fit.params, s, 39.0))
            .sum();
        assert!((total.mean / mean - 1.0).abs() < 1e-12);
    }
    // 90% of 60 with three standard deviations of chance.
    assert!((47..=60).contains(&held), "{held} of 60");
}

#[test]
fn too_little_data_says_why() {
    let one = [Stat::new(2.0, 3.0, 10.0)];
    let never = vec![Stat::new(0.0, 0.0, 20.0); 500];
    let alike = vec![Stat::new(3.0, 8.0, 20.0); 500];
    for fit in [bgnbd::fit, mbgnbd::fit] {
        assert!(matches!(
            fit(&[]),
            Err(FitError::TooLittle {
                what: "customers",
                ..
            })
        ));
        assert!(matches!(
            fit(&one),
            Err(FitError::TooLittle {
                what: "customers",
                ..
            })
        ));
        let error = fit(&never).unwrap_err().to_string();
        assert!(
            error.contains("0 customers with a repeat purchase, at least 3"),
            "{error}"
        );
        assert!(matches!(
            fit(&alike),
            Err(FitError::TooLittle {
                what: "different purchase histories",
                ..
            })
        ));
        let error = fit(&[one[0], Stat::new(1.0, 0.0, 5.0)])
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 1") && error.contains("t_x"), "{error}");
    }
    assert!(matches!(
        gamma_gamma::fit(&[Spend::new(1.0, 3.0)]),
        Err(FitError::TooLittle { .. })
    ));
    assert!(matches!(
        gamma_gamma::fit(&vec![Spend::new(2.0, 3.0); 50]),
        Err(FitError::TooLittle { .. })
    ));
}

#[test]
fn small_samples_end_in_numbers_or_in_a_reason() {
    for seed in 0..300 {
        for model in MODELS {
            let stats: Vec<Stat> = market(model, 12 + seed as usize, seed)
                .iter()
                .map(|c| c.stat)
                .collect();
            match purchase::fit(model, &stats) {
                Ok(fit) => {
                    let all = [
                        fit.params.values(),
                        fit.standard_errors.values(),
                        vec![fit.log_likelihood],
                    ]
                    .concat();
                    assert!(all.iter().all(|v| v.is_finite()), "{fit:?}");
                    assert!(fit.decrement < 1e-10 && fit.params.validate().is_ok());
                }
                Err(error) => assert!(!error.to_string().contains("NaN"), "{error}"),
            }
        }
    }
}

#[test]
fn nearly_alike_customers_have_no_maximum() {
    // Everyone buys every week and nobody stops.
    let steady: Vec<Stat> = (20..60)
        .map(|t| Stat::new(f64::from(t), f64::from(t) - 0.2, f64::from(t)))
        .collect();
    let error = bgnbd::fit(&steady).unwrap_err();
    assert!(matches!(error, FitError::NoMaximum { .. }), "{error}");
}

#[test]
fn equal_rows_count_as_one_with_a_weight() {
    let stats: Vec<Stat> = market(Model::BgNbd, 2_000, 9)
        .iter()
        .map(|c| c.stat)
        .collect();
    let weighted: Vec<Stat> = stats.iter().map(|s| Stat { weight: 3.0, ..*s }).collect();
    let repeated: Vec<Stat> = stats.iter().flat_map(|s| [*s; 3]).collect();
    let (weighted, repeated) = (
        bgnbd::fit(&weighted).unwrap(),
        bgnbd::fit(&repeated).unwrap(),
    );
    assert_eq!((weighted.n, weighted.rows), (6_000.0, 2_000));
    assert_eq!(weighted.params, repeated.params);
}

#[test]
fn value_that_depends_on_frequency_caps_the_grade() {
    let truth = gamma_gamma::Params {
        p: 6.0,
        q: 3.7,
        gamma: 15.0,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let spends: Vec<Spend> = (0..2_000)
        .map(|i| {
            let x = f64::from(1 + i % 7);
            Spend::new(x, simulate::spend(&truth, x, &mut rng).m * x)
        })
        .collect();
    let fit = gamma_gamma::fit(&spends).unwrap();
    assert!(fit.correlation.unwrap().spearman > 0.3);
    let graded = fit.with_holdout(regard_models::Grade::A, "hold-out: good".to_owned());
    assert_eq!(graded.grade, regard_models::Grade::C);
    assert!(graded.reasons.iter().any(|r| r.contains("Spearman")));
}

#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Defined and in range for any valid input; equal to other forms of the same value.

mod support;

use proptest::prelude::*;
use regard_models::predictive::{Purchases, Total};
use regard_models::purchase::{self, Params};
use regard_models::special::{beta_inc, digamma, ln_gamma, ln_rising, trigamma};
use regard_models::{Model, Parameters, Spend, Stat, bgnbd, clv, gamma_gamma};
use support::close;

const MODELS: [Model; 2] = [Model::BgNbd, Model::MbgNbd];
const CDNOW: Params = Params {
    r: 0.2426,
    alpha: 4.4135,
    a: 0.7929,
    b: 2.4258,
};

#[test]
fn special_functions() {
    close(ln_gamma(0.5), 0.572_364_942_924_700_1, 1e-14, "lnΓ(.5)");
    close(ln_gamma(100.0), 359.134_205_369_575_4, 1e-14, "lnΓ(100)");
    close(ln_gamma(1e-8), 18.420_680_738_180_21, 1e-13, "lnΓ(1e-8)");
    close(digamma(1.0), -0.577_215_664_901_532_9, 1e-13, "ψ(1)");
    close(digamma(0.25), -4.227_453_533_376_265, 1e-13, "ψ(.25)");
    close(
        trigamma(1.0),
        std::f64::consts::PI.powi(2) / 6.0,
        1e-13,
        "ψ′(1)",
    );
    close(
        ln_rising(0.3, 100.0),
        ln_gamma(100.3) - ln_gamma(0.3),
        1e-13,
        "rising",
    );
    close(
        ln_rising(1e7, 5.5),
        5.5 * 1e7_f64.ln() + 5.5 * 4.5 / 2e7,
        1e-12,
        "rising, large",
    );
    // I_x(2, 3) = 6x² − 8x³ + 3x⁴.
    close(beta_inc(0.3, 2.0, 3.0), 0.3483, 1e-12, "I");
    close(beta_inc(0.5, 5000.0, 5000.0), 0.5, 1e-9, "I, large");
}

/// ₂F₁ by its series.
fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0, 1.0, 0.0);
    while n < 1e6 {
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        sum += term;
        n += 1.0;
        if term.abs() < 1e-17 * sum.abs() {
            break;
        }
    }
    sum
}

/// E[X | alive] by the transformed ₂F₁ form; B stands for b or b + 1.
fn printed(p: &Params, shift: f64, s: &Stat, weeks: f64) -> f64 {
    let (b, z) = (p.b + shift, weeks / (p.alpha + s.t + weeks));
    let c = p.a + b + s.x - 1.0;
    let f = hypergeometric(p.a - 1.0, p.a + b - 1.0 - p.r, c, z);
    c / (p.a - 1.0) * (1.0 - (1.0 - z).powf(p.a - 1.0) * f)
}

#[test]
fn expectation_equals_the_hypergeometric_form() {
    for p in [
        CDNOW,
        Params {
            r: 2.3,
            alpha: 1.7,
            a: 3.2,
            b: 0.4,
        },
        Params {
            r: 0.05,
            alpha: 20.0,
            a: 0.1,
            b: 9.0,
        },
    ] {
        for s in [
            Stat::new(0.0, 0.0, 30.0),
            Stat::new(3.0, 10.0, 12.0),
            Stat::new(29.0, 37.0, 38.0),
        ] {
            for weeks in [0.5, 13.0, 52.0] {
                for (model, shift) in [(Model::BgNbd, 0.0), (Model::MbgNbd, 1.0)] {
                    let alive = purchase::p_alive(model, &p, &s);
                    let found = purchase::expected_purchases(model, &p, &s, weeks);
                    close(found, alive * printed(&p, shift, &s, weeks), 1e-9, "E");
                }
            }
        }
    }
}

/// E[X | alive] by Simpson's rule over p after p = u² (1−u)-free substitution sin²: no formula shared with the crate.
fn by_integration(p: &Params, shift: f64, s: &Stat, weeks: f64) -> f64 {
    let (a, b, k, beta) = (p.a, p.b + s.x + shift, p.r + s.x, p.alpha + s.t);
    let ln_norm = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let value = |v: f64| {
        let (sin, cos) = v.sin_cos();
        let share = sin * sin;
        if share < 1e-300 || cos < 1e-150 {
            return 0.0;
        }
        let made = -(-k * (share * weeks / beta).ln_1p()).exp_m1() / share;
        made * (ln_norm + (2.0 * a - 1.0) * sin.ln() + (2.0 * b - 1.0) * cos.ln()).exp() * 2.0
    };
    let n = 200_000;
    let step = std::f64::consts::FRAC_PI_2 / f64::from(n);
    (0..n)
        .map(|i| value((f64::from(i) + 0.5) * step))
        .sum::<f64>()
        * step
}

#[test]
fn expectation_equals_numerical_integration() {
    for p in [
        Params { a: 1.3, ..CDNOW },
        Params {
            r: 2.3,
            alpha: 1.7,
            a: 1.0,
            b: 0.8,
        },
    ] {
        for s in [Stat::new(1.0, 5.0, 30.0), Stat::new(12.0, 10.0, 12.0)] {
            for (model, shift) in [(Model::BgNbd, 0.0), (Model::MbgNbd, 1.0)] {
                let found = purchase::expected_purchases(model, &p, &s, 26.0)
                    / purchase::p_alive(model, &p, &s);
                close(found, by_integration(&p, shift, &s, 26.0), 1e-5, "E");
            }
        }
    }
}

#[test]
fn hard_points() {
    // Where the printed form overflows, a = 1, and c = a + b + x − 1 = 0.
    let big = Stat::new(2000.0, 499.0, 500.0);
    let found = bgnbd::expected_purchases(&CDNOW, &big, 520.0);
    assert!(found > 500.0 && found < 2100.0, "{found}");
    let by_z = by_integration(&CDNOW, 0.0, &big, 520.0) * bgnbd::p_alive(&CDNOW, &big);
    close(found, by_z, 1e-3, "E");
    let at_one = Params { a: 1.0, ..CDNOW };
    let near =
        |a| bgnbd::expected_purchases(&Params { a, ..CDNOW }, &Stat::new(2.0, 20.0, 30.0), 39.0);
    close(
        near(1.0),
        0.5 * (near(1.0 - 1e-6) + near(1.0 + 1e-6)),
        1e-9,
        "a = 1",
    );
    let zero_c = Params {
        a: 0.4,
        b: 0.6,
        ..at_one
    };
    let new = Stat::new(0.0, 0.0, 0.0);
    let around = |b| bgnbd::expected_purchases(&Params { b, ..zero_c }, &new, 39.0);
    close(
        around(0.6),
        0.5 * (around(0.6 - 1e-6) + around(0.6 + 1e-6)),
        1e-9,
        "c = 0",
    );
}

#[test]
fn long_series_meet_the_integral() {
    // On both sides of the longest series the value must not jump.
    for p in [
        CDNOW,
        Params { a: 1.5, ..CDNOW },
        Params {
            a: 0.02,
            b: 50.0,
            ..CDNOW
        },
    ] {
        let s = Stat::new(400.0, 20.0, 20.0);
        let at = |weeks: f64| bgnbd::expected_purchases(&p, &s, weeks);
        let mut last = at(500.0);
        let mut weeks = 500.0;
        while weeks < 2000.0 {
            weeks *= 1.01;
            let now = at(weeks);
            assert!(
                now >= last * (1.0 - 1e-9) && now < last * 1.0101,
                "{p:?} at {weeks}: {last} then {now}"
            );
            last = now;
        }
    }
}

fn any_params() -> impl Strategy<Value = Params> {
    let any = || (-6.0..6.0_f64).prop_map(|e| 10.0_f64.powf(e));
    (any(), any(), any(), any()).prop_map(|(r, alpha, a, b)| Params { r, alpha, a, b })
}

fn any_stat() -> impl Strategy<Value = Stat> {
    let x = prop_oneof![Just(0_u32), 1..10_u32, 1..100_000_u32];
    (x, 1e-6..1.0_f64, (-3.0..4.0_f64)).prop_map(|(x, part, e)| {
        let t = 10.0_f64.powf(e);
        if x == 0 {
            Stat::new(0.0, 0.0, t)
        } else {
            Stat::new(f64::from(x), part * t, t)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn always_defined(p in any_params(), s in any_stat(), weeks in 0.0..2000.0_f64) {
        s.validate().unwrap();
        for model in MODELS {
            let ll = purchase::log_likelihood(model, &p, &s);
            let alive = purchase::p_alive(model, &p, &s);
            let none = purchase::no_purchase(model, &p, &s, weeks);
            let some = purchase::expected_purchases(model, &p, &s, weeks);
            prop_assert!(ll.is_finite(), "LL {ll}");
            prop_assert!((0.0..=1.0).contains(&alive), "alive {alive}");
            prop_assert!((0.0..=1.0).contains(&none) && none >= 1.0 - alive - 1e-14, "none {none}");
            prop_assert!(some.is_finite() && some >= 0.0, "E {some}");
            // Markov: at least one purchase is no likelier than the expected number.
            prop_assert!(1.0 - none <= some * (1.0 + 1e-6) + 1e-12, "{none} and {some}");
            let later = weeks * 1.5 + 0.1;
            prop_assert!(purchase::no_purchase(model, &p, &s, later) <= none + 1e-15);
            let more = purchase::expected_purchases(model, &p, &s, later);
            prop_assert!(more >= some * (1.0 - 1e-8), "{some} then {more}");
            let ratio = purchase::log_likelihood(model, &p, &Stat { t: s.t + weeks, ..s }) - ll;
            prop_assert!((ratio.exp() - none).abs() < 1e-6 + 1e-9 * ll.abs(), "P0 {none}, by likelihoods {}", ratio.exp());
        }
    }

    #[test]
    fn distributions_are_distributions(p in any_params(), s in any_stat(), weeks in 0.0..200.0_f64, level in 0.0..1.0_f64) {
        for model in MODELS {
            let future = Purchases::new(model, &p, &s, weeks);
            let n = future.quantile(level);
            prop_assert!(future.cdf(n) >= level - 1e-8, "{n}: {} < {level}", future.cdf(n));
            prop_assert!(n == 0 || future.cdf(n - 1) < level + 1e-8, "{n} too large: {} ≥ {level}", future.cdf(n - 1));
            let (low, high) = future.interval(0.9);
            prop_assert!(low <= high);
            for n in [0, 1, 2, 5, 50, 1000] {
                let (pmf, cdf) = (future.pmf(n), future.cdf(n));
                prop_assert!((0.0..=1.0).contains(&pmf) && (0.0..=1.0).contains(&cdf));
                prop_assert!(n == 0 || (cdf - future.cdf(n - 1) - pmf).abs() < 1e-7, "{n}: {pmf}");
            }
        }
    }

    #[test]
    fn fits_of_anything_end(rows in prop::collection::vec(any_stat(), 10..60), values in prop::collection::vec(0.0..1e5_f64, 60)) {
        for model in MODELS {
            match purchase::fit(model, &rows) {
                Ok(fit) => {
                    let numbers = [fit.params.values(), fit.standard_errors.values()].concat();
                    prop_assert!(fit.log_likelihood.is_finite() && numbers.iter().all(|v| v.is_finite() && *v > 0.0), "{fit:?}");
                }
                Err(e) => prop_assert!(!e.to_string().contains("NaN"), "{e}"),
            }
        }
        let spends: Vec<Spend> = rows.iter().zip(&values).map(|(s, m)| Spend::new(s.x, *m)).collect();
        match gamma_gamma::fit(&spends) {
            Ok(fit) => prop_assert!(fit.log_likelihood.is_finite() && fit.standard_errors.values().iter().all(|v| v.is_finite() && *v > 0.0)),
            Err(e) => prop_assert!(!e.to_string().contains("NaN"), "{e}"),
        }
    }

    #[test]
    fn values_are_defined(p in -3.0..4.0_f64, q in -3.0..4.0_f64, g in -3.0..6.0_f64, x in 0..5000_u32, m in 0.0..1e6_f64) {
        let params = gamma_gamma::Params { p: 10.0_f64.powf(p), q: 10.0_f64.powf(q), gamma: 10.0_f64.powf(g) };
        let spend = Spend::new(f64::from(x), m);
        prop_assert!(gamma_gamma::log_likelihood(&params, &spend).is_finite());
        let mean = gamma_gamma::expected_value(&params, &spend);
        prop_assert!(mean.is_none_or(|v| v.is_finite() && v >= 0.0));
        let stat = if x == 0 { Stat::new(0.0, 0.0, 10.0) } else { Stat::new(f64::from(x), 5.0, 10.0) };
        let clv = clv::residual(&CDNOW, &params, &stat, &spend, 0.1);
        prop_assert_eq!(clv.is_some(), mean.is_some());
        prop_assert!(clv.is_none_or(|c| c.revenue.is_finite() && c.revenue >= 0.0));
    }
}

#[test]
fn the_distribution_has_the_expected_mean() {
    for model in MODELS {
        for s in [
            Stat::new(0.0, 0.0, 30.0),
            Stat::new(7.0, 28.0, 30.0),
            Stat::new(40.0, 29.0, 30.0),
        ] {
            let future = Purchases::new(model, &CDNOW, &s, 39.0);
            let mean: f64 = (0..2000).map(|n| n as f64 * future.pmf(n)).sum();
            close(mean, future.mean(), 1e-9, "mean");
            close((0..2000).map(|n| future.pmf(n)).sum(), 1.0, 1e-9, "mass");
        }
    }
}

#[test]
fn spend_distribution() {
    let value = gamma_gamma::Params {
        p: 6.25,
        q: 3.74,
        gamma: 15.44,
    };
    let (s, spend) = (Stat::new(7.0, 28.0, 30.0), Spend::new(7.0, 40.0));
    let future = Purchases::new(Model::BgNbd, &CDNOW, &s, 39.0);
    let total = Total::new(&future, &value, &spend).unwrap();
    close(total.cdf(0.0), future.pmf(0), 1e-12, "none");
    for level in [0.3, 0.5, 0.9, 0.99] {
        let amount = total.quantile(level);
        assert!(
            amount == 0.0 || (total.cdf(amount) - level).abs() < 1e-6,
            "{level}: {amount}"
        );
    }
    // E[S] = E[X] · E[M], by the tail integral.
    let step = 2.0;
    let mean: f64 = (0..20_000)
        .map(|i| 1.0 - total.cdf(step * (f64::from(i) + 0.5)))
        .sum::<f64>()
        * step;
    close(
        mean,
        future.mean() * gamma_gamma::expected_value(&value, &spend).unwrap(),
        2e-3,
        "mean",
    );
    let (low, high) = total.interval(0.9);
    assert!(low <= mean && mean <= high);
}

#[test]
fn input_is_named_when_refused() {
    let refused = |s: Stat| s.validate().unwrap_err().to_string();
    assert!(refused(Stat::new(1.5, 1.0, 2.0)).starts_with("x = 1.5"));
    assert!(refused(Stat::new(1.0, 3.0, 2.0)).starts_with("t_x = 3"));
    assert!(refused(Stat::new(0.0, 1.0, 2.0)).contains("because x is 0"));
    assert!(refused(Stat::new(1.0, 0.0, 2.0)).contains("because x is more than 0"));
    assert!(refused(Stat::new(0.0, 0.0, f64::NAN)).starts_with("T = NaN"));
    assert!(refused(Stat::new(-1.0, 0.0, 1.0)).starts_with("x = -1"));
    assert!(
        refused(Stat {
            weight: 0.0,
            ..Stat::new(0.0, 0.0, 1.0)
        })
        .starts_with("weight = 0")
    );
    assert!(Spend::new(1.0, f64::INFINITY).validate().is_err());
    assert!(
        regard_models::Parameters::validate(&Params { b: -1.0, ..CDNOW })
            .unwrap_err()
            .to_string()
            .starts_with("b = -1")
    );
}

//! One customer's life in a market.

use regard_models::{bgnbd, gamma_gamma};
use regard_types::Day;
use serde::Serialize;

use super::draw::Draw;

/// Name of the survey that customers answer.
pub const SURVEY: &str = "after-purchase";
/// Microseconds of a week.
const WEEK: f64 = 604_800e6;
/// Ends the loop of an absurd rate.
const ORDERS_MAX: usize = 100_000;

/// What the market is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub customers: u64,
    pub seed: u64,
    /// The day the market opens.
    pub start: Day,
    /// Weeks that are written.
    pub weeks: f64,
    /// Weeks over which first purchases are spread, at most `weeks`.
    pub entry_weeks: f64,
    /// Weeks after the end that only the truth tells.
    pub future_weeks: f64,
    /// Strength of satisfaction; 0 for none.
    pub effect: f64,
    pub purchases: bgnbd::Params,
    pub values: gamma_gamma::Params,
    /// Chance of an answer after a purchase.
    pub response: f64,
}

/// How much one unit of satisfaction moves the log of the rate and the log odds of leaving.
pub const RATE_EFFECT: f64 = 0.35;
pub const DROPOUT_EFFECT: f64 = 0.8;

impl Plan {
    /// CDNOW's parameters.
    #[must_use]
    pub const fn new(customers: u64, seed: u64) -> Self {
        Self {
            customers,
            seed,
            start: Day(19_723), // 2024-01-01
            weeks: 78.0,
            entry_weeks: 12.0,
            future_weeks: 13.0,
            effect: 1.0,
            purchases: bgnbd::Params {
                r: 0.2426,
                alpha: 4.4135,
                a: 0.7929,
                b: 2.4258,
            },
            values: gamma_gamma::Params {
                p: 6.2488,
                q: 3.7446,
                gamma: 15.448,
            },
            response: 0.3,
        }
    }
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// Microseconds since 1970 in UTC.
    pub at: i64,
    /// Minor units (cents).
    pub cents: i64,
}

/// An answer to the survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Microseconds since 1970 in UTC.
    pub at: i64,
    /// 0..10.
    pub nps: u8,
    /// 1..5.
    pub csat: u8,
}

/// A customer: what can be seen, and the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Customer {
    #[serde(skip)]
    pub orders: Vec<Order>,
    #[serde(skip)]
    pub answers: Vec<Answer>,
    pub satisfaction: f64,
    pub rate_per_week: f64,
    pub dropout: f64,
    pub mean_value: f64,
    /// Still a customer at the end of the written weeks.
    pub active_at_end: bool,
    /// Microseconds since 1970 of the purchase after which the customer left.
    #[serde(skip)]
    pub left_at: Option<i64>,
    pub future_orders: u64,
}

/// The customer of a number: the same for the same plan, whoever else is drawn.
#[must_use]
pub fn customer(plan: &Plan, number: u64) -> Customer {
    let mut draw = Draw::new(plan.seed, number);
    let satisfaction = draw.normal();
    let moved = plan.effect * RATE_EFFECT;
    let rate = draw.gamma(plan.purchases.r) / plan.purchases.alpha
        * (moved * satisfaction - moved * moved / 2.0).exp();
    let odds = draw.beta_log_odds(plan.purchases.a, plan.purchases.b)
        - plan.effect * DROPOUT_EFFECT * satisfaction;
    let dropout = 1.0 / (1.0 + (-odds).exp());
    let nu = draw.gamma(plan.values.q).max(1e-12) / plan.values.gamma;
    let entry = plan.entry_weeks.min(plan.weeks) * draw.unit();

    let micros = |week: f64| i64::from(plan.start.0) * 86_400_000_000 + (week * WEEK) as i64;
    let mut me = Customer {
        orders: Vec::new(),
        answers: Vec::new(),
        satisfaction,
        rate_per_week: rate,
        dropout,
        mean_value: plan.values.p / nu,
        active_at_end: true,
        left_at: None,
        future_orders: 0,
    };
    let mut time = entry;
    let mut first = true;
    while time < plan.weeks + plan.future_weeks && me.orders.len() < ORDERS_MAX {
        // Drawn in the future too, so that a longer market begins like a shorter one.
        let cents = (draw.gamma(plan.values.p) / nu * 100.0)
            .round()
            .clamp(1.0, 1e12) as i64;
        let says = draw.unit() < plan.response;
        let (noise, other, delay) = (draw.normal(), draw.normal(), draw.unit());
        if time < plan.weeks {
            let at = micros(time);
            me.orders.push(Order { at, cents });
            // Answers come within three days, and within the written weeks.
            let answered = time + delay * 3.0 / 7.0;
            if says && answered < plan.weeks {
                let nps = (7.5 + 1.6 * satisfaction + noise).round().clamp(0.0, 10.0) as u8;
                let csat = (3.7 + 0.7 * satisfaction + 0.5 * other)
                    .round()
                    .clamp(1.0, 5.0) as u8;
                me.answers.push(Answer {
                    at: micros(answered),
                    nps,
                    csat,
                });
            }
        } else {
            me.future_orders += 1;
        }
        // BG/NBD: nobody leaves at the first purchase.
        if !first && draw.unit() < dropout {
            me.left_at = Some(micros(time));
            me.active_at_end = time >= plan.weeks;
            break;
        }
        first = false;
        let wait = draw.exponential() / rate.max(1e-12);
        time += wait;
    }
    me
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regard_models::pearson;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_customer_is_sound(seed: u64, number in 0_u64..1_000_000, weeks in 1.0..200.0_f64, effect in 0.0..3.0_f64) {
            let plan = Plan { weeks, effect, ..Plan::new(1, seed) };
            let one = customer(&plan, number);
            prop_assert_eq!(&one, &customer(&plan, number));
            prop_assert!(!one.orders.is_empty());
            let (from, to) = (i64::from(plan.start.0) * 86_400_000_000, i64::from(plan.start.0) * 86_400_000_000 + (weeks * WEEK) as i64);
            prop_assert!(one.orders.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert!(one.orders.iter().all(|o| o.cents > 0 && (from..=to).contains(&o.at)));
            prop_assert!(one.answers.iter().all(|a| a.nps <= 10 && (1..=5).contains(&a.csat) && (from..=to).contains(&a.at)));
            prop_assert!(one.answers.len() <= one.orders.len());
            prop_assert!((0.0..=1.0).contains(&one.dropout) && one.rate_per_week.is_finite() && one.mean_value.is_finite());
            prop_assert!(one.active_at_end || one.future_orders == 0);
        }

        #[test]
        fn a_longer_market_begins_like_a_shorter_one(seed: u64, number in 0_u64..1000) {
            let short = customer(&Plan::new(1, seed), number);
            let long = customer(&Plan { weeks: 100.0, ..Plan::new(1, seed) }, number);
            prop_assert_eq!(&long.orders[..short.orders.len()], &short.orders[..]);
        }
    }

    #[test]
    fn satisfaction_moves_answers_and_behaviour() {
        let plan = Plan {
            response: 1.0,
            ..Plan::new(20_000, 7)
        };
        let all: Vec<Customer> = (0..plan.customers).map(|n| customer(&plan, n)).collect();
        let pairs = |f: &dyn Fn(&Customer) -> f64| {
            let (s, v): (Vec<f64>, Vec<f64>) = all.iter().map(|c| (c.satisfaction, f(c))).unzip();
            pearson(&s, &v).expect("varies")
        };
        assert!(pairs(&|c| f64::from(u8::from(c.active_at_end))) > 0.05);
        assert!(pairs(&|c| c.rate_per_week) > 0.05);
        assert!(pairs(&|c| c.dropout) < -0.2);
        assert!(pairs(&|c| c.mean_value).abs() < 0.03);
        let answered: Vec<&Customer> = all.iter().filter(|c| !c.answers.is_empty()).collect();
        let (s, v): (Vec<f64>, Vec<f64>) = answered
            .iter()
            .map(|c| (c.satisfaction, f64::from(c.answers[0].nps)))
            .unzip();
        assert!(pearson(&s, &v).expect("varies") > 0.7);
    }

    #[test]
    fn without_effect_the_truth_is_recovered() {
        let plan = Plan {
            effect: 0.0,
            ..Plan::new(20_000, 11)
        };
        let mut stats = Vec::new();
        let mut spends = Vec::new();
        for number in 0..plan.customers {
            let one = customer(&plan, number);
            let (first, last) = (one.orders[0].at, one.orders[one.orders.len() - 1].at);
            let end = i64::from(plan.start.0) * 86_400_000_000 + (plan.weeks * WEEK) as i64;
            let weeks = |to: i64| (to - first) as f64 / WEEK;
            let x = (one.orders.len() - 1) as f64;
            stats.push(regard_models::Stat::new(x, weeks(last), weeks(end)));
            let sum: i64 = one.orders.iter().skip(1).map(|o| o.cents).sum();
            spends.push(regard_models::Spend::new(
                x,
                if x > 0.0 { sum as f64 / 100.0 / x } else { 0.0 },
            ));
        }
        let fit = bgnbd::fit(&stats).expect("fits");
        let truth = plan.purchases;
        let (p, e) = (fit.params, fit.standard_errors);
        for (name, got, want, error) in [
            ("r", p.r, truth.r, e.r),
            ("alpha", p.alpha, truth.alpha, e.alpha),
            ("a", p.a, truth.a, e.a),
            ("b", p.b, truth.b, e.b),
        ] {
            assert!(
                (got - want).abs() < 3.0 * error,
                "{name}: {got} against {want}, standard error {error}"
            );
        }
        let fit = gamma_gamma::fit(&spends).expect("fits");
        let (p, e) = (fit.params, fit.standard_errors);
        assert!((p.p - plan.values.p).abs() < 3.0 * e.p && (p.q - plan.values.q).abs() < 3.0 * e.q);
    }
}

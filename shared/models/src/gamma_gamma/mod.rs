//! Gamma-Gamma model of the value of a purchase (Fader, Hardie 2013).
//!
//! Values of one customer are Gamma(p, ν), ν ~ Gamma(q, γ) between customers, independent of how often they buy.

mod fit;

pub use fit::{MIN_CUSTOMERS, fit};

use crate::fit::Parameters;
use crate::special::{ln_gamma, ln_rising};
use crate::summary::Spend;

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Shape of one customer's values.
    pub p: f64,
    /// Shape of the differences between customers; no population mean where q ≤ 1.
    pub q: f64,
    /// Scale, in the currency's main unit.
    pub gamma: f64,
}

impl Parameters for Params {
    const NAMES: &'static [&'static str] = &["p", "q", "gamma"];

    fn values(&self) -> Vec<f64> {
        vec![self.p, self.q, self.gamma]
    }

    fn from_values(values: &[f64]) -> Self {
        let at = |i: usize| values.get(i).copied().unwrap_or(1.0);
        Self {
            p: at(0),
            q: at(1),
            gamma: at(2),
        }
    }
}

/// Log-likelihood of one customer's mean value; 0 (no information) where x or m is 0. The weight is not applied.
#[must_use]
pub fn log_likelihood(params: &Params, spend: &Spend) -> f64 {
    let Params { p, q, gamma } = *params;
    let Spend { x, m, .. } = *spend;
    if x <= 0.0 || m <= 0.0 {
        return 0.0;
    }
    // lnΓ(px+q) − lnΓ(q) is the rising factorial; ln m and ln(γ+mx) are paired so that scale cancels.
    let total = m * x;
    ln_rising(q, p * x) - ln_gamma(p * x) - m.ln() + p * x * (total / (gamma + total)).ln()
        - q * (total / gamma).ln_1p()
}

/// E[M | x, m] = p(γ+mx)/(px+q−1); the population mean where x = 0. `None` where px+q ≤ 1: no mean exists.
#[must_use]
pub fn expected_value(params: &Params, spend: &Spend) -> Option<f64> {
    let Params { p, q, gamma } = *params;
    let below = p * spend.x + q - 1.0;
    let total = if spend.x > 0.0 {
        spend.x * spend.m
    } else {
        0.0
    };
    (below > 0.0)
        .then(|| p * (gamma + total) / below)
        .filter(|v| v.is_finite())
}

/// Mean value of a purchase over all customers, pγ/(q−1); `None` where q ≤ 1.
#[must_use]
pub fn population_mean(params: &Params) -> Option<f64> {
    expected_value(params, &Spend::new(0.0, 0.0))
}

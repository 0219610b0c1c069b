//! What one customer may do in the next weeks: the whole distribution, not only its mean.
//!
//! Exact sums, no simulation. The intervals hold the customer's own chance (purchases, dropout) and what is unknown of
//! the customer's rate; the uncertainty of the model's parameters is not in them (see [`crate::forecast`] for totals,
//! where it matters).

use crate::gamma_gamma;
use crate::purchase::{Model, Params, Posterior, horizon};
use crate::special::beta_inc;
use crate::summary::{Spend, Stat};

/// Longest series; beyond, the distribution function is evaluated point by point.
const MAX_TERMS: f64 = 20_000.0;

/// Distribution of the number of purchase days in the next weeks.
#[derive(Debug, Clone, Copy)]
pub struct Purchases {
    posterior: Posterior,
    weeks: f64,
}

impl Purchases {
    /// Of a customer with a valid history; `weeks` from T on.
    #[must_use]
    pub fn new(model: Model, params: &Params, stat: &Stat, weeks: f64) -> Self {
        Self {
            posterior: Posterior::new(model, params, stat),
            weeks: horizon(weeks),
        }
    }

    /// Expected number.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.posterior.expected(self.weeks)
    }

    /// Probability of at least `n` purchases.
    #[must_use]
    pub fn at_least(&self, n: u64) -> f64 {
        match n {
            0 => 1.0,
            1 => 1.0 - self.posterior.no_purchase(self.weeks),
            _ => self.posterior.at_least(n as f64, self.weeks),
        }
    }

    /// Probability of exactly `n` purchases.
    #[must_use]
    pub fn pmf(&self, n: u64) -> f64 {
        if n == 0 {
            return self.posterior.no_purchase(self.weeks);
        }
        if self.weeks == 0.0 {
            return 0.0;
        }
        if n > 200 || !self.is_short() {
            return (self.at_least(n) - self.at_least(n.saturating_add(1))).max(0.0);
        }
        let mut reaches = self.posterior.reaches(self.weeks).skip(n as usize - 1);
        let here = reaches.next().map_or(0.0, |(_, reach)| reach);
        let next = reaches.next().map_or(0.0, |(_, reach)| reach);
        (self.posterior.alive() * (here - next)).clamp(0.0, 1.0)
    }

    /// Probability of at most `n` purchases.
    #[must_use]
    pub fn cdf(&self, n: u64) -> f64 {
        if n == 0 {
            self.posterior.no_purchase(self.weeks)
        } else {
            1.0 - self.at_least(n.saturating_add(1))
        }
    }

    /// Smallest n that at most n purchases are made with probability `level` or more; `level` within 0..1.
    #[must_use]
    pub fn quantile(&self, level: f64) -> u64 {
        let level = level.clamp(0.0, 1.0 - 1e-12);
        if self.weeks == 0.0 || self.posterior.no_purchase(self.weeks) >= level {
            return 0;
        }
        if !self.is_short() {
            return self.bisect(level);
        }
        let mut n = 0;
        for (_, reach) in self.posterior.reaches(self.weeks) {
            if 1.0 - self.posterior.alive() * reach >= level {
                return n;
            }
            n += 1;
        }
        n
    }

    /// Central interval that holds at least `level` of the probability.
    #[must_use]
    pub fn interval(&self, level: f64) -> (u64, u64) {
        let tail = 0.5 * (1.0 - level.clamp(0.0, 1.0));
        (self.quantile(tail), self.quantile(1.0 - tail))
    }

    fn is_short(&self) -> bool {
        self.posterior.last_term(self.weeks) <= MAX_TERMS
    }

    fn bisect(&self, level: f64) -> u64 {
        let mut high = 1_u64;
        while self.cdf(high) < level && high < 1 << 50 {
            high *= 2;
        }
        let mut low = high / 2;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.cdf(middle) >= level {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// Distribution of what a customer will spend in the next weeks, not discounted.
///
/// Given n purchases, the total S satisfies S/(S + γ + mx) ~ Beta(pn, q + px) (Gamma-Gamma), so that S is an exact
/// mixture over n. Number and value of purchases are taken as independent, as the model does.
#[derive(Debug, Clone)]
pub struct Total {
    none: f64,
    /// (p·n, P(n)) for n = 1, 2, …
    mixture: Vec<(f64, f64)>,
    scale: f64,
    shape: f64,
}

/// Purchases beyond which a spend interval is not computed.
const MAX_PURCHASES: u64 = 2_000;

impl Total {
    /// `None` where the number of purchases may exceed 2,000: too many terms to sum.
    #[must_use]
    pub fn new(purchases: &Purchases, params: &gamma_gamma::Params, spend: &Spend) -> Option<Self> {
        let most = purchases.quantile(1.0 - 1e-9);
        if most > MAX_PURCHASES {
            return None;
        }
        let alive = purchases.posterior.alive();
        let mut mixture = Vec::new();
        if purchases.weeks > 0.0 {
            let mut reaches = purchases
                .posterior
                .reaches(purchases.weeks)
                .map(|(_, reach)| reach)
                .peekable();
            let mut n = 1.0;
            while let Some(reach) = reaches.next() {
                let next = reaches.peek().copied().unwrap_or(0.0);
                mixture.push((params.p * n, alive * (reach - next).max(0.0)));
                if n >= most as f64 {
                    break;
                }
                n += 1.0;
            }
        }
        let total = if spend.x > 0.0 {
            spend.x * spend.m
        } else {
            0.0
        };
        Some(Self {
            none: purchases.posterior.no_purchase(purchases.weeks),
            mixture,
            scale: params.gamma + total,
            shape: params.q + params.p * spend.x,
        })
    }

    /// Probability of spending at most `amount`.
    #[must_use]
    pub fn cdf(&self, amount: f64) -> f64 {
        if amount.is_nan() || amount < 0.0 {
            return 0.0;
        }
        self.at_share(amount / (amount + self.scale))
    }

    fn at_share(&self, share: f64) -> f64 {
        let spent: f64 = self
            .mixture
            .iter()
            .map(|(shape, weight)| weight * beta_inc(share, *shape, self.shape))
            .sum();
        (self.none + spent).clamp(0.0, 1.0)
    }

    /// Amount not exceeded with probability `level`, within 0..1, to about 1e-7 of itself.
    #[must_use]
    pub fn quantile(&self, level: f64) -> f64 {
        let level = level.clamp(0.0, 1.0 - 1e-6);
        if self.none >= level {
            return 0.0;
        }
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.at_share(middle) >= level {
                high = middle;
            } else {
                low = middle;
            }
            if high - low < 1e-8 * high.min(1.0 - high) {
                break;
            }
        }
        self.scale * high / (1.0 - high).max(1e-15)
    }

    /// Central interval of the amount.
    #[must_use]
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let tail = 0.5 * (1.0 - level.clamp(0.0, 1.0));
        (self.quantile(tail), self.quantile(1.0 - tail))
    }
}

//! What is known of one customer after T, and what follows for the weeks to come.
//!
//! With N the purchases an active customer would make in H weeks, N ~ NB(k, z), k = r+x, z = H/(α+T+H), and q = 1−p
//! the chance to stay after a purchase, at least j purchases are made with probability
//!
//! P(X ≥ j) = P(alive) · E[qʲ⁻¹] · P(N ≥ j),  E[qʲ⁻¹] = (B)ⱼ₋₁ / (a+B)ⱼ₋₁,  B = b+x+s,
//!
//! and E[X] is the sum of these over j ≥ 1. It equals the printed ₂F₁ form of Fader, Hardie, Lee (2005, eq. 10), but all
//! its terms are positive: nothing cancels at large x, and a = 1 and a+b+x = 1 are ordinary points.

use super::{Model, Params, log_odds_left};
use crate::special::{beta_inc, ln_gamma, ln_rising, logistic};
use crate::summary::{MAX_WEEKS, Stat};

/// Longest series; beyond, the integral over p takes over.
const MAX_TERMS: f64 = 20_000.0;

/// State of one customer at T under one model.
#[derive(Debug, Clone, Copy)]
pub struct Posterior {
    alive: f64,
    left: f64,
    /// Purchase rate: Gamma(k, β).
    k: f64,
    beta: f64,
    /// Dropout probability: Beta(a, stay).
    a: f64,
    stay: f64,
}

impl Posterior {
    /// From parameters and a valid history.
    #[must_use]
    pub fn new(model: Model, p: &Params, s: &Stat) -> Self {
        let odds = log_odds_left(model, p, s);
        Self {
            alive: logistic(-odds).0,
            left: logistic(odds).0,
            k: p.r + s.x,
            beta: p.alpha + s.t,
            a: p.a,
            stay: p.b + s.x + model.shift(),
        }
    }

    /// Probability of being active at T.
    #[must_use]
    pub const fn alive(&self) -> f64 {
        self.alive
    }

    /// Probability of no purchase in the next `weeks` weeks.
    #[must_use]
    pub fn no_purchase(&self, weeks: f64) -> f64 {
        let h = horizon(weeks);
        (self.left + self.alive * (-self.k * (h / self.beta).ln_1p()).exp()).clamp(0.0, 1.0)
    }

    /// Expected purchases in the next `weeks` weeks.
    #[must_use]
    pub fn expected(&self, weeks: f64) -> f64 {
        let h = horizon(weeks);
        if h == 0.0 || self.alive == 0.0 {
            return 0.0;
        }
        if self.last_term(h) > MAX_TERMS {
            return self.alive * self.integral(h);
        }
        let mut sum = 0.0;
        for (_, reach) in self.reaches(h) {
            sum += reach;
        }
        self.alive * sum
    }

    /// Mean and variance of the purchases in the next `weeks` weeks. Where the series would be too long the variance
    /// is an upper bound, P(alive) · E[N²].
    #[must_use]
    pub fn moments(&self, weeks: f64) -> (f64, f64) {
        let h = horizon(weeks);
        if h == 0.0 || self.alive == 0.0 {
            return (0.0, 0.0);
        }
        if self.last_term(h) > MAX_TERMS {
            let made = self.k * h / self.beta;
            return (
                self.expected(weeks),
                self.alive * made * (1.0 + h / self.beta + made),
            );
        }
        let (mut first, mut second) = (0.0, 0.0);
        for (j, reach) in self.reaches(h) {
            first += reach;
            second += (2.0 * j - 1.0) * reach;
        }
        let mean = self.alive * first;
        (mean, (self.alive * second - mean * mean).max(0.0))
    }

    /// Probability of at least `j` purchases in the next `weeks` weeks, for any `j`; no iteration over 1..j.
    #[must_use]
    pub fn at_least(&self, j: f64, weeks: f64) -> f64 {
        let h = horizon(weeks);
        if j < 1.0 {
            return 1.0;
        }
        if h == 0.0 {
            return 0.0;
        }
        let stays = (ln_rising(self.stay, j - 1.0) - ln_rising(self.a + self.stay, j - 1.0)).exp();
        (self.alive * stays * beta_inc(h / (self.beta + h), j, self.k)).clamp(0.0, 1.0)
    }

    /// Purchases beyond which nothing matters: mean, ten deviations and the geometric tail of N.
    pub(crate) fn last_term(&self, h: f64) -> f64 {
        let odds = h / self.beta;
        let mean = self.k * odds;
        let z = h / (self.beta + h);
        mean + 10.0 * (mean * (1.0 + odds)).sqrt() + 40.0 / -z.ln() + 4.0
    }

    /// (j, P(X ≥ j | alive)) for j = 1, 2, … until the rest is negligible.
    pub(crate) fn reaches(&self, h: f64) -> Reaches {
        let odds = h / self.beta;
        let z = h / (self.beta + h);
        let mean = self.k * odds;
        let ln_zero = -self.k * odds.ln_1p();
        // Where P(N = 0) underflows the series starts below all of N's mass, with P(N > j) = 1.
        let (first, mass, survival) = if ln_zero > -600.0 {
            (0.0, ln_zero.exp(), -ln_zero.exp_m1())
        } else {
            let j = (mean - 12.0 * (mean * (1.0 + odds)).sqrt())
                .max(0.0)
                .floor();
            let ln_mass = ln_rising(self.k, j) - ln_gamma(j + 1.0) + j * z.ln() + ln_zero;
            (j, ln_mass.exp(), 1.0)
        };
        Reaches {
            j: 0.0,
            first,
            mass,
            survival,
            stays: 1.0,
            mean,
            last: self.last_term(h),
            z,
            k: self.k,
            a: self.a,
            stay: self.stay,
        }
    }

    /// ∫ p⁻¹ [1 − (1 + pH/β)^−k] Beta(p; a, stay) dp over y = logit p, on both sides of the density's mode: each shape
    /// has its own reach, 1/a below and 1/stay above. Double exponential rule, halved until it settles.
    fn integral(&self, h: f64) -> f64 {
        let (a, b) = (self.a, self.stay);
        let ln_beta = ln_gamma(a.min(b)) - ln_rising(a.max(b), a.min(b));
        let mode = a.ln() - b.ln();
        let ratio = h / self.beta;
        let value = |y: f64| {
            let (ln_p, ln_q) = (-logistic(-y).1, -logistic(y).1);
            let p = ln_p.exp();
            // Purchases of an active customer of dropout p; the limit at p = 0 is kH/β.
            let made = if p * ratio * self.k < 1e-12 {
                self.k * ratio
            } else {
                -(-self.k * (p * ratio).ln_1p()).exp_m1() / p
            };
            made * (a * ln_p + b * ln_q - ln_beta).exp()
        };
        let below = half_line(|y| value(mode - y), 1.0 / a);
        let above = half_line(|y| value(mode + y), 1.0 / b);
        let most = self.k * ratio;
        let sum = below + above;
        if sum.is_finite() {
            sum.clamp(0.0, most)
        } else {
            most
        }
    }
}

/// ∫ from 0 to ∞ of a smooth function that falls as exp(−y/scale) in the end (Takahasi, Mori 1974).
fn half_line(value: impl Fn(f64) -> f64, scale: f64) -> f64 {
    const FROM: f64 = -4.5;
    let to = (800.0 * (1.0 + scale)).ln() + 1.0;
    let at = |u: f64| {
        let e = (-u).exp();
        let y = (u - e).exp();
        value(y) * y * (1.0 + e)
    };
    let mut n = 256_u32;
    let mut step = (to - FROM) / f64::from(n);
    let mut sum: f64 = (0..=n).map(|i| at(FROM + step * f64::from(i))).sum();
    let mut last = sum * step;
    while n < 1 << 18 {
        sum += (0..n)
            .map(|i| at(FROM + step * (f64::from(i) + 0.5)))
            .sum::<f64>();
        n *= 2;
        step *= 0.5;
        let now = sum * step;
        let settled = (now - last).abs() <= 1e-11 * now.abs();
        last = now;
        if settled {
            break;
        }
    }
    last
}

/// A horizon in weeks that is usable: 0 for negative and undefined ones, at most a million.
pub(crate) fn horizon(weeks: f64) -> f64 {
    if weeks > 0.0 {
        weeks.min(MAX_WEEKS)
    } else {
        0.0
    }
}

/// Iterator over (j, P(X ≥ j | alive)), j = 1, 2, …
pub(crate) struct Reaches {
    j: f64,
    first: f64,
    /// P(N = j) from `first` on.
    mass: f64,
    /// P(N > j).
    survival: f64,
    /// E[qʲ].
    stays: f64,
    mean: f64,
    last: f64,
    z: f64,
    k: f64,
    a: f64,
    stay: f64,
}

impl Iterator for Reaches {
    type Item = (f64, f64);

    fn next(&mut self) -> Option<(f64, f64)> {
        let j = self.j;
        if j > self.last
            || self.survival <= 0.0
            || (j > self.mean && self.mass < 1e-18 * self.survival.max(1e-3))
        {
            return None;
        }
        if j == self.first && j > 0.0 {
            self.survival = 1.0 - self.mass;
        }
        let reach = self.stays * self.survival;
        self.stays *= (self.stay + j) / (self.a + self.stay + j);
        self.j = j + 1.0;
        if j >= self.first {
            self.mass *= (self.k + j) / (j + 1.0) * self.z;
            self.survival = (self.survival - self.mass).max(0.0);
        }
        Some((self.j, reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_integral_agree() {
        let shapes = [
            (0.8, 2.4),
            (1.0, 1.0),
            (1e-4, 3.0),
            (3.0, 1e-5),
            (1e-3, 1e-3),
            (500.0, 20.0),
            (2.0, 1e5),
            (1e5, 1e5),
        ];
        for (a, stay) in shapes {
            for (k, beta, h) in [
                (0.3, 40.0, 39.0),
                (30.0, 40.0, 39.0),
                (2000.0, 500.0, 520.0),
                (0.2, 4.4, 300.0),
            ] {
                let posterior = Posterior {
                    alive: 1.0,
                    left: 0.0,
                    k,
                    beta,
                    a,
                    stay,
                };
                let (series, integral) = (posterior.expected(h), posterior.integral(h));
                let off = (series / integral - 1.0).abs();
                assert!(
                    off < 1e-9,
                    "a {a}, B {stay}, k {k}, β {beta}, H {h}: {series} and {integral}"
                );
            }
        }
    }
}

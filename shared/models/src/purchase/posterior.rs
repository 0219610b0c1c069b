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

    /// ∫ p⁻¹ [1 − (1 + pH/β)^−k] Beta(p; a, stay) dp, by the trapezoid rule in u with logit p = centre + width · sinh u,
    /// halved until it settles.
    fn integral(&self, h: f64) -> f64 {
        let (a, b) = (self.a, self.stay);
        let ln_beta = ln_gamma(a.min(b)) - ln_rising(a.max(b), a.min(b));
        let centre = a.ln() - b.ln();
        let width = (1.0 + 1.0 / a + 1.0 / b).sqrt();
        let ratio = h / self.beta;
        let value = |u: f64| {
            let y = centre + width * u.sinh();
            let (ln_p, ln_q) = (-logistic(-y).1, -logistic(y).1);
            let p = ln_p.exp();
            // Purchases an active customer of dropout p makes, (1 − e^…)/p; its limit at p = 0 is kH/β.
            let made = if p * ratio * self.k < 1e-12 {
                self.k * ratio
            } else {
                -(-self.k * (p * ratio).ln_1p()).exp_m1() / p
            };
            made * (a * ln_p + b * ln_q - ln_beta).exp() * width * u.cosh()
        };
        let reach = 7.0;
        let mut n = 256.0_f64;
        let mut step = 2.0 * reach / n;
        let mut sum = (0..=256_u32)
            .map(|i| value(-reach + step * f64::from(i)))
            .sum::<f64>();
        let mut last = sum * step;
        while n < 300_000.0 {
            let mut i = 0.0;
            while i < n {
                sum += value(-reach + step * (i + 0.5));
                i += 1.0;
            }
            n *= 2.0;
            step *= 0.5;
            let now = sum * step;
            let settled = (now - last).abs() <= 1e-11 * now.abs();
            last = now;
            if settled {
                break;
            }
        }
        let most = self.k * ratio;
        if last.is_finite() {
            last.clamp(0.0, most)
        } else {
            most
        }
    }
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

//! BG/NBD and MBG/NBD: purchases at a customer's own rate until the customer silently leaves.
//!
//! While active, a customer buys at rate λ ~ Gamma(r, α); after each purchase the customer leaves with probability
//! p ~ Beta(a, b). BG/NBD (Fader, Hardie, Lee 2005) lets nobody leave at the first purchase, MBG/NBD (Batislam,
//! Denizel, Filiztekin 2007) lets them. Both are one formula with a shift s of 0 or 1:
//!
//! L = Γ(r+x) αʳ / Γ(r) · [ B(a, b+x+s)/B(a,b) · (α+T)^−(r+x) + {x+s>0} · B(a+1, b+x+s−1)/B(a,b) · (α+tₓ)^−(r+x) ].
//!
//! Given that the customer is active at T, λ ~ Gamma(r+x, α+T) and p ~ Beta(a, b+x+s), independent of each other.

mod fit;
mod likelihood;
mod posterior;
mod table;

pub use fit::fit;
pub use posterior::Posterior;
pub(crate) use posterior::horizon;

use crate::fit::Parameters;
use crate::special::{ln_rising, logistic};
use crate::summary::Stat;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// BG/NBD: nobody leaves at the first purchase.
    BgNbd,
    /// MBG/NBD: a customer may leave at the first purchase too.
    MbgNbd,
}

impl Model {
    /// The name used on the command line and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BgNbd => "bgnbd",
            Self::MbgNbd => "mbgnbd",
        }
    }

    /// Chances to leave before the first repeat purchase.
    pub(crate) const fn shift(self) -> f64 {
        match self {
            Self::BgNbd => 0.0,
            Self::MbgNbd => 1.0,
        }
    }
}

/// Parameters of both models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Shape of the purchase rates.
    pub r: f64,
    /// Scale of the purchase rates, in weeks: the mean rate is r/α a week.
    pub alpha: f64,
    /// First shape of the dropout probabilities: their mean is a/(a+b).
    pub a: f64,
    /// Second shape of the dropout probabilities.
    pub b: f64,
}

impl Parameters for Params {
    const NAMES: &'static [&'static str] = &["r", "alpha", "a", "b"];

    fn values(&self) -> Vec<f64> {
        vec![self.r, self.alpha, self.a, self.b]
    }

    fn from_values(values: &[f64]) -> Self {
        let at = |i: usize| values.get(i).copied().unwrap_or(1.0);
        Self {
            r: at(0),
            alpha: at(1),
            a: at(2),
            b: at(3),
        }
    }
}

/// Log odds of having left by T against being active; −∞ where the customer cannot have left.
fn log_odds_left(model: Model, p: &Params, s: &Stat) -> f64 {
    let chances = s.x + model.shift();
    if chances < 1.0 {
        return f64::NEG_INFINITY;
    }
    p.a.ln() - (p.b + (chances - 1.0)).ln()
        + (p.r + s.x) * ((s.t - s.t_x) / (p.alpha + s.t_x)).ln_1p()
}

/// Log-likelihood of one customer's history; the weight is not applied.
#[must_use]
pub fn log_likelihood(model: Model, p: &Params, s: &Stat) -> f64 {
    let chances = s.x + model.shift();
    ln_rising(p.r, s.x) - p.r * (s.t / p.alpha).ln_1p() - s.x * (p.alpha + s.t).ln()
        + ln_rising(p.b, chances)
        - ln_rising(p.a + p.b, chances)
        + logistic(log_odds_left(model, p, s)).1
}

/// Probability that the customer is still active at T.
#[must_use]
pub fn p_alive(model: Model, p: &Params, s: &Stat) -> f64 {
    logistic(-log_odds_left(model, p, s)).0
}

/// Expected purchase days in the next `weeks` weeks; 0 where `weeks` is not positive.
///
/// With `Stat::new(0.0, 0.0, 0.0)` it is the expectation for a new customer.
#[must_use]
pub fn expected_purchases(model: Model, p: &Params, s: &Stat, weeks: f64) -> f64 {
    Posterior::new(model, p, s).expected(weeks)
}

/// P₀: probability of no purchase in the next `weeks` weeks.
#[must_use]
pub fn no_purchase(model: Model, p: &Params, s: &Stat, weeks: f64) -> f64 {
    Posterior::new(model, p, s).no_purchase(weeks)
}

//! Residual customer lifetime value: what is still to come in the next twelve months.

use crate::gamma_gamma;
use crate::purchase::{Model, Params, Posterior};
use crate::summary::{InputError, Spend, Stat, check};

/// Steps of the horizon.
pub const STEPS: u32 = 12;
/// Length of a step in weeks: 365.25/12 days.
pub const STEP_WEEKS: f64 = 365.25 / 12.0 / 7.0;
/// Annual discount rate unless declared.
pub const ANNUAL_RATE: f64 = 0.10;

/// One month of the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Expected purchases within the step.
    pub purchases: f64,
    /// (1+d)^−k: discounted at the step's end.
    pub discount: f64,
    /// purchases × value × discount.
    pub revenue: f64,
}

/// Residual value on the revenue basis.
#[derive(Debug, Clone, PartialEq)]
pub struct Clv {
    /// Discounted expected revenue of all steps.
    pub revenue: f64,
    /// Expected purchases of all steps, not discounted.
    pub purchases: f64,
    /// Expected value of a purchase.
    pub value: f64,
    /// The twelve steps.
    pub steps: Vec<Step>,
}

impl Clv {
    /// Residual value at a declared margin, a share of revenue within 0..1.
    ///
    /// # Errors
    /// A margin outside 0..1.
    pub fn at_margin(&self, margin: f64) -> Result<f64, InputError> {
        check(
            (0.0..=1.0).contains(&margin),
            "margin",
            margin,
            "a share of revenue, 0 to 1",
        )?;
        Ok(self.revenue * margin)
    }
}

/// Σ over k = 1..12 of E[purchases in month k] · E[M] / (1+d)ᵏ with d = (1 + annual)^(1/12) − 1, by BG/NBD.
///
/// `None` where the model has no expected value for the customer (px+q ≤ 1), or the rate is below 0 or above 1,000%.
#[must_use]
pub fn residual(
    params: &Params,
    value: &gamma_gamma::Params,
    stat: &Stat,
    spend: &Spend,
    annual_rate: f64,
) -> Option<Clv> {
    residual_by(Model::BgNbd, params, value, stat, spend, annual_rate)
}

/// [`residual`] by a named model.
#[must_use]
pub fn residual_by(
    model: Model,
    params: &Params,
    value: &gamma_gamma::Params,
    stat: &Stat,
    spend: &Spend,
    annual_rate: f64,
) -> Option<Clv> {
    if !(0.0..=10.0).contains(&annual_rate) {
        return None;
    }
    let value = gamma_gamma::expected_value(value, spend)?;
    let posterior = Posterior::new(model, params, stat);
    let mut before = 0.0;
    let steps: Vec<Step> = (1..=STEPS)
        .map(|k| {
            let until = posterior.expected(STEP_WEEKS * f64::from(k));
            let purchases = (until - before).max(0.0);
            before = until;
            let discount = (1.0 + annual_rate).powf(-f64::from(k) / f64::from(STEPS));
            Step {
                purchases,
                discount,
                revenue: purchases * value * discount,
            }
        })
        .collect();
    let revenue: f64 = steps.iter().map(|s| s.revenue).sum();
    revenue.is_finite().then_some(Clv {
        revenue,
        purchases: before,
        value,
        steps,
    })
}

//! BG/NBD (Fader, Hardie, Lee 2005); see [`crate::purchase`] for the formulas.

pub use crate::purchase::Params;

use crate::fit::{Fit, FitError};
use crate::purchase::{self, Model};
use crate::summary::Stat;

/// Log-likelihood of one customer's history; the weight is not applied.
#[must_use]
pub fn log_likelihood(params: &Params, stat: &Stat) -> f64 {
    purchase::log_likelihood(Model::BgNbd, params, stat)
}

/// Probability that the customer is still active at T. Exactly 1 for every customer without a repeat purchase: rank by [`no_purchase`] instead.
#[must_use]
pub fn p_alive(params: &Params, stat: &Stat) -> f64 {
    purchase::p_alive(Model::BgNbd, params, stat)
}

/// Expected purchase days in the next `horizon_weeks` weeks.
#[must_use]
pub fn expected_purchases(params: &Params, stat: &Stat, horizon_weeks: f64) -> f64 {
    purchase::expected_purchases(Model::BgNbd, params, stat, horizon_weeks)
}

/// P₀: probability of no purchase in the next `horizon_weeks` weeks.
#[must_use]
pub fn no_purchase(params: &Params, stat: &Stat, horizon_weeks: f64) -> f64 {
    purchase::no_purchase(Model::BgNbd, params, stat, horizon_weeks)
}

/// Maximum likelihood estimates.
///
/// # Errors
/// An unusable row, too little data, or no maximum at finite, positive parameters.
pub fn fit(rows: &[Stat]) -> Result<Fit<Params>, FitError> {
    purchase::fit(Model::BgNbd, rows)
}

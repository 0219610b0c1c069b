//! Purchases of all customers together in the next weeks, with what makes the sum uncertain.

use rayon::prelude::*;

use crate::attitude::Interval;
use crate::fit::{CHUNK, Fit, Parameters};
use crate::purchase::{Model, Params, Posterior};
use crate::special::normal_two_sided;
use crate::summary::Stat;

/// More rows than these are thinned for the effect of the parameters, which is a mean.
const GRADIENT_ROWS: usize = 50_000;

/// Forecast of a total.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Expected purchases of all customers.
    pub mean: f64,
    /// Standard deviation from the customers' own chance.
    pub process_error: f64,
    /// Standard deviation from the parameters' covariance (delta method).
    pub parameter_error: f64,
    /// Standard deviation from the error of the hold-out, where there was one.
    pub holdout_error: Option<f64>,
    /// Predictive interval: all errors together, normal, not below 0.
    pub interval: Interval,
    /// Interval of the mean from the parameters alone; never to be called a prediction.
    pub mean_interval: Interval,
}

/// Total of the next `weeks` weeks; `holdout_error` is (predicted − actual) ÷ actual of the hold-out's total.
///
/// `None` without customers, weeks, or a level within (0, 1).
#[must_use]
pub fn total(
    model: Model,
    fit: &Fit<Params>,
    stats: &[Stat],
    weeks: f64,
    level: f64,
    holdout_error: Option<f64>,
) -> Option<Forecast> {
    if stats.is_empty() || !(weeks > 0.0 && weeks.is_finite()) || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let (mean, variance) = sum(stats, 1, |s| {
        let (mean, variance) = Posterior::new(model, &fit.params, s).moments(weeks);
        (s.weight * mean, s.weight * variance)
    });
    let every = stats.len().div_ceil(GRADIENT_ROWS);
    let values = fit.params.values();
    let moved = |i: usize, step: f64| {
        let mut values = values.clone();
        values[i] *= step.exp();
        let params = Params::from_values(&values);
        sum(stats, every, |s| {
            (
                s.weight * Posterior::new(model, &params, s).expected(weeks),
                s.weight,
            )
        })
    };
    let customers: f64 = stats.iter().map(|s| s.weight).sum();
    let step = 1e-4;
    // Change of the total by the natural parameter.
    let gradient: Vec<f64> = (0..values.len())
        .map(|i| {
            let ((up, weight), (down, _)) = (moved(i, step), moved(i, -step));
            (up - down) / (2.0 * step * values[i]) * customers / weight
        })
        .collect();
    let spread: f64 = fit
        .covariance
        .iter()
        .zip(&gradient)
        .map(|(row, g)| g * row.iter().zip(&gradient).map(|(c, h)| c * h).sum::<f64>())
        .sum();
    let (process_error, parameter_error) = (variance.sqrt(), spread.max(0.0).sqrt());
    let holdout_error = holdout_error
        .filter(|e| e.is_finite())
        .map(|e| e.abs() * mean);
    let z = normal_two_sided(level);
    let all = process_error
        .hypot(parameter_error)
        .hypot(holdout_error.unwrap_or(0.0));
    let around = |error: f64| Interval {
        low: (mean - z * error).max(0.0),
        high: mean + z * error,
    };
    let found = Forecast {
        mean,
        process_error,
        parameter_error,
        holdout_error,
        interval: around(all),
        mean_interval: around(parameter_error),
    };
    (mean.is_finite() && all.is_finite()).then_some(found)
}

/// Sums of two values over every n-th row, in fixed chunks.
fn sum(stats: &[Stat], every: usize, of: impl Fn(&Stat) -> (f64, f64) + Sync) -> (f64, f64) {
    let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    let parts: Vec<(f64, f64)> = stats
        .par_chunks(CHUNK * every)
        .map(|rows| rows.iter().step_by(every).map(&of).fold((0.0, 0.0), add))
        .collect();
    parts.into_iter().fold((0.0, 0.0), add)
}

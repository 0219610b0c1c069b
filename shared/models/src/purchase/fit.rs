//! Maximum likelihood for both models.

use super::likelihood::Likelihood;
use super::table::Table;
use super::{Model, Params};
use crate::fit::{Fit, FitError, Grade, Maximum, NO_HOLDOUT, Parameters, best_of, check_rows};
use crate::summary::Stat;

/// Fewest customers of a fit.
pub const MIN_CUSTOMERS: f64 = 10.0;
/// Fewest customers with a repeat purchase.
pub const MIN_REPEATERS: f64 = 3.0;
/// Fewest distinct rows: as many as there are parameters.
const MIN_ROWS: f64 = 4.0;
/// Rows of the thinned copy on which starts are compared.
const SKETCH_ROWS: usize = 4096;

/// Maximum likelihood estimates with standard errors.
///
/// # Errors
/// An unusable row, too little data, or no maximum at finite, positive parameters.
pub fn fit(model: Model, rows: &[Stat]) -> Result<Fit<Params>, FitError> {
    check_rows(rows, Stat::validate)?;
    let table = Table::new(rows);
    let n: f64 = table.groups.iter().map(|g| g.weight).sum();
    let repeaters: f64 = table
        .groups
        .iter()
        .filter(|g| g.x > 0.0)
        .map(|g| g.weight)
        .sum();
    let distinct = table.rows();
    for (what, found, needed) in [
        ("customers", n, MIN_CUSTOMERS),
        ("customers with a repeat purchase", repeaters, MIN_REPEATERS),
        ("different purchase histories", distinct as f64, MIN_ROWS),
    ] {
        if found < needed {
            return Err(FitError::TooLittle {
                what,
                found,
                needed,
            });
        }
    }
    let starts = starts(&table, n);
    let sketch = table
        .thinned(SKETCH_ROWS)
        .map(|table| Likelihood { model, table });
    let full = Likelihood { model, table };
    let best = best_of(sketch.as_ref(), &full, &starts)?;
    Ok(report(&best, n, repeaters, distinct))
}

/// Moments first: x of a customer observed T weeks has mean μT and variance μT + (μT)²/r.
fn starts(table: &Table, n: f64) -> Vec<[f64; 4]> {
    let weeks: f64 = table
        .t
        .iter()
        .zip(&table.weight)
        .map(|(t, w)| t * w)
        .sum::<f64>()
        / n;
    let weeks = if weeks > 0.0 { weeks } else { 1.0 };
    let mean = table.groups.iter().map(|g| g.x * g.weight).sum::<f64>() / n;
    let variance = table
        .groups
        .iter()
        .map(|g| (g.x - mean).powi(2) * g.weight)
        .sum::<f64>()
        / n;
    let r = (mean * mean / (variance - mean).max(1e-3 * mean)).clamp(0.05, 20.0);
    // Half of the customers' time counts: many leave on the way.
    let alpha = r * weeks / mean * 0.5;
    vec![
        [r, alpha, 1.0, 2.5],
        [r, 2.0 * alpha, 0.3, 3.0],
        [0.5 * r, 0.5 * alpha, 0.8, 1.5],
        [1.0, weeks / 4.0, 1.0, 1.0],
        [2.0 * r, 2.0 * alpha, 2.0, 20.0],
    ]
}

fn report(best: &Maximum<4>, n: f64, repeaters: f64, rows: usize) -> Fit<Params> {
    let mut reasons = vec![NO_HOLDOUT.to_owned()];
    let errors: Vec<f64> = (0..4)
        .map(|i| best.covariance[i][i].max(0.0).sqrt())
        .collect();
    if repeaters < 100.0 {
        reasons.push(format!(
            "only {repeaters} customers bought again: estimates are rough below about 100"
        ));
    }
    for ((name, value), error) in Params::NAMES.iter().zip(&best.params).zip(&errors) {
        if *error > 0.5 * value {
            reasons.push(format!(
                "{name} is uncertain: {value:.3} with standard error {error:.3}"
            ));
        }
    }
    Fit {
        params: Params::from_values(&best.params),
        standard_errors: Params::from_values(&errors),
        covariance: best.covariance.iter().map(|row| row.to_vec()).collect(),
        log_likelihood: best.value,
        n,
        rows,
        iterations: best.iterations,
        decrement: best.decrement,
        grade: Grade::E,
        cap: None,
        reasons,
        correlation: None,
    }
}

//! How well a model foresaw purchases it had not seen.

use rayon::prelude::*;

use crate::fit::Grade;
use crate::measure;
use crate::predictive::Purchases;
use crate::purchase::{Model, Params};
use crate::summary::Stat;

/// A customer as of the split day, and what followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// History up to the split day.
    pub stat: Stat,
    /// Purchase days in the weeks after it.
    pub actual: u64,
}

/// Comparison of forecast and fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Customers.
    pub n: usize,
    /// Weeks foreseen.
    pub weeks: f64,
    /// Sum of expected purchases.
    pub predicted_total: f64,
    /// Purchases made.
    pub actual_total: f64,
    /// (predicted − actual) ÷ actual; absent without purchases.
    pub total_error: Option<f64>,
    /// Root mean squared error per customer.
    pub rmse: f64,
    /// Mean absolute error per customer.
    pub mae: f64,
    /// Correlation of predicted and actual; absent without variation.
    pub pearson: Option<f64>,
    /// Area under the ROC curve of 1 − P₀ for who buys; absent where all or none buy.
    pub auc: Option<f64>,
    /// Mean natural log of the probability given to what happened; nearer to 0 is better.
    pub log_score: f64,
    /// By the error of the total.
    pub grade: Grade,
    /// The grade in a sentence.
    pub reason: String,
}

/// Forecasts of `weeks` weeks against what happened; `None` without customers or weeks. Weights are ignored.
#[must_use]
pub fn assess(model: Model, params: &Params, cases: &[Case], weeks: f64) -> Option<Outcome> {
    if cases.is_empty() || !(weeks > 0.0 && weeks.is_finite()) {
        return None;
    }
    let foreseen: Vec<(f64, f64, f64)> = cases
        .par_iter()
        .with_min_len(512)
        .map(|case| {
            let future = Purchases::new(model, params, &case.stat, weeks);
            (
                future.mean(),
                future.at_least(1),
                future.pmf(case.actual).max(1e-300).ln(),
            )
        })
        .collect();
    let predicted: Vec<f64> = foreseen.iter().map(|f| f.0).collect();
    let buys: Vec<f64> = foreseen.iter().map(|f| f.1).collect();
    let actual: Vec<f64> = cases.iter().map(|c| c.actual as f64).collect();
    let bought: Vec<bool> = cases.iter().map(|c| c.actual > 0).collect();
    let (predicted_total, actual_total) = (predicted.iter().sum(), actual.iter().sum());
    let (grade, reason) = grade(predicted_total, actual_total);
    Some(Outcome {
        n: cases.len(),
        weeks,
        predicted_total,
        actual_total,
        total_error: total_error(predicted_total, actual_total),
        rmse: measure::rmse(&predicted, &actual)?,
        mae: measure::mae(&predicted, &actual)?,
        pearson: measure::pearson(&predicted, &actual),
        auc: measure::auc(&buys, &bought),
        log_score: foreseen.iter().map(|f| f.2).sum::<f64>() / cases.len() as f64,
        grade,
        reason,
    })
}

/// (predicted − actual) ÷ actual; `None` without purchases.
#[must_use]
pub fn total_error(predicted: f64, actual: f64) -> Option<f64> {
    (actual > 0.0)
        .then(|| (predicted - actual) / actual)
        .filter(|e| e.is_finite())
}

/// A ≤ 5%, B ≤ 10%, C ≤ 20% error of the total, D worse, E without anything to compare with; with its sentence.
#[must_use]
pub fn grade(predicted_total: f64, actual_total: f64) -> (Grade, String) {
    let Some(error) = total_error(predicted_total, actual_total) else {
        return (
            Grade::E,
            "no hold-out: nobody bought in the hold-out period".to_owned(),
        );
    };
    let grade = match error.abs() {
        e if e <= 0.05 => Grade::A,
        e if e <= 0.10 => Grade::B,
        e if e <= 0.20 => Grade::C,
        _ => Grade::D,
    };
    let direction = if error < 0.0 { "below" } else { "above" };
    let percent = 100.0 * error.abs();
    (
        grade,
        format!(
            "hold-out: forecast {predicted_total:.0} purchases, {percent:.1}% {direction} the {actual_total:.0} made"
        ),
    )
}

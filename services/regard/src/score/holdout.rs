//! The last part of the data foreseen from the part before it.

use regard_models::holdout::{self, Case, Outcome};
use regard_models::{Fit, Grade, Model, bgnbd, gamma_gamma, mbgnbd};
use regard_types::Day;
use serde::Serialize;

use super::counting::{History, Row, histories, units};

/// Shortest hold-out that says anything, in weeks.
const WEEKS_MIN: i32 = 4;

/// What the hold-out showed.
#[derive(Debug, Clone, Serialize)]
pub struct Holdout {
    /// Last day that the test models saw.
    pub split: String,
    /// Weeks foreseen.
    pub weeks: i32,
    /// Customers known at the split.
    pub customers: usize,
    /// Forecast against fact of each purchase model that could be fitted to the first part.
    pub purchases: Vec<Forecast>,
    /// The same of the value of purchases.
    pub value: Option<Value>,
}

/// Purchases foreseen.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    pub model: &'static str,
    pub predicted_total: f64,
    pub actual_total: f64,
    /// (predicted − actual) ÷ actual.
    pub total_error: Option<f64>,
    pub rmse: f64,
    pub mae: f64,
    pub pearson: Option<f64>,
    /// Of 1 − P₀ for who buys.
    pub auc: Option<f64>,
    pub log_score: f64,
    pub grade: &'static str,
    pub reason: String,
    #[serde(skip)]
    pub(super) judged: Grade,
}

/// Value of the purchases that were made, foreseen.
#[derive(Debug, Clone, Serialize)]
pub struct Value {
    /// Σ purchases made × expected value of the customer.
    pub predicted_total: f64,
    pub actual_total: f64,
    pub total_error: Option<f64>,
    pub grade: &'static str,
    pub reason: String,
    #[serde(skip)]
    pub(super) judged: Grade,
}

/// Tests the models on the last third of the data, at most the horizon; an error in a sentence where that is too short.
pub(super) fn test(
    sorted: &[Row],
    first: Day,
    as_of: Day,
    horizon_weeks: f64,
) -> Result<Holdout, String> {
    let longest = if horizon_weeks < 1e6 {
        horizon_weeks as i32
    } else {
        i32::MAX
    };
    let weeks = (as_of.since(first) / 21).min(longest.max(WEEKS_MIN));
    if weeks < WEEKS_MIN {
        return Err(format!(
            "no hold-out: the data span {} weeks, at least 12 are needed",
            as_of.since(first) / 7
        ));
    }
    let split = as_of.plus(-7 * weeks);
    let known: Vec<History> = histories(sorted, split)
        .into_iter()
        .filter(|h| h.days.is_some())
        .collect();
    let later = after(sorted, split, as_of);
    let stats: Vec<_> = known.iter().filter_map(|h| h.stat(split)).collect();
    let made: Vec<(u64, i128)> = known
        .iter()
        .map(|h| {
            later
                .binary_search_by_key(&h.customer, |l| l.0)
                .map_or((0, 0), |at| (later[at].1, later[at].2))
        })
        .collect();
    let cases: Vec<Case> = stats
        .iter()
        .zip(&made)
        .map(|(stat, made)| Case {
            stat: *stat,
            actual: made.0,
        })
        .collect();

    let mut purchases = Vec::new();
    for (model, fit) in [
        (Model::BgNbd, bgnbd::fit(&stats)),
        (Model::MbgNbd, mbgnbd::fit(&stats)),
    ] {
        let outcome = fit
            .ok()
            .and_then(|fit| holdout::assess(model, &fit.params, &cases, f64::from(weeks)));
        purchases.extend(outcome.map(|outcome| forecast(model, outcome)));
    }
    if purchases.is_empty() {
        return Err(
            "no hold-out: the first part of the data is too little to fit a model".to_owned(),
        );
    }
    let spends: Vec<_> = known.iter().map(History::spend).collect();
    let value = gamma_gamma::fit(&spends)
        .ok()
        .and_then(|fit| value(&fit, &known, &made));
    Ok(Holdout {
        split: split.to_string(),
        weeks,
        customers: known.len(),
        purchases,
        value,
    })
}

fn forecast(model: Model, o: Outcome) -> Forecast {
    Forecast {
        model: model.as_str(),
        predicted_total: o.predicted_total,
        actual_total: o.actual_total,
        total_error: o.total_error,
        rmse: o.rmse,
        mae: o.mae,
        pearson: o.pearson,
        auc: o.auc,
        log_score: o.log_score,
        grade: o.grade.as_str(),
        reason: o.reason,
        judged: o.grade,
    }
}

fn value(fit: &Fit<gamma_gamma::Params>, known: &[History], made: &[(u64, i128)]) -> Option<Value> {
    let mut predicted = 0.0;
    let mut actual = 0;
    for (history, (count, value)) in known.iter().zip(made) {
        if *count > 0 {
            predicted +=
                *count as f64 * gamma_gamma::expected_value(&fit.params, &history.spend())?;
            actual += value;
        }
    }
    let actual = units(actual);
    let error = holdout::total_error(predicted, actual)?;
    let (grade, _) = holdout::grade(predicted, actual);
    let direction = if error < 0.0 { "below" } else { "above" };
    let reason = format!(
        "hold-out: the purchases made were foreseen to be worth {predicted:.0}, {:.1}% {direction} the {actual:.0} they were",
        100.0 * error.abs()
    );
    Some(Value {
        predicted_total: predicted,
        actual_total: actual,
        total_error: Some(error),
        grade: grade.as_str(),
        reason,
        judged: grade,
    })
}

/// (customer, purchase days, value) after `split` up to `as_of`, by customer.
fn after(sorted: &[Row], split: Day, as_of: Day) -> Vec<(u32, u64, i128)> {
    let mut all: Vec<(u32, u64, i128)> = Vec::new();
    let mut last: Option<(u32, Day)> = None;
    for row in sorted
        .iter()
        .filter(|r| r.day > split && r.day <= as_of && r.value >= 0)
    {
        if all.last().is_none_or(|known| known.0 != row.customer) {
            all.push((row.customer, 0, 0));
        }
        if let Some(known) = all.last_mut() {
            known.1 += u64::from(last != Some((row.customer, row.day)));
            known.2 += i128::from(row.value);
        }
        last = Some((row.customer, row.day));
    }
    all
}

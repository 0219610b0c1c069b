//! Several items that measure one thing.

use crate::measure::pearson;

/// Reliability of a battery.
#[derive(Debug, Clone, PartialEq)]
pub struct Battery {
    /// Cronbach's α; at most 1, may be negative.
    pub alpha: f64,
    /// Items.
    pub k: usize,
    /// Respondents who answered all items.
    pub n: usize,
    /// Correlation of each item with the sum of the others; absent without variation.
    pub item_rest: Vec<Option<f64>>,
}

/// Cronbach's α = k/(k−1) · (1 − Σ item variances ÷ variance of the sum), over complete cases; reverse-coded items
/// turned round before. A row is a respondent.
///
/// `None` for fewer than 2 items or complete cases, rows of unequal length, or no variation.
#[must_use]
pub fn cronbach_alpha(rows: &[Vec<Option<f64>>]) -> Option<Battery> {
    let k = rows.first()?.len();
    if k < 2 || rows.iter().any(|row| row.len() != k) {
        return None;
    }
    let complete: Vec<Vec<f64>> = rows
        .iter()
        .filter_map(|row| row.iter().copied().collect::<Option<Vec<f64>>>())
        .filter(|row| row.iter().all(|v| v.is_finite()))
        .collect();
    let n = complete.len();
    if n < 2 {
        return None;
    }
    let totals: Vec<f64> = complete.iter().map(|row| row.iter().sum()).collect();
    let column = |i: usize| complete.iter().map(|row| row[i]).collect::<Vec<f64>>();
    let items: f64 = (0..k).map(|i| variance(&column(i))).sum();
    let total = variance(&totals);
    if total <= 0.0 {
        return None;
    }
    let alpha = k as f64 / (k as f64 - 1.0) * (1.0 - items / total);
    let item_rest = (0..k)
        .map(|i| {
            let item = column(i);
            let rest: Vec<f64> = totals.iter().zip(&item).map(|(t, v)| t - v).collect();
            pearson(&item, &rest)
        })
        .collect();
    alpha.is_finite().then_some(Battery {
        alpha,
        k,
        n,
        item_rest,
    })
}

fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

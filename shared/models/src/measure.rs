//! Small measures. Each returns `None` where it is not defined, never NaN.

/// Quantile by linear interpolation of order statistics (Hyndman and Fan's type 7), `p` in 0..1, of finite values.
#[must_use]
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_sorted(&sorted, p)
}

/// [`quantile`] of values already sorted.
#[must_use]
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    let at = last as f64 * p;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let part = at - below as f64;
    Some(sorted[below] + part * (sorted[above] - sorted[below])).filter(|v| v.is_finite())
}

/// Midranks scaled into (0, 1): (values below + half of those equal, itself included) ÷ n.
#[must_use]
pub fn midrank(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    ranks(values, &vec![1.0; values.len()])
        .into_iter()
        .map(|r| (r - 0.5) / n)
        .collect()
}

/// Mean ranks from 1, of values that each stand for `weights` equal ones.
fn ranks(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]).then(i.cmp(&j)));
    let mut out = vec![0.0; values.len()];
    let mut below = 0.0;
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        let mut ties = 0.0;
        while end < order.len() && values[order[end]] == values[order[start]] {
            ties += weights[order[end]];
            end += 1;
        }
        for &i in &order[start..end] {
            out[i] = below + 0.5 * (ties + 1.0);
        }
        below += ties;
        // NaN equals nothing: never stand still.
        start = end.max(start + 1);
    }
    out
}

/// Area under the ROC curve: the chance that a positive scores above a negative, ties counting half. `None` where one
/// kind is missing.
#[must_use]
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    if scores.len() != positive.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let yes = positive.iter().filter(|p| **p).count() as f64;
    let no = positive.len() as f64 - yes;
    if yes == 0.0 || no == 0.0 {
        return None;
    }
    let ranks = ranks(scores, &vec![1.0; scores.len()]);
    let sum: f64 = ranks
        .iter()
        .zip(positive)
        .filter(|(_, p)| **p)
        .map(|(r, _)| r)
        .sum();
    Some((sum - yes * (yes + 1.0) / 2.0) / (yes * no))
}

/// Product-moment correlation; `None` for fewer than 2 pairs or no variation.
#[must_use]
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    weighted_pearson(x, y, &vec![1.0; x.len()])
}

/// Rank correlation with mean ranks for ties; `None` as [`pearson`].
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    weighted_spearman(x, y, &vec![1.0; x.len()])
}

pub(crate) fn weighted_pearson(x: &[f64], y: &[f64], weights: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() != weights.len() || x.len() < 2 {
        return None;
    }
    let n: f64 = weights.iter().sum();
    let mean = |v: &[f64]| v.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / n;
    let (mx, my) = (mean(x), mean(y));
    let (mut sxx, mut syy, mut sxy) = (0.0, 0.0, 0.0);
    for ((x, y), w) in x.iter().zip(y).zip(weights) {
        let (dx, dy) = (x - mx, y - my);
        sxx += w * dx * dx;
        syy += w * dy * dy;
        sxy += w * dx * dy;
    }
    let r = sxy / (sxx.sqrt() * syy.sqrt());
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

pub(crate) fn weighted_spearman(x: &[f64], y: &[f64], weights: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() != weights.len() {
        return None;
    }
    weighted_pearson(&ranks(x, weights), &ranks(y, weights), weights)
}

/// Root of the mean squared difference; `None` for no pairs.
#[must_use]
pub fn rmse(predicted: &[f64], actual: &[f64]) -> Option<f64> {
    mean_of(predicted, actual, |d| d * d).map(f64::sqrt)
}

/// Mean absolute difference; `None` for no pairs.
#[must_use]
pub fn mae(predicted: &[f64], actual: &[f64]) -> Option<f64> {
    mean_of(predicted, actual, f64::abs)
}

fn mean_of(predicted: &[f64], actual: &[f64], loss: impl Fn(f64) -> f64) -> Option<f64> {
    if predicted.is_empty() || predicted.len() != actual.len() {
        return None;
    }
    let sum: f64 = predicted.iter().zip(actual).map(|(p, a)| loss(p - a)).sum();
    Some(sum / predicted.len() as f64).filter(|v| v.is_finite())
}

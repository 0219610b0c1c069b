//! Net Promoter Score: share of 9..10 less share of 0..6 on a 0..10 question, in points.

use super::{Answer, AttitudeError, Interval, weigh};
use crate::special::normal_two_sided;
use crate::summary::check;

/// Share of one side less share of the other, in points −100..100.
///
/// Interval by adjusted Wald: three pseudo-answers, ¾ above, 1½ between, ¾ below; clipped to ±100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// Above − below, in points.
    pub points: f64,
    /// Share above, 0..1.
    pub above: f64,
    /// Share below, 0..1.
    pub below: f64,
    /// Effective number of answers.
    pub n_effective: f64,
    /// Standard error in points, √((p + d − (p−d)²)/n).
    pub standard_error: f64,
    /// Interval in points.
    pub interval: Interval,
    /// Centre and standard error of the adjusted estimate, in points.
    pub(crate) adjusted: (f64, f64),
    level: f64,
}

/// Net Promoter Score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nps {
    /// Answers.
    pub n: usize,
    /// Share of 9..10 against share of 0..6.
    pub balance: Balance,
    /// Share of 7..8.
    pub passives: f64,
}

/// Difference of two balances, first − second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// In points, −200..200.
    pub points: f64,
    /// Interval by the two adjusted estimates.
    pub interval: Interval,
}

fn spread(above: f64, below: f64, n: f64) -> f64 {
    let net = above - below;
    ((above + below - net * net).max(0.0) / n).sqrt() * 100.0
}

/// Balance from shares within 0..1 and an (effective) number of answers.
///
/// # Errors
/// Shares that do not fit together, no answers, or a level outside (0, 1).
pub fn balance(above: f64, below: f64, n: f64, level: f64) -> Result<Balance, AttitudeError> {
    check(
        (0.0..=1.0).contains(&above),
        "above",
        above,
        "a share, 0 to 1",
    )?;
    check(
        (0.0..=1.0).contains(&below) && above + below <= 1.0 + 1e-9,
        "below",
        below,
        "a share, 0 to 1 − above",
    )?;
    check(n.is_finite() && n >= 0.0, "n", n, "a number of answers")?;
    check(
        level > 0.0 && level < 1.0,
        "level",
        level,
        "a confidence level between 0 and 1",
    )?;
    if n == 0.0 {
        return Err(AttitudeError::Empty);
    }
    let padded = n + 3.0;
    let (up, down) = ((above * n + 0.75) / padded, (below * n + 0.75) / padded);
    let adjusted = ((up - down) * 100.0, spread(up, down, padded));
    let half = normal_two_sided(level) * adjusted.1;
    Ok(Balance {
        points: (above - below) * 100.0,
        above,
        below,
        n_effective: n,
        standard_error: spread(above, below, n),
        interval: Interval {
            low: (adjusted.0 - half).max(-100.0),
            high: (adjusted.0 + half).min(100.0),
        },
        adjusted,
        level,
    })
}

/// NPS of answers on 0..10.
///
/// # Errors
/// No answers, or one that is not a whole number 0..10.
pub fn nps(answers: &[Answer], level: f64) -> Result<Nps, AttitudeError> {
    let weights = weigh(answers, 0.0, 10.0, true)?;
    let sum = |keep: fn(f64) -> bool| {
        answers
            .iter()
            .filter(|a| keep(a.value))
            .map(|a| a.weight)
            .sum::<f64>()
    };
    nps_from_shares(
        sum(|v| v >= 9.0) / weights.sum,
        sum(|v| v <= 6.0) / weights.sum,
        weights.n,
        weights.effective,
        level,
    )
}

/// NPS from shares of promoters and detractors, the number of answers and the effective number.
///
/// # Errors
/// As [`balance`].
pub fn nps_from_shares(
    promoters: f64,
    detractors: f64,
    n: usize,
    n_effective: f64,
    level: f64,
) -> Result<Nps, AttitudeError> {
    let balance = balance(promoters, detractors, n_effective, level)?;
    Ok(Nps {
        n,
        balance,
        passives: (1.0 - promoters - detractors).max(0.0),
    })
}

/// First − second, of independent samples at the first's level.
#[must_use]
pub fn difference(first: &Balance, second: &Balance) -> Difference {
    let centre = first.adjusted.0 - second.adjusted.0;
    let half = normal_two_sided(first.level) * first.adjusted.1.hypot(second.adjusted.1);
    Difference {
        points: first.points - second.points,
        interval: Interval {
            low: (centre - half).max(-200.0),
            high: (centre + half).min(200.0),
        },
    }
}

//! Shares with Wilson's interval, means with Student's.

use super::{Answer, AttitudeError, Interval, weigh};
use crate::special::{normal_two_sided, student_two_sided};
use crate::summary::check;

/// A share of answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// 0..1.
    pub share: f64,
    /// Answers.
    pub n: usize,
    /// Effective number of answers.
    pub n_effective: f64,
    /// Wilson's interval.
    pub interval: Interval,
}

/// A mean of answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// On the question's scale.
    pub mean: f64,
    /// Standard deviation; absent for one answer.
    pub deviation: Option<f64>,
    /// Answers.
    pub n: usize,
    /// Effective number of answers.
    pub n_effective: f64,
    /// Student's t interval, clipped to the scale; absent for one answer.
    pub interval: Option<Interval>,
}

/// Customer satisfaction: top two boxes, and mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Csat {
    /// Share of the two best answers.
    pub top2: Share,
    /// Mean answer.
    pub mean: Mean,
}

/// Customer effort on 1..7, 7 = easiest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ces {
    /// Share of 5..7.
    pub easy: Share,
    /// Mean answer.
    pub mean: Mean,
}

/// Wilson's score interval of a share within 0..1 among `n` answers; 0..1 where there are none.
#[must_use]
pub fn wilson(share: f64, n: f64, level: f64) -> Interval {
    if !(n > 0.0 && n.is_finite() && (0.0..=1.0).contains(&share)) {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    }
    let z = normal_two_sided(level);
    let z2 = z * z / n;
    let centre = (share + z2 / 2.0) / (1.0 + z2);
    let half = (share * (1.0 - share) * z2 + z2 * z2 / 4.0).sqrt() / (1.0 + z2);
    // At 0 and 1 the ends are exact; rounding must not move them.
    Interval {
        low: if share == 0.0 {
            0.0
        } else {
            (centre - half).max(0.0)
        },
        high: if share == 1.0 {
            1.0
        } else {
            (centre + half).min(1.0)
        },
    }
}

/// Share from counts, unweighted.
///
/// # Errors
/// No answers, or more hits than answers.
pub fn share_from_counts(hits: usize, n: usize, level: f64) -> Result<Share, AttitudeError> {
    if n == 0 {
        return Err(AttitudeError::Empty);
    }
    check(
        hits <= n,
        "hits",
        hits as f64,
        "at most the number of answers",
    )?;
    let share = hits as f64 / n as f64;
    Ok(Share {
        share,
        n,
        n_effective: n as f64,
        interval: wilson(share, n as f64, level),
    })
}

/// Share of answers of `from` or more on a scale `min..=max`.
///
/// # Errors
/// No answers, or one off the scale.
pub fn share(
    answers: &[Answer],
    min: f64,
    max: f64,
    from: f64,
    level: f64,
) -> Result<Share, AttitudeError> {
    let weights = weigh(answers, min, max, false)?;
    let hits: f64 = answers
        .iter()
        .filter(|a| a.value >= from)
        .map(|a| a.weight)
        .sum();
    let share = (hits / weights.sum).clamp(0.0, 1.0);
    let interval = wilson(share, weights.effective, level);
    Ok(Share {
        share,
        n: weights.n,
        n_effective: weights.effective,
        interval,
    })
}

/// Mean of answers on a scale `min..=max`.
///
/// # Errors
/// No answers, or one off the scale.
pub fn mean(answers: &[Answer], min: f64, max: f64, level: f64) -> Result<Mean, AttitudeError> {
    let weights = weigh(answers, min, max, false)?;
    let mean = answers.iter().map(|a| a.weight * a.value).sum::<f64>() / weights.sum;
    let squares = answers
        .iter()
        .map(|a| a.weight * (a.value - mean).powi(2))
        .sum::<f64>()
        / weights.sum;
    let df = weights.effective - 1.0;
    let deviation = (df > 1e-9).then(|| (squares * weights.effective / df).sqrt());
    let interval = deviation
        .zip(student_two_sided(level, df))
        .map(|(deviation, t)| {
            let half = t * deviation / weights.effective.sqrt();
            Interval {
                low: (mean - half).max(min),
                high: (mean + half).min(max),
            }
        });
    Ok(Mean {
        mean,
        deviation,
        n: weights.n,
        n_effective: weights.effective,
        interval,
    })
}

/// CSAT on 1..5, 1..7 or 1..10: the two best answers.
///
/// # Errors
/// Another scale, no answers, or one off the scale.
pub fn csat(answers: &[Answer], max: f64, level: f64) -> Result<Csat, AttitudeError> {
    check(
        [5.0, 7.0, 10.0].contains(&max),
        "max",
        max,
        "a scale 1..5, 1..7 or 1..10",
    )?;
    Ok(Csat {
        top2: share(answers, 1.0, max, max - 1.0, level)?,
        mean: mean(answers, 1.0, max, level)?,
    })
}

/// CES on 1..7, 7 = easiest.
///
/// # Errors
/// No answers, or one off the scale.
pub fn ces(answers: &[Answer], level: f64) -> Result<Ces, AttitudeError> {
    Ok(Ces {
        easy: share(answers, 1.0, 7.0, 5.0, level)?,
        mean: mean(answers, 1.0, 7.0, level)?,
    })
}

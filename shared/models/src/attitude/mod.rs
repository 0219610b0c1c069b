//! What customers say: shares, means and batteries of survey items, with intervals.

mod battery;
mod nps;
mod share;

pub use battery::{Battery, cronbach_alpha};
pub use nps::{Balance, Difference, Nps, balance, difference, nps, nps_from_shares};
pub use share::{Ces, Csat, Mean, Share, ces, csat, mean, share, share_from_counts, wilson};

use crate::summary::{InputError, check};

/// One answer; the weight is 1 unless answers are weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// On the question's own scale.
    pub value: f64,
    /// More than 0.
    pub weight: f64,
}

impl Answer {
    /// Weight 1.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { value, weight: 1.0 }
    }
}

/// Two ends, low ≤ high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Why a measure of answers is absent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttitudeError {
    /// Nothing was answered.
    #[error("no answers: the measure is not defined")]
    Empty,
    /// An answer does not fit the question.
    #[error("answer {index}: {error}")]
    Answer {
        /// Index of the answer, from 0.
        index: usize,
        /// What is wrong.
        error: InputError,
    },
    /// The question's scale is not one the measure is defined on.
    #[error("{0}")]
    Scale(#[from] InputError),
}

/// Sums of weights: how many answers, Σw, and Kish's effective number (Σw)²/Σw².
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    pub n: usize,
    pub sum: f64,
    pub effective: f64,
}

/// Checks all answers (whole numbers within `low..=high`) and sums their weights.
pub(crate) fn weigh(
    answers: &[Answer],
    low: f64,
    high: f64,
    whole: bool,
) -> Result<Weights, AttitudeError> {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (index, Answer { value, weight }) in answers.iter().copied().enumerate() {
        let fits = value >= low && value <= high && (!whole || value.fract() == 0.0);
        check(fits, "value", value, "an answer on the question's scale")
            .and_then(|()| {
                check(
                    weight > 0.0 && weight <= 1e12,
                    "weight",
                    weight,
                    "a number more than 0",
                )
            })
            .map_err(|error| AttitudeError::Answer { index, error })?;
        sum += weight;
        squares += weight * weight;
    }
    if answers.is_empty() {
        return Err(AttitudeError::Empty);
    }
    Ok(Weights {
        n: answers.len(),
        sum,
        effective: sum * sum / squares,
    })
}

/// (v − min) ÷ (max − min) × 100; `None` outside the scale or on an empty one.
#[must_use]
pub fn rescale(value: f64, min: f64, max: f64) -> Option<f64> {
    (min < max && value >= min && value <= max)
        .then(|| (value - min) / (max - min) * 100.0)
        .filter(|v| v.is_finite())
}

/// Answer of a reverse-coded item turned round: max + min − v.
#[must_use]
pub fn reverse(value: f64, min: f64, max: f64) -> f64 {
    max + min - value
}

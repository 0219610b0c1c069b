//! What a maximum likelihood fit returns, and how it is found.

mod chunk;
mod newton;

pub(crate) use chunk::{CHUNK, map_chunks};
pub(crate) use newton::{Evaluation, Maximum, Objective, best_of};

use crate::summary::InputError;

/// How far a model may be trusted, by the error of its hold-out total: A ≤ 5%, B ≤ 10%, C ≤ 20%, D worse, E no
/// hold-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// At most 5% off.
    A,
    /// At most 10% off.
    B,
    /// At most 20% off.
    C,
    /// Worse.
    D,
    /// Not tested on a hold-out.
    E,
}

impl Grade {
    /// The letter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
        }
    }
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Parameters of a model, all positive, in a fixed order.
pub trait Parameters: Copy + Sized {
    /// Names in the order of `values`.
    const NAMES: &'static [&'static str];
    /// Values in the order of `NAMES`.
    fn values(&self) -> Vec<f64>;
    /// From values in the order of `NAMES`; missing ones count as 1.
    fn from_values(values: &[f64]) -> Self;

    /// Names with values.
    fn named(&self) -> Vec<(&'static str, f64)> {
        Self::NAMES.iter().copied().zip(self.values()).collect()
    }

    /// Checks that each parameter is usable.
    ///
    /// # Errors
    /// The first parameter that is not between 1e-9 and 1e9.
    fn validate(&self) -> Result<(), InputError> {
        for (field, found) in self.named() {
            crate::summary::check(
                (1e-9..=1e9).contains(&found),
                field,
                found,
                "a positive parameter, 1e-9 to 1e9",
            )?;
        }
        Ok(())
    }
}

/// Correlation of purchase count and mean value among the customers of a Gamma-Gamma fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Product-moment correlation.
    pub pearson: f64,
    /// Rank correlation.
    pub spearman: f64,
}

/// A maximum likelihood fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit<P> {
    /// The estimates.
    pub params: P,
    /// Standard errors of the estimates (inverse Hessian in log parameters, delta method).
    pub standard_errors: P,
    /// Covariance of the estimates, in the order of `P::NAMES`.
    pub covariance: Vec<Vec<f64>>,
    /// Log-likelihood at the estimates.
    pub log_likelihood: f64,
    /// Customers: the sum of weights.
    pub n: f64,
    /// Distinct rows after equal ones were joined.
    pub rows: usize,
    /// Newton steps of the final run.
    pub iterations: u32,
    /// Squared Newton decrement gᵀH⁻¹g at the last step.
    pub decrement: f64,
    /// Trust; E until a hold-out was graded with [`Fit::with_holdout`].
    pub grade: Grade,
    /// Best grade the data allow, whatever the hold-out says.
    pub cap: Option<Grade>,
    /// Why this grade, in sentences.
    pub reasons: Vec<String>,
    /// Gamma-Gamma only: whether value depends on the number of purchases.
    pub correlation: Option<Correlation>,
}

/// The first unusable row, if any.
pub(crate) fn check_rows<T: Sync>(
    rows: &[T],
    check: impl Fn(&T) -> Result<(), InputError> + Sync,
) -> Result<(), FitError> {
    rows.iter()
        .enumerate()
        .try_for_each(|(row, r)| check(r).map_err(|error| FitError::Row { row, error }))
}

pub(crate) const NO_HOLDOUT: &str =
    "no hold-out: the model was not tested on purchases it had not seen";

impl<P> Fit<P> {
    /// Takes the grade of a hold-out, no better than the cap; its reason replaces "no hold-out".
    #[must_use]
    pub fn with_holdout(mut self, grade: Grade, reason: String) -> Self {
        self.reasons.retain(|known| known != NO_HOLDOUT);
        self.reasons.insert(0, reason);
        self.grade = self.cap.map_or(grade, |cap| cap.max(grade));
        self
    }
}

/// Why a model could not be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// A row is not usable.
    #[error("row {row}: {error}")]
    Row {
        /// Index of the row, from 0.
        row: usize,
        /// What is wrong.
        error: InputError,
    },
    /// Too few customers or too little difference between them.
    #[error(
        "too little data: {found} {what}, at least {needed} are needed; import a longer history or more customers"
    )]
    TooLittle {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: f64,
        /// How many are needed.
        needed: f64,
    },
    /// The likelihood has no maximum at finite, positive parameters.
    #[error("no maximum: {parameter} runs to {direction} ({hint})")]
    NoMaximum {
        /// The parameter that runs away.
        parameter: &'static str,
        /// "0" or "infinity".
        direction: &'static str,
        /// What that means for the data.
        hint: &'static str,
        /// Where the search stood, in the order of the model's parameter names.
        reached: Vec<f64>,
    },
    /// The search stopped before the maximum.
    #[error(
        "no convergence after {iterations} steps (Newton decrement {decrement:e}); the data do not determine the parameters"
    )]
    NotConverged {
        /// Steps taken.
        iterations: u32,
        /// Squared Newton decrement reached.
        decrement: f64,
    },
}

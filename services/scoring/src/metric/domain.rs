//! What a metric's answer is made of, and when it is withheld.

use regard_models::attitude::Interval;
use regard_types::Day;

/// Level of all intervals.
pub const LEVEL: f64 = 0.95;

/// What a metric is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Not at all.
    Whole,
    /// By channel.
    Channel,
    /// By dimension.
    Dimension,
}

/// The days that a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First day of the period; None for all history.
    pub from: Option<Day>,
    /// Last day of the period.
    pub to: Day,
    /// What happened later does not exist.
    pub as_of: Day,
}

/// A number about a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Value {
    /// The group's code; empty for the whole.
    pub group: String,
    /// The number.
    pub value: Option<f64>,
    /// Over how many people, or orders for revenue.
    pub n: i64,
    /// How many people are behind it: what the minimum group size is held against.
    pub people: i64,
    /// (low, high), level [`LEVEL`].
    pub interval: Option<(f64, f64)>,
    /// True if withheld.
    pub suppressed: bool,
    /// What it is made of.
    pub parts: Vec<(&'static str, f64)>,
    /// Why it is absent.
    pub reason: String,
}

impl Value {
    /// A group without a number.
    #[must_use]
    pub fn absent(group: &str, reason: impl Into<String>) -> Self {
        Self {
            group: group.to_owned(),
            reason: reason.into(),
            ..Self::default()
        }
    }

    /// Withholds the number if fewer people than the minimum are behind it; nobody at all is no secret.
    #[must_use]
    pub fn protect(self, minimum: i64) -> Self {
        if self.people == 0 || self.people >= minimum {
            return self;
        }
        Self {
            group: self.group,
            suppressed: true,
            reason: format!("fewer people than the tenant's minimum group size of {minimum}"),
            ..Self::default()
        }
    }
}

/// A metric's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The unit of the values.
    pub unit: String,
    /// By group.
    pub values: Vec<Value>,
    /// How it was computed.
    pub method: String,
    /// Version of the definition.
    pub version: String,
    /// What it is about.
    pub span: Span,
}

/// The ends of an interval.
#[must_use]
pub fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

/// As a part of an answer.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn number(n: usize) -> f64 {
    n as f64
}

/// A number of things.
#[must_use]
pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

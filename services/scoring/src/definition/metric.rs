//! Metric definitions: a number about a population.

use serde::Deserialize;

use super::Title;

/// A metric as its document defines it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// Always "metric".
    pub kind: String,
    /// Its name everywhere.
    pub name: String,
    /// Raised with every change of meaning.
    pub version: String,
    /// The unit of the value.
    pub unit: String,
    /// For people.
    pub title: Title,
    /// How it is computed, in a sentence.
    pub description: String,
    /// Where it is published.
    pub source: String,
    /// A plausible case.
    pub example: String,
    /// The computation and its settings.
    pub method: MetricMethod,
}

/// How a metric is computed.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MetricMethod {
    /// Promoters less detractors.
    Nps {
        /// Days that a period goes back unless it is given.
        period_days: i32,
    },
    /// Share of the two highest answers.
    Csat {
        /// Days that a period goes back unless it is given.
        period_days: i32,
    },
    /// Share of 5 to 7 of 7.
    Ces {
        /// Days that a period goes back unless it is given.
        period_days: i32,
    },
    /// Active at the start and not at the end of the period.
    ChurnPeriod {
        /// Days that a purchase makes active, and the length of the period.
        window_days: i32,
    },
    /// No purchase within the window before the period's end.
    LapsedShare {
        /// Days that a purchase makes active.
        window_days: i32,
    },
    /// A second purchase day soon after the first.
    RepeatPurchaseRate {
        /// Days after the first purchase day.
        window_days: i32,
    },
    /// Net value of the orders of the period.
    Revenue {
        /// Days that a period goes back unless it is given.
        period_days: i32,
    },
}

impl MetricDefinition {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Which setting is wrong, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.kind != "metric" {
            return Err(format!("kind is {:?}, expected \"metric\"", self.kind));
        }
        let days = self.days();
        if (1..=3660).contains(&days) {
            return Ok(());
        }
        Err(format!("method: {days} days, expected 1 to 3660"))
    }

    /// The definition's own window or period, in days.
    #[must_use]
    pub fn days(&self) -> i32 {
        match self.method {
            MetricMethod::Nps { period_days }
            | MetricMethod::Csat { period_days }
            | MetricMethod::Ces { period_days }
            | MetricMethod::Revenue { period_days } => period_days,
            MetricMethod::ChurnPeriod { window_days }
            | MetricMethod::LapsedShare { window_days }
            | MetricMethod::RepeatPurchaseRate { window_days } => window_days,
        }
    }
}

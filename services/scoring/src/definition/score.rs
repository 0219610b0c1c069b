//! Score definitions: a number about a customer.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Title;

/// A score as its document defines it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreDefinition {
    /// Always "score".
    pub kind: String,
    /// Its name everywhere.
    pub name: String,
    /// Raised with every change of meaning.
    pub version: String,
    /// The unit of the value.
    pub unit: String,
    /// For people.
    pub title: Title,
    /// What it says and what not.
    pub description: String,
    /// Where it is published.
    pub source: String,
    /// How it is computed.
    pub formula: String,
    /// A plausible case.
    pub example: String,
    /// The computation and its settings.
    pub method: Method,
}

/// The purchase model that a score uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurchaseModel {
    /// BG/NBD.
    Bgnbd,
    /// MBG/NBD.
    Mbgnbd,
}

/// How a score is computed.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// Quintile bins of recency, frequency and value.
    Rfm,
    /// Probability of being active.
    PAlive {
        /// The model.
        model: PurchaseModel,
    },
    /// Expected purchase days within a horizon.
    ExpectedPurchases {
        /// The model.
        model: PurchaseModel,
        /// The horizon.
        horizon_weeks: f64,
        /// The level of the predictive interval.
        interval_level: f64,
    },
    /// Probability of no purchase within a horizon.
    NoPurchase {
        /// The model.
        model: PurchaseModel,
        /// The horizon.
        horizon_weeks: f64,
    },
    /// Discounted revenue of the next twelve months.
    ResidualClv {
        /// The model.
        model: PurchaseModel,
        /// Annual discount rate.
        annual_rate: f64,
    },
    /// Net value so far.
    HistoricValue,
    /// Weighted mean of rescaled answers.
    Satisfaction {
        /// How old an answer may be.
        window_days: i32,
        /// The share of the weight that must be answered.
        minimum_weight: f64,
        /// Weight by dimension.
        weights: BTreeMap<String, f64>,
    },
}

impl ScoreDefinition {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Which setting is wrong, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.kind != "score" {
            return Err(format!("kind is {:?}, expected \"score\"", self.kind));
        }
        let within = |key: &str, value: f64, low: f64, high: f64| {
            if value > low && value <= high {
                Ok(())
            } else {
                Err(format!(
                    "method.{key} is {value}, expected more than {low} and at most {high}"
                ))
            }
        };
        match &self.method {
            Method::Rfm | Method::HistoricValue | Method::PAlive { .. } => Ok(()),
            Method::ExpectedPurchases {
                horizon_weeks,
                interval_level,
                ..
            } => {
                within("horizon_weeks", *horizon_weeks, 0.0, 520.0)?;
                within("interval_level", *interval_level, 0.0, 0.999)
            }
            Method::NoPurchase { horizon_weeks, .. } => {
                within("horizon_weeks", *horizon_weeks, 0.0, 520.0)
            }
            Method::ResidualClv { annual_rate, .. } => {
                within("annual_rate", *annual_rate, -1e-9, 10.0)
            }
            Method::Satisfaction {
                window_days,
                minimum_weight,
                weights,
            } => {
                within("window_days", f64::from(*window_days), 0.0, 3660.0)?;
                within("minimum_weight", *minimum_weight, 0.0, 1.0)?;
                if weights.is_empty() {
                    return Err("method.weights is empty, expected at least one dimension".into());
                }
                weights
                    .iter()
                    .try_for_each(|(k, w)| within(&format!("weights.{k}"), *w, 0.0, 1e6))
            }
        }
    }
}

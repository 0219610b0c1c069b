//! What a fitted model is.

use regard_models::Grade;
use regard_types::{Day, Micros, Uuid};

/// The kind of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelKind {
    /// Purchases; nobody leaves at the first.
    Bgnbd,
    /// Purchases; departure possible at the first.
    Mbgnbd,
    /// Value of a purchase.
    GammaGamma,
    /// Quintile edges.
    Rfm,
}

impl ModelKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Bgnbd, Self::Mbgnbd, Self::GammaGamma, Self::Rfm];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bgnbd => "bgnbd",
            Self::Mbgnbd => "mbgnbd",
            Self::GammaGamma => "gamma_gamma",
            Self::Rfm => "rfm",
        }
    }

    /// From the word in the store.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

/// A parameter and its standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The name.
    pub name: String,
    /// The value.
    pub value: f64,
    /// The standard error, where one is defined.
    pub standard_error: Option<f64>,
}

/// How a model did on purchases that it had not seen: fitted anew to what was known before `from`, its forecast stands beside what
/// then happened. Purchase models count purchase days; Gamma-Gamma foresees the value of purchases, in main units.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HoldOut {
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
    /// Customers foreseen.
    pub customers: i64,
    /// Its length.
    pub weeks: f64,
    /// Predicted total.
    pub predicted_total: f64,
    /// Actual total.
    pub actual_total: f64,
    /// Mean absolute error a customer.
    pub mae: f64,
    /// Root mean squared error a customer.
    pub rmse: f64,
    /// Pearson correlation.
    pub correlation: Option<f64>,
    /// Area under the curve of 1 - P0 for who buys.
    pub auc: Option<f64>,
    /// Mean log probability of what happened.
    pub log_score: f64,
    /// The same of the model that served before, on the same customers, where both can be compared.
    pub serving_log_score: Option<f64>,
    /// By repeat purchase days before the hold-out.
    pub groups: Vec<HoldOutGroup>,
    /// What made the forecast: fitted to what was known before the hold-out.
    pub estimates: Vec<Estimate>,
}

/// Customers with equally many repeat purchases before the hold-out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HoldOutGroup {
    /// Repeat purchase days; the last group has this many or more.
    pub purchases: i64,
    /// Customers.
    pub customers: i64,
    /// Mean forecast a customer.
    pub predicted: f64,
    /// Mean fact a customer.
    pub actual: f64,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    /// The id.
    pub id: Uuid,
    /// The kind.
    pub kind: ModelKind,
    /// The parameters, in the model's order.
    pub estimates: Vec<Estimate>,
    /// The log-likelihood, where there is one.
    pub log_likelihood: Option<f64>,
    /// Customers that it was fitted to.
    pub n: i64,
    /// The day that the data end with.
    pub as_of: Day,
    /// How far it can be trusted.
    pub grade: Grade,
    /// Why the grade is not better.
    pub reasons: Vec<String>,
    /// Whether scores use it.
    pub serving: bool,
    /// How it did on a hold-out.
    pub hold_out: Option<HoldOut>,
    /// When it was fitted.
    pub created: Micros,
}

impl ModelRecord {
    /// The parameters' values, in order.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        self.estimates.iter().map(|e| e.value).collect()
    }
}

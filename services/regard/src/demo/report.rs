//! What the demo shows: one document, printed for people or given to programs. Money is in the currency's main unit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The purchases as imported.
    pub purchases: Imported,
    /// The day that the first part is about.
    pub as_of: String,
    /// Purchase model, fitted as of that day.
    pub bgnbd: Fitted,
    /// Purchase model behind `p_alive`.
    pub mbgnbd: Fitted,
    /// Value model.
    pub gamma_gamma: Fitted,
    /// Quintile edges.
    pub rfm: Fitted,
    /// Customers by the rank of their residual value.
    pub value_tiers: Vec<Tier>,
    /// The most valuable ones.
    pub top_customers: Vec<Person>,
    /// Valuable, and likely to buy no more soon.
    pub slipping_away: Vec<Person>,
    /// The forecast beside what then happened.
    pub forecast: Forecast,
    /// Metrics of the buyers on the last day.
    pub behaviour: BTreeMap<String, Metric>,
    /// The survey as imported.
    pub responses: Imported,
    /// Metrics of the answers.
    pub metrics: BTreeMap<String, Metric>,
    /// Scores of the answers.
    pub satisfaction: Satisfaction,
    /// An order that arrived late.
    pub late_order: Act,
    /// An order that was wrong.
    pub correction: Act,
    /// Two customers that are one.
    pub merge: Act,
    /// And are two after all.
    pub unmerge: Act,
    /// How long everything took, in seconds.
    pub seconds: f64,
}

/// What was imported.
#[derive(Debug, Default, Serialize)]
pub struct Imported {
    /// The tenant.
    pub tenant: String,
    /// Rows stored.
    pub accepted: u64,
    /// Rows that were there already.
    pub unchanged: u64,
    /// Rows that could not be used.
    pub rejected: u64,
    /// Customers.
    pub customers: usize,
    /// From the first row to all scored, in seconds.
    pub seconds: f64,
}

/// A model beside published values.
#[derive(Debug, Serialize)]
pub struct Fitted {
    /// The model.
    #[serde(flatten)]
    pub model: Value,
    /// Where the other values are published.
    pub published_in: &'static str,
    /// Parameters by name, as published.
    pub published: BTreeMap<&'static str, f64>,
}

/// Customers of a tier.
#[derive(Debug, Serialize)]
pub struct Tier {
    /// `high`, `middle`, `low`.
    pub tier: &'static str,
    /// How many.
    pub customers: usize,
    /// Their residual value.
    pub residual_clv: f64,
    /// Its share of all customers' residual value.
    pub share: f64,
    /// What they then paid in the hold-out.
    pub then_paid: f64,
    /// Its share of what all paid.
    pub then_share: f64,
}

/// A customer with reasons.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    /// The customer's key.
    pub customer: String,
    /// Residual value of 12 months.
    pub residual_clv: Option<f64>,
    /// Paid so far.
    pub historic_value: Option<f64>,
    /// Purchase days expected in 39 weeks.
    pub expected_purchases: Option<f64>,
    /// Predictive interval of these, level 0.9.
    pub expected_interval: Option<Between>,
    /// Probability of no purchase in 13 weeks.
    pub no_purchase_13w: Option<f64>,
    /// Recency, frequency and value in fifths.
    pub rfm: String,
    /// What moved the score that ranks here, the largest effect first.
    pub reasons: Vec<String>,
    /// The explanation in sentences.
    pub summary: String,
}

/// The forecast beside what then happened.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// First day.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Its length.
    pub weeks: f64,
    /// How many customers were foreseen.
    pub customers: usize,
    /// Expected purchase days of all.
    pub predicted_total: f64,
    /// Purchase days of all.
    pub actual_total: f64,
    /// Root mean squared error a customer.
    pub rmse: f64,
    /// Pearson correlation over customers.
    pub correlation: f64,
    /// Area under the curve of 1 - P(no purchase in 39 weeks) for who buys.
    pub auc: Option<f64>,
    /// The same by the score `no_purchase_13w`.
    pub auc_no_purchase_13w: Option<f64>,
    /// Revenue of the time, as the suite counts it.
    pub revenue: Option<f64>,
    /// The same figures, computed apart from this program.
    pub reference: BTreeMap<&'static str, f64>,
}

/// A metric.
#[derive(Debug, Serialize)]
pub struct Metric {
    /// The value.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
    /// Over how many.
    pub n: i64,
    /// Where the population's value lies, level 0.95.
    pub interval: Option<Between>,
    /// What it is made of.
    pub parts: BTreeMap<String, f64>,
    /// The same, computed apart from this program.
    pub reference: BTreeMap<&'static str, f64>,
}

/// The score `satisfaction` of all respondents.
#[derive(Debug, Default, Serialize)]
pub struct Satisfaction {
    /// Respondents with the score.
    pub n: usize,
    /// Mean, of 0 to 100.
    pub mean: f64,
    /// Quartiles.
    pub quartiles: [f64; 3],
    /// The least satisfied, with reasons.
    pub least: Vec<Respondent>,
}

/// A respondent with reasons.
#[derive(Debug, Serialize)]
pub struct Respondent {
    /// The customer's key.
    pub customer: String,
    /// The score, of 0 to 100.
    pub satisfaction: Option<f64>,
    /// What moved it, the largest effect first.
    pub reasons: Vec<String>,
}

/// An interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Between {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Its level.
    pub level: f64,
}

/// Something that happened, and what it did to scores.
#[derive(Debug, Serialize)]
pub struct Act {
    /// In a sentence.
    pub what: String,
    /// Whose scores.
    pub customer: String,
    /// What moved.
    pub scores: Vec<Moved>,
    /// From the write to the answer of the read that carried its change token, in milliseconds.
    pub milliseconds: f64,
    /// What to see in it.
    pub note: String,
}

/// A score before and after.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// The score.
    pub name: String,
    /// Its unit; money in the main unit.
    pub unit: String,
    /// Before.
    pub before: Option<f64>,
    /// After.
    pub after: Option<f64>,
}

//! A score is a pure function of a summary, a day, the serving models and its definition.

use regard_models::{
    Grade, Spend, Stat, bgnbd, clv, gamma_gamma, mbgnbd, predictive::Purchases, purchase, rfm,
};
use regard_types::{Day, Micros, Uuid};

use crate::definition::score::PurchaseModel;
use crate::definition::{Book, Method, ScoreDefinition};
use crate::summary::Summary;

/// A fitted model as scores use it.
#[derive(Debug, Clone)]
pub struct Fitted<P> {
    /// The model's id.
    pub id: Uuid,
    /// Its parameters.
    pub params: P,
    /// How far it can be trusted.
    pub grade: Grade,
}

/// The models that serve a tenant, each absent until one was fitted.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Counts promotions of the tenant.
    pub version: i64,
    /// BG/NBD.
    pub bgnbd: Option<Fitted<bgnbd::Params>>,
    /// MBG/NBD.
    pub mbgnbd: Option<Fitted<mbgnbd::Params>>,
    /// Gamma-Gamma, in main units of the currency.
    pub gamma_gamma: Option<Fitted<gamma_gamma::Params>>,
    /// Quintile edges; net totals in minor units.
    pub rfm: Option<Fitted<rfm::Rfm>>,
}

/// What the tenant says that scores depend on.
#[derive(Debug, Clone, Copy)]
pub struct Basis {
    /// The day that the score is about, included.
    pub day: Day,
    /// First day of complete records.
    pub history_start: Option<Day>,
    /// Minor units in one main unit of the currency.
    pub minor_per_unit: f64,
}

/// A number about a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreValue {
    /// The definition's place in the book.
    pub definition: usize,
    /// The value; None where it is not defined: then `reasons` says why.
    pub value: Option<f64>,
    /// The value as a code or in words.
    pub band: String,
    /// (low, high, level): where the customer's own outcome lies.
    pub interval: Option<(f64, f64, f64)>,
    /// How far it can be trusted.
    pub grade: Grade,
    /// Why it is absent or graded down.
    pub reasons: Vec<String>,
    /// The model used.
    pub model: Option<Uuid>,
    /// Facts that it rests on.
    pub n: i64,
}

/// All scores of one customer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreSet {
    /// Version of the row; never falls.
    pub version: i64,
    /// The day that the scores are about.
    pub as_of: Day,
    /// The tenant's day version that they belong to.
    pub day_version: i64,
    /// Until when they hold; None while the tenant's day is pinned.
    pub valid_until: Option<Micros>,
    /// In the book's order.
    pub values: Vec<ScoreValue>,
}

/// Why a score has no value.
type Absent = (&'static str, Grade);

const NO_PURCHASE: &str = "no purchase that counts up to the as-of day";
const NO_MODEL: &str = "no model has been fitted yet: call FitModel";
const OUT_OF_RANGE: &str = "the customer's figures lie beyond what the models take";
const TRUNCATED: &str =
    "purchases before history_start may be missing: the customer is not known to be new after it";

/// Computes all scores of a customer, in the book's order.
#[must_use]
pub fn score_all(
    book: &Book,
    summary: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Vec<ScoreValue> {
    book.scores
        .iter()
        .enumerate()
        .map(|(place, definition)| score(place, definition, summary, basis, serving))
        .collect()
}

/// A score without a value, and why.
#[must_use]
pub fn absent(place: usize, why: &str) -> ScoreValue {
    ScoreValue {
        definition: place,
        value: None,
        band: String::new(),
        interval: None,
        grade: Grade::E,
        reasons: vec![why.to_owned()],
        model: None,
        n: 0,
    }
}

/// Computes one score.
#[must_use]
pub fn score(
    place: usize,
    definition: &ScoreDefinition,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> ScoreValue {
    let mut out = ScoreValue {
        definition: place,
        value: None,
        band: String::new(),
        interval: None,
        grade: Grade::E,
        reasons: Vec::new(),
        model: None,
        n: s.purchase_days,
    };
    if let Err((why, grade)) = fill(&mut out, &definition.method, s, basis, serving) {
        out.value = None;
        out.interval = None;
        out.band = String::new();
        out.grade = grade;
        out.reasons.push(why.to_owned());
    }
    // The last line against a number that is none, whatever a model did.
    if out.value.is_some_and(|v| !v.is_finite()) {
        out.value = None;
        out.interval = None;
        out.grade = Grade::E;
        out.reasons
            .push("the model gives no finite value for this customer".into());
    }
    out
}

fn fill(
    out: &mut ScoreValue,
    method: &Method,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Result<(), Absent> {
    match method {
        Method::Rfm => fill_rfm(out, s, basis, serving),
        Method::PAlive { model } => {
            let (stat, params, kind) = history(out, *model, s, basis, serving)?;
            out.value = Some(purchase::p_alive(kind, &params, &stat));
            Ok(())
        }
        Method::ExpectedPurchases {
            model,
            horizon_weeks,
            interval_level,
        } => {
            let (stat, params, kind) = history(out, *model, s, basis, serving)?;
            let future = Purchases::new(kind, &params, &stat, *horizon_weeks);
            out.value = Some(future.mean());
            let (low, high) = future.interval(*interval_level);
            out.interval = Some((count(low), count(high), *interval_level));
            Ok(())
        }
        Method::NoPurchase {
            model,
            horizon_weeks,
        } => {
            let (stat, params, kind) = history(out, *model, s, basis, serving)?;
            out.value = Some(purchase::no_purchase(kind, &params, &stat, *horizon_weeks));
            Ok(())
        }
        Method::ResidualClv { model, annual_rate } => {
            let (stat, params, kind) = history(out, *model, s, basis, serving)?;
            fill_clv(out, kind, &params, &stat, s, basis, serving, *annual_rate)
        }
        Method::HistoricValue => {
            out.n = s.orders;
            out.grade = Grade::A;
            out.value = Some(minor(s.net()));
            if s.net() < 0 {
                out.reasons.push("refunds exceed purchases".into());
            }
            if s.orders == 0 && s.refunded_unlinked == 0 {
                out.reasons.push("no order yet".into());
            }
            Ok(())
        }
        Method::Satisfaction {
            window_days,
            minimum_weight,
            weights,
        } => {
            let parts = satisfaction_parts(s, basis.day, *window_days, weights);
            out.n = parts.iter().map(|p| p.answers).sum();
            let answered: f64 = parts.iter().map(|p| p.weight).sum();
            let all: f64 = weights.values().sum();
            if answered <= 0.0 || answered + 1e-12 < minimum_weight * all {
                return Err((
                    "the answered dimensions carry less than the required share of the weight",
                    Grade::E,
                ));
            }
            out.grade = Grade::A;
            out.value = Some(parts.iter().map(|p| p.weight * p.mean).sum::<f64>() / answered);
            Ok(())
        }
    }
}

/// The customer's statistics and the serving model; what stands in the way otherwise.
fn history(
    out: &mut ScoreValue,
    model: PurchaseModel,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Result<(Stat, purchase::Params, regard_models::Model), Absent> {
    let stat = s.stat(basis.day).ok_or((NO_PURCHASE, Grade::E))?;
    stat.validate().map_err(|_| (OUT_OF_RANGE, Grade::E))?;
    let (fitted, kind) = serving.purchase(model);
    let fitted = fitted.ok_or((NO_MODEL, Grade::E))?;
    out.model = Some(fitted.id);
    out.grade = fitted.grade;
    if truncated(s, basis) {
        out.grade = out.grade.max(Grade::D);
        out.reasons.push(TRUNCATED.to_owned());
    }
    Ok((stat, fitted.params, kind))
}

impl Serving {
    /// The serving model of a kind.
    #[must_use]
    pub fn purchase(
        &self,
        model: PurchaseModel,
    ) -> (Option<&Fitted<purchase::Params>>, regard_models::Model) {
        match model {
            PurchaseModel::Bgnbd => (self.bgnbd.as_ref(), regard_models::Model::BgNbd),
            PurchaseModel::Mbgnbd => (self.mbgnbd.as_ref(), regard_models::Model::MbgNbd),
        }
    }
}

/// Whether purchases before the tenant's first complete day may be missing.
#[must_use]
pub fn truncated(s: &Summary, basis: Basis) -> bool {
    basis
        .history_start
        .is_some_and(|start| s.since.is_none_or(|since| since < start))
}

fn fill_rfm(
    out: &mut ScoreValue,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Result<(), Absent> {
    let buyer = buyer(s, basis.day).ok_or((NO_PURCHASE, Grade::E))?;
    let fitted = serving.rfm.as_ref().ok_or((NO_MODEL, Grade::E))?;
    let bins = fitted.params.bins(&buyer);
    out.model = Some(fitted.id);
    out.grade = fitted.grade;
    out.value = Some(f64::from(bins.r) * 100.0 + f64::from(bins.f) * 10.0 + f64::from(bins.m));
    out.band = format!("{}{}{}", bins.r, bins.f, bins.m);
    Ok(())
}

/// The customer among the buyers as of a day; net total in minor units.
#[must_use]
pub fn buyer(s: &Summary, day: Day) -> Option<rfm::Buyer> {
    let last = s.last_day?;
    Some(rfm::Buyer {
        days_since: f64::from(day.since(last)),
        purchase_days: minor(s.purchase_days),
        net_total: minor(s.net()),
    })
}

/// The mean value of repeat days in main units, as Gamma-Gamma takes it. A customer whose refunds ate the whole value counts as
/// one without a repeat.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn spend(s: &Summary, minor_per_unit: f64) -> Spend {
    match s.mean_repeat() {
        Some(m) if m > 0.0 => Spend::new(s.x() as f64, m / minor_per_unit),
        _ => Spend::new(0.0, 0.0),
    }
}

#[allow(clippy::too_many_arguments)]
fn fill_clv(
    out: &mut ScoreValue,
    kind: regard_models::Model,
    params: &purchase::Params,
    stat: &Stat,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
    annual_rate: f64,
) -> Result<(), Absent> {
    let value = serving.gamma_gamma.as_ref().ok_or((NO_MODEL, Grade::E))?;
    out.grade = out.grade.max(value.grade);
    let spend = spend(s, basis.minor_per_unit);
    spend.validate().map_err(|_| (OUT_OF_RANGE, Grade::E))?;
    if spend.x == 0.0 {
        out.reasons
            .push("no repeat purchase with value: the population's mean value is used".into());
    }
    let clv = clv::residual_by(kind, params, &value.params, stat, &spend, annual_rate).ok_or((
        "the value model has no mean for this customer (q + p x is at most 1)",
        Grade::E,
    ))?;
    out.value = Some(clv.revenue * basis.minor_per_unit);
    Ok(())
}

/// One answered dimension of the satisfaction score.
#[derive(Debug, Clone, PartialEq)]
pub struct DimensionPart {
    /// The dimension.
    pub dimension: String,
    /// Its weight.
    pub weight: f64,
    /// Mean of the latest answers, 0 to 100.
    pub mean: f64,
    /// How many answers.
    pub answers: i64,
}

/// The answered dimensions that the definition weighs.
#[must_use]
pub fn satisfaction_parts(
    s: &Summary,
    day: Day,
    window_days: i32,
    weights: &std::collections::BTreeMap<String, f64>,
) -> Vec<DimensionPart> {
    let from = day.plus(-window_days);
    let mut parts: Vec<DimensionPart> = Vec::new();
    for (dimension, weight) in weights {
        let answers = s
            .answers
            .iter()
            .filter(|a| a.day > from && a.dimension == *dimension);
        let (sum, n) = answers
            .filter_map(super::super::summary::AnswerFact::rescaled)
            .fold((0.0, 0), |(sum, n), v| (sum + v, n + 1));
        if n > 0 {
            parts.push(DimensionPart {
                dimension: dimension.clone(),
                weight: *weight,
                mean: sum / f64::from(n),
                answers: i64::from(n),
            });
        }
    }
    parts
}

#[allow(clippy::cast_precision_loss)]
fn minor(v: i64) -> f64 {
    v as f64
}

#[allow(clippy::cast_precision_loss)]
fn count(v: u64) -> f64 {
    v as f64
}

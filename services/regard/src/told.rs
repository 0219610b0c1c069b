//! What the suite answered, for people and for programs.

use regard_proto::common::v1::Interval;
use regard_proto::scoring::v1::{
    CustomerScores, Estimate, ExplainScoreResponse, Grade, HoldOut, MetricValue, Model, ModelKind,
    QueryMetricResponse, Score,
};
use serde_json::{Map, Value, json};

use crate::reach::day_text;
use crate::show;

/// A to E; a dash where none is stated.
#[must_use]
pub fn grade(grade: i32) -> &'static str {
    match Grade::try_from(grade) {
        Ok(Grade::A) => "A",
        Ok(Grade::B) => "B",
        Ok(Grade::C) => "C",
        Ok(Grade::D) => "D",
        Ok(Grade::E) => "E",
        _ => "–",
    }
}

/// The name of a kind of model.
#[must_use]
pub const fn kind(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Unspecified => "unspecified",
        ModelKind::Bgnbd => "bgnbd",
        ModelKind::Mbgnbd => "mbgnbd",
        ModelKind::GammaGamma => "gamma_gamma",
        ModelKind::Rfm => "rfm",
    }
}

/// Money of scores is in minor units; people read main units.
const MINOR: &str = "minor units";

/// Whether a unit is money.
#[must_use]
pub fn is_money(unit: &str) -> bool {
    unit == MINOR
}

/// A value as people read it; money in the currency's main unit.
#[must_use]
pub fn value(value: Option<f64>, unit: &str, places: i32) -> String {
    match value {
        None => "–".to_owned(),
        Some(v) if unit == MINOR => {
            let digits = usize::try_from(places).unwrap_or(0);
            format!("{:.digits$}", v / 10_f64.powi(places))
        }
        Some(v) if unit == "code" => format!("{v:.0}"),
        Some(v) => show::number(v, 4),
    }
}

/// An interval as people read it.
#[must_use]
pub fn interval(interval: Option<&Interval>, unit: &str, places: i32) -> String {
    interval.map_or_else(String::new, |i| {
        format!(
            "{} to {}",
            value(Some(i.low), unit, places),
            value(Some(i.high), unit, places)
        )
    })
}

fn interval_json(interval: Option<&Interval>) -> Value {
    interval.map_or(
        Value::Null,
        |i| json!({ "low": i.low, "high": i.high, "level": i.level }),
    )
}

/// A score for programs.
#[must_use]
pub fn score_json(score: &Score) -> Value {
    json!({
        "name": score.name,
        "value": score.value,
        "unit": score.unit,
        "band": score.band,
        "interval": interval_json(score.interval.as_ref()),
        "grade": grade(score.grade),
        "reasons": score.reasons,
        "as_of": day_text(score.as_of.as_ref()),
        "valid_until": score.valid_until.map(|t| t.to_string()),
        "definition_version": score.definition_version,
        "model_id": score.model_id,
        "n": score.n,
    })
}

/// A customer's scores for programs.
#[must_use]
pub fn customer_json(customer: &CustomerScores) -> Value {
    json!({
        "customer_id": customer.customer_id,
        "version": customer.version,
        "scores": customer.scores.iter().map(score_json).collect::<Vec<_>>(),
    })
}

/// An explanation for programs.
#[must_use]
pub fn explanation_json(explained: &ExplainScoreResponse) -> Value {
    json!({
        "score": explained.score.as_ref().map(score_json),
        "summary": explained.summary,
        "facts": explained.facts.iter().map(|f| json!({ "name": f.name, "value": f.value, "unit": f.unit, "description": f.description })).collect::<Vec<_>>(),
        "contributions": explained.contributions.iter().map(|c| json!({ "fact": c.fact, "effect": c.effect, "description": c.description })).collect::<Vec<_>>(),
        "formula": explained.formula,
        "parameters": explained.parameters.iter().map(|p| (p.name.clone(), json!(p.value))).collect::<Map<_, _>>(),
    })
}

fn estimates(estimates: &[Estimate], of: impl Fn(&Estimate) -> Value) -> Value {
    Value::Object(
        estimates
            .iter()
            .map(|e| (e.name.clone(), of(e)))
            .collect::<Map<_, _>>(),
    )
}

/// A hold-out for programs.
#[must_use]
pub fn hold_out_json(hold_out: &HoldOut) -> Value {
    json!({
        "from": day_text(hold_out.from.as_ref()),
        "to": day_text(hold_out.to.as_ref()),
        "weeks": hold_out.weeks,
        "customers": hold_out.customers,
        "predicted_total": hold_out.predicted_total,
        "actual_total": hold_out.actual_total,
        "rmse": hold_out.rmse,
        "mae": hold_out.mae,
        "correlation": hold_out.correlation,
        "auc": hold_out.auc,
        "log_score": hold_out.log_score,
        "parameters": estimates(&hold_out.parameters, |e| json!(e.value)),
    })
}

/// A model for programs.
#[must_use]
pub fn model_json(model: &Model) -> Value {
    json!({
        "id": model.id,
        "model": ModelKind::try_from(model.kind).map_or("unspecified", kind),
        "n": model.n,
        "params": estimates(&model.parameters, |e| json!(e.value)),
        "standard_errors": estimates(&model.parameters, |e| json!(e.standard_error)),
        "log_likelihood": model.log_likelihood,
        "grade": grade(model.grade),
        "reasons": model.reasons,
        "as_of": day_text(model.as_of.as_ref()),
        "serving": model.serving,
        "hold_out": model.hold_out.as_ref().map(hold_out_json),
    })
}

fn metric_value_json(value: &MetricValue) -> Value {
    json!({
        "group": value.group,
        "value": value.value,
        "n": value.n,
        "interval": interval_json(value.interval.as_ref()),
        "suppressed": value.suppressed,
        "parts": value.parts.iter().map(|p| (p.name.clone(), json!(p.value))).collect::<Map<_, _>>(),
        "reason": value.reason,
    })
}

/// A metric for programs.
#[must_use]
pub fn metric_json(metric: &QueryMetricResponse) -> Value {
    json!({
        "metric": metric.metric,
        "unit": metric.unit,
        "from": day_text(metric.from.as_ref()),
        "to": day_text(metric.to.as_ref()),
        "as_of": day_text(metric.as_of.as_ref()),
        "definition_version": metric.definition_version,
        "method": metric.method,
        "values": metric.values.iter().map(metric_value_json).collect::<Vec<_>>(),
    })
}

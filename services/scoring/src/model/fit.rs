//! A fit with its hold-out, and whether the new model may serve. Pure; heavy on the processor.

use regard_models::holdout::{Case, assess, grade};
use regard_models::{
    Fit, FitError, Grade, Model, Parameters, Spend, Stat, gamma_gamma, purchase,
    rfm::{Buyer, Rfm},
};
use regard_types::Day;

use super::cohort::{Cohort, Frame, Member};
use super::domain::{Estimate, HoldOut, HoldOutGroup, ModelKind, ModelRecord};

/// By how much the log score of a customer may be worse before a new model does not serve.
const TOLERANCE: f64 = 1e-3;
/// The last group of forecast beside fact: this many repeat purchases or more.
const LAST_GROUP: usize = 7;

/// Why a model cannot be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfit {
    /// For people.
    pub why: String,
    /// Customers with a purchase.
    pub customers: usize,
    /// How many are needed, where that is the matter.
    pub required: Option<f64>,
}

/// What was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// In the model's order.
    pub estimates: Vec<Estimate>,
    /// At the estimates.
    pub log_likelihood: Option<f64>,
    /// Customers.
    pub n: i64,
    /// Trust.
    pub grade: Grade,
    /// Why, and what else to know.
    pub reasons: Vec<String>,
    /// Forecast beside fact.
    pub hold_out: Option<HoldOut>,
    /// Whether it should serve.
    pub serves: bool,
}

/// Fits a model to a cohort; `serving` is the model that serves now, `today` the tenant's.
///
/// # Errors
/// Too little data, or none that determine the parameters.
pub fn fit(
    kind: ModelKind,
    cohort: &Cohort,
    frame: &Frame,
    serving: Option<&ModelRecord>,
    today: Day,
) -> Result<Fitted, Unfit> {
    let unfit = |error: FitError| Unfit {
        why: error.to_string(),
        customers: cohort.members.len(),
        required: match error {
            FitError::TooLittle { needed, .. } => Some(needed),
            FitError::Row { .. } | FitError::NoMaximum { .. } | FitError::NotConverged { .. } => {
                None
            }
        },
    };
    let mut out = match kind {
        ModelKind::Bgnbd => purchases(Model::BgNbd, cohort, frame, serving).map_err(unfit)?,
        ModelKind::Mbgnbd => purchases(Model::MbgNbd, cohort, frame, serving).map_err(unfit)?,
        ModelKind::GammaGamma => value(cohort, frame, serving).map_err(unfit)?,
        ModelKind::Rfm => quintiles(cohort)?,
    };
    if cohort.truncated > 0 {
        out.fitted.reasons.push(format!(
            "{} customers are left out: purchases before history_start may be missing, since they are not known to be new after it",
            cohort.truncated
        ));
    }
    let (serves, why) = decide(&out, frame, serving, today);
    out.fitted.serves = serves;
    out.fitted.reasons.extend(why);
    Ok(out.fitted)
}

/// A fit with the log scores that the decision rests on.
struct Rated {
    fitted: Fitted,
    /// (new, serving) of parameters that have both seen the hold-out.
    seen: Option<(f64, f64)>,
}

fn purchases(
    model: Model,
    cohort: &Cohort,
    frame: &Frame,
    serving: Option<&ModelRecord>,
) -> Result<Rated, FitError> {
    let rows: Vec<Stat> = cohort.members.iter().map(|m| m.stat).collect();
    let mut fit = purchase::fit(model, &rows)?;
    let cases: Vec<Case> = befores(cohort)
        .map(|b| Case {
            stat: b.stat,
            actual: b.days,
        })
        .collect();
    let weeks = frame.weeks();
    let earlier: Vec<Stat> = cases.iter().map(|c| c.stat).collect();
    let mut seen = None;
    let mut hold_out = None;
    if let Some(split) = frame.split {
        match purchase::fit(model, &earlier) {
            Ok(refit) => {
                let incumbent = serving.map(|s| purchase::Params::from_values(&s.values()));
                let rate = |params: &purchase::Params| assess(model, params, &cases, weeks);
                if let Some(outcome) = rate(&refit.params) {
                    let of_serving = incumbent.as_ref().and_then(rate).map(|o| o.log_score);
                    seen = rate(&fit.params).map(|o| o.log_score).zip(of_serving);
                    let predicted: Vec<f64> = cases
                        .iter()
                        .map(|c| purchase::expected_purchases(model, &refit.params, &c.stat, weeks))
                        .collect();
                    let rows = cases
                        .iter()
                        .zip(&predicted)
                        .map(|(c, p)| (c.stat.x, *p, to_f64(c.actual)));
                    hold_out = Some(HoldOut {
                        from: split.plus(1),
                        to: frame.basis.day,
                        customers: count(outcome.n),
                        weeks,
                        predicted_total: outcome.predicted_total,
                        actual_total: outcome.actual_total,
                        mae: outcome.mae,
                        rmse: outcome.rmse,
                        correlation: outcome.pearson,
                        auc: outcome.auc,
                        log_score: outcome.log_score,
                        serving_log_score: of_serving,
                        groups: groups(rows),
                        estimates: estimates(&refit),
                    });
                    fit = fit.with_holdout(outcome.grade, outcome.reason);
                }
            }
            Err(error) => fit.reasons.push(format!(
                "the part before {} does not allow a hold-out: {error}",
                split.plus(1)
            )),
        }
    }
    Ok(Rated {
        fitted: fitted(&fit, hold_out),
        seen,
    })
}

/// The value of the purchases that were made in the hold-out, foreseen from those before.
fn value(cohort: &Cohort, frame: &Frame, serving: Option<&ModelRecord>) -> Result<Rated, FitError> {
    let rows: Vec<Spend> = cohort.members.iter().map(|m| m.spend).collect();
    let mut fit = gamma_gamma::fit(&rows)?;
    let mut seen = None;
    let mut hold_out = None;
    if let Some(split) = frame.split {
        let earlier: Vec<Spend> = befores(cohort).map(|b| b.spend).collect();
        match gamma_gamma::fit(&earlier) {
            Ok(refit) => {
                let cases: Vec<(Spend, Spend)> = befores(cohort)
                    .filter(|b| b.days > 0 && b.value > 0.0)
                    .map(|b| {
                        (
                            b.spend,
                            Spend::new(to_f64(b.days), b.value / to_f64(b.days)),
                        )
                    })
                    .collect();
                let incumbent = serving.map(|s| gamma_gamma::Params::from_values(&s.values()));
                let rate = |params: &gamma_gamma::Params| value_score(params, &cases);
                let of_serving = incumbent.as_ref().and_then(rate);
                seen = rate(&fit.params).zip(of_serving);
                let foreseen = value_hold_out(&refit, &cases, split, frame, of_serving);
                if let Some((found, grade, reason)) = foreseen {
                    hold_out = Some(found);
                    fit = fit.with_holdout(grade, reason);
                }
            }
            Err(error) => fit.reasons.push(format!(
                "the part before {} does not allow a hold-out: {error}",
                split.plus(1)
            )),
        }
    }
    Ok(Rated {
        fitted: fitted(&fit, hold_out),
        seen,
    })
}

fn value_hold_out(
    refit: &Fit<gamma_gamma::Params>,
    cases: &[(Spend, Spend)],
    split: Day,
    frame: &Frame,
    of_serving: Option<f64>,
) -> Option<(HoldOut, Grade, String)> {
    let log_score = value_score(&refit.params, cases)?;
    let predicted: Vec<f64> = cases
        .iter()
        .map(|(before, _)| gamma_gamma::expected_value(&refit.params, before))
        .collect::<Option<_>>()?;
    let actual: Vec<f64> = cases.iter().map(|(_, after)| after.m).collect();
    let total = |values: &[f64]| {
        values
            .iter()
            .zip(cases)
            .map(|(v, (_, after))| v * after.x)
            .sum::<f64>()
    };
    let (predicted_total, actual_total) = (total(&predicted), total(&actual));
    let errors: f64 = predicted
        .iter()
        .zip(&actual)
        .map(|(p, a)| (p - a).abs())
        .sum();
    let rows = cases
        .iter()
        .zip(&predicted)
        .map(|((before, after), p)| (before.x, *p, after.m));
    let hold_out = HoldOut {
        from: split.plus(1),
        to: frame.basis.day,
        customers: count(cases.len()),
        weeks: frame.weeks(),
        predicted_total,
        actual_total,
        mae: errors / to_f64(cases.len() as u64),
        rmse: regard_models::rmse(&predicted, &actual)?,
        correlation: regard_models::pearson(&predicted, &actual),
        auc: None,
        log_score,
        serving_log_score: of_serving,
        groups: groups(rows),
        estimates: estimates(refit),
    };
    let (grade, _) = grade(predicted_total, actual_total);
    let error = 100.0 * (predicted_total / actual_total - 1.0);
    let direction = if error < 0.0 { "below" } else { "above" };
    let reason = format!(
        "hold-out: forecast a value of {predicted_total:.0} for the purchases of {} customers, {:.1}% {direction} the {actual_total:.0} paid",
        cases.len(),
        error.abs()
    );
    Some((hold_out, grade, reason))
}

/// Mean log density of the mean value of later purchases given the earlier ones: a customer's ν given x values of mean m is
/// Gamma(px + q, γ + mx), so that the later mean follows the model's own likelihood at those.
fn value_score(params: &gamma_gamma::Params, cases: &[(Spend, Spend)]) -> Option<f64> {
    let one = |(before, after): &(Spend, Spend)| {
        let total = if before.x > 0.0 {
            before.x * before.m
        } else {
            0.0
        };
        let own = gamma_gamma::Params {
            p: params.p,
            q: params.q + params.p * before.x,
            gamma: params.gamma + total,
        };
        gamma_gamma::log_likelihood(&own, after)
    };
    let score = cases.iter().map(one).sum::<f64>() / to_f64(cases.len() as u64);
    score.is_finite().then_some(score)
}

fn quintiles(cohort: &Cohort) -> Result<Rated, Unfit> {
    let buyers: Vec<Buyer> = cohort.members.iter().map(|m| m.buyer).collect();
    Ok(Rated {
        fitted: quintiles_of(&buyers)?,
        seen: None,
    })
}

/// The quintile edges of buyers.
///
/// # Errors
/// No buyer.
pub fn quintiles_of(buyers: &[Buyer]) -> Result<Fitted, Unfit> {
    let edges = Rfm::new(buyers).ok_or_else(|| Unfit {
        why: "no customer has a purchase that counts up to the as-of day; import orders, or fit at a later day".to_owned(),
        customers: buyers.len(),
        required: Some(1.0),
    })?;
    let mut list = Vec::with_capacity(12);
    for (letter, four) in [("r", edges.r), ("f", edges.f), ("m", edges.m)] {
        for (k, edge) in (1..).zip(four) {
            list.push(Estimate {
                name: format!("{letter}{k}"),
                value: edge,
                standard_error: None,
            });
        }
    }
    Ok(Fitted {
        estimates: list,
        log_likelihood: None,
        n: count(buyers.len()),
        grade: Grade::A,
        reasons: vec![
            "quintile edges describe the buyers of the day; nothing is foreseen".to_owned(),
        ],
        hold_out: None,
        serves: true,
    })
}

/// Whether a new model serves, and what to say of it. A model is compared with the serving one only where both have seen equally
/// much of the hold-out.
fn decide(
    new: &Rated,
    frame: &Frame,
    serving: Option<&ModelRecord>,
    today: Day,
) -> (bool, Option<String>) {
    let Some(old) = serving else {
        return (true, None);
    };
    let day = frame.basis.day;
    if day < old.as_of && old.as_of <= today {
        return (
            false,
            Some(format!(
                "does not serve: the serving model rests on later data, up to {}",
                old.as_of
            )),
        );
    }
    let Some(hold_out) = &new.fitted.hold_out else {
        return (true, None);
    };
    let verdict = |ours: f64, theirs: f64| {
        if ours >= theirs - TOLERANCE {
            return (true, None);
        }
        (
            false,
            Some(format!(
                "does not serve: its log score a customer is {ours:.4}, the serving model's on the same customers {theirs:.4}"
            )),
        )
    };
    match (hold_out.serving_log_score, new.seen) {
        // Fitted to nothing of the hold-out, as the new parameters that made the forecast.
        (Some(theirs), _) if old.as_of < hold_out.from => verdict(hold_out.log_score, theirs),
        // Both fitted to all of it.
        (Some(_), Some((ours, theirs))) if old.as_of == day => verdict(ours, theirs),
        _ => (
            true,
            Some(format!(
                "not compared with the serving model: that one was fitted to a part of the hold-out, up to {}",
                old.as_of
            )),
        ),
    }
}

fn befores(cohort: &Cohort) -> impl Iterator<Item = super::cohort::Before> + '_ {
    cohort.members.iter().filter_map(|m: &Member| m.before)
}

/// Mean forecast and fact by repeat purchases; rows of (repeat purchases, predicted, actual).
fn groups(rows: impl Iterator<Item = (f64, f64, f64)>) -> Vec<HoldOutGroup> {
    let mut sums = [(0_u64, 0.0, 0.0); LAST_GROUP + 1];
    for (x, predicted, actual) in rows {
        let place = (0..LAST_GROUP)
            .find(|k| x <= to_f64(*k as u64))
            .unwrap_or(LAST_GROUP);
        if let Some((n, p, a)) = sums.get_mut(place) {
            *n += 1;
            *p += predicted;
            *a += actual;
        }
    }
    let mean = |(purchases, (n, p, a)): (i64, (u64, f64, f64))| HoldOutGroup {
        purchases,
        customers: i64::try_from(n).unwrap_or(i64::MAX),
        predicted: p / to_f64(n),
        actual: a / to_f64(n),
    };
    (0..)
        .zip(sums)
        .filter(|(_, (n, ..))| *n > 0)
        .map(mean)
        .collect()
}

fn estimates<P: Parameters>(fit: &Fit<P>) -> Vec<Estimate> {
    let errors = fit.standard_errors.values();
    let pairs = fit.params.named().into_iter().zip(errors);
    pairs
        .map(|((name, value), error)| Estimate {
            name: name.to_owned(),
            value,
            standard_error: error.is_finite().then_some(error),
        })
        .collect()
}

#[allow(clippy::cast_possible_truncation)]
fn fitted<P: Parameters>(fit: &Fit<P>, hold_out: Option<HoldOut>) -> Fitted {
    let mut reasons = fit.reasons.clone();
    if let Some(c) = fit.correlation {
        reasons.push(format!(
            "number and value of purchases correlate by {:.3} (Pearson), {:.3} (Spearman)",
            c.pearson, c.spearman
        ));
    }
    Fitted {
        estimates: estimates(fit),
        log_likelihood: fit.log_likelihood.is_finite().then_some(fit.log_likelihood),
        n: fit.n.round() as i64,
        grade: fit.grade,
        reasons,
        hold_out,
        serves: true,
    }
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(n: u64) -> f64 {
    n as f64
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use regard_types::{Micros, Uuid, Zone};

    use super::*;
    use crate::score::domain::Basis;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn rated(ours: f64, serving: Option<f64>, seen: Option<(f64, f64)>) -> Rated {
        let hold_out = HoldOut {
            from: day("2024-01-01"),
            to: day("2024-06-30"),
            log_score: ours,
            serving_log_score: serving,
            ..HoldOut::default()
        };
        let fitted = Fitted {
            estimates: Vec::new(),
            log_likelihood: None,
            n: 1,
            grade: Grade::B,
            reasons: Vec::new(),
            hold_out: Some(hold_out),
            serves: true,
        };
        Rated { fitted, seen }
    }

    fn serving(as_of: &str) -> ModelRecord {
        ModelRecord {
            id: Uuid::nil(),
            kind: ModelKind::Bgnbd,
            estimates: Vec::new(),
            log_likelihood: None,
            n: 1,
            as_of: day(as_of),
            grade: Grade::B,
            reasons: Vec::new(),
            serving: true,
            hold_out: None,
            created: Micros(0),
        }
    }

    #[test]
    fn a_model_serves_unless_it_foresees_worse_on_equal_terms() {
        let basis = Basis {
            day: day("2024-06-30"),
            history_start: None,
            minor_per_unit: 100.0,
        };
        let frame = Frame {
            zone: Zone::utc(),
            basis,
            split: Some(day("2023-12-31")),
        };
        let today = day("2024-06-30");
        let decide = |new: &Rated, old: Option<&str>| {
            super::decide(new, &frame, old.map(serving).as_ref(), today)
        };
        assert_eq!(decide(&rated(-1.0, None, None), None), (true, None));
        // Fitted before the hold-out: the forecasts are compared.
        assert!(decide(&rated(-1.0, Some(-1.0005), None), Some("2023-12-31")).0);
        let (serves, why) = decide(&rated(-1.1, Some(-1.0), None), Some("2023-12-31"));
        assert!(!serves && why.unwrap().contains("log score"));
        // Fitted on the same day: both have seen all of it.
        assert!(
            decide(
                &rated(-1.1, Some(-1.0), Some((-0.9, -1.0))),
                Some("2024-06-30")
            )
            .0
        );
        assert!(
            !decide(
                &rated(-1.1, Some(-1.0), Some((-1.1, -1.0))),
                Some("2024-06-30")
            )
            .0
        );
        // Fitted to a part of it: no fair comparison.
        let (serves, why) = decide(&rated(-1.1, Some(-1.0), None), Some("2024-03-01"));
        assert!(serves && why.unwrap().contains("not compared"));
        // The new one is about an older day.
        let frame = Frame {
            basis: Basis {
                day: day("2024-05-01"),
                ..basis
            },
            ..frame.clone()
        };
        let (serves, why) = super::decide(
            &rated(-1.0, None, None),
            &frame,
            Some(&serving("2024-06-01")),
            today,
        );
        assert!(!serves && why.unwrap().contains("later data"));
    }
}

//! Why a score is what it is: the facts, and what each of them moves.

use regard_models::{Model, Stat, gamma_gamma, purchase};

use super::domain::{Basis, ScoreValue, Serving, buyer, satisfaction_parts, score, spend};
use crate::definition::score::PurchaseModel;
use crate::definition::{Method, ScoreDefinition};
use crate::summary::Summary;

/// A fact that a score rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// In a sentence.
    pub description: String,
}

/// How much one fact moves a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The fact.
    pub fact: String,
    /// The score less what it would be with the fact at its reference.
    pub effect: f64,
    /// What the reference is.
    pub description: String,
}

/// A score explained.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The score.
    pub score: ScoreValue,
    /// What it rests on.
    pub facts: Vec<Fact>,
    /// What moved it, the largest effect first.
    pub contributions: Vec<Contribution>,
    /// The parameters used.
    pub parameters: Vec<(String, f64)>,
    /// The whole in a few sentences.
    pub summary: String,
}

/// Explains one score of a customer.
#[must_use]
pub fn explain(
    place: usize,
    definition: &ScoreDefinition,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Explanation {
    let value = score(place, definition, s, basis, serving);
    let mut out = Explanation {
        facts: facts(s, basis),
        contributions: Vec::new(),
        parameters: Vec::new(),
        summary: String::new(),
        score: value,
    };
    match &definition.method {
        Method::PAlive { model }
        | Method::ExpectedPurchases { model, .. }
        | Method::NoPurchase { model, .. } => {
            purchases(&mut out, definition, *model, s, basis, serving);
        }
        Method::ResidualClv { model, .. } => {
            purchases(&mut out, definition, *model, s, basis, serving);
            value_per_purchase(&mut out, s, basis, serving);
        }
        Method::Rfm => rfm(&mut out, s, basis, serving),
        Method::HistoricValue => historic(&mut out, s),
        Method::Satisfaction {
            window_days,
            weights,
            ..
        } => {
            let parts = satisfaction_parts(s, basis.day, *window_days, weights);
            let answered: f64 = parts.iter().map(|p| p.weight).sum();
            for p in &parts {
                out.contributions.push(Contribution {
                    fact: p.dimension.clone(),
                    effect: p.weight * (p.mean - 50.0) / answered,
                    description: format!("{} stands at {:.0} of 100 over {} answers; against the middle of the scale", p.dimension, p.mean, p.answers),
                });
            }
        }
    }
    out.contributions.retain(|c| c.effect.is_finite());
    out.contributions
        .sort_by(|a, b| b.effect.abs().total_cmp(&a.effect.abs()));
    out.summary = sentence(definition, &out, basis);
    out
}

#[allow(clippy::cast_precision_loss)]
fn facts(s: &Summary, basis: Basis) -> Vec<Fact> {
    let fact = |name, value, unit, description| Fact {
        name,
        value,
        unit,
        description,
    };
    let mut out = vec![fact(
        "purchase_days",
        s.purchase_days as f64,
        "days",
        format!("bought on {} days", s.purchase_days),
    )];
    if let (Some(first), Some(last), Some(stat)) = (s.first_day, s.last_day, s.stat(basis.day)) {
        out.push(fact(
            "repeat_days",
            stat.x,
            "days",
            format!("came back on {} days after the first", stat.x),
        ));
        out.push(fact(
            "recency",
            stat.t_x,
            "weeks",
            format!("from the first purchase on {first} to the last on {last}"),
        ));
        out.push(fact(
            "observed",
            stat.t,
            "weeks",
            format!("from the first purchase on {first} to {}", basis.day),
        ));
        out.push(fact(
            "silence",
            stat.t - stat.t_x,
            "weeks",
            format!("no purchase since {last}"),
        ));
    }
    if s.orders > 0 || s.refunded_unlinked > 0 {
        out.push(fact(
            "gross",
            s.gross as f64,
            "minor units",
            format!("{} orders in all", s.orders),
        ));
        out.push(fact(
            "refunds",
            (s.refunded.saturating_add(s.refunded_unlinked)) as f64,
            "minor units",
            "given back, linked to orders or not".into(),
        ));
    }
    if let Some(mean) = s.mean_repeat() {
        out.push(fact(
            "mean_repeat_value",
            mean,
            "minor units",
            "mean net value of the repeat days".into(),
        ));
    }
    if !s.answers.is_empty() {
        out.push(fact(
            "answers",
            s.answers.len() as f64,
            "answers",
            "latest answers, one a question".into(),
        ));
    }
    if s.complaints > 0 {
        out.push(fact(
            "complaints",
            s.complaints as f64,
            "complaints",
            format!("{} of them open", s.complaints_open),
        ));
    }
    out
}

/// Counterfactuals on the three statistics: what the same score would be with one of them at its reference.
fn purchases(
    out: &mut Explanation,
    definition: &ScoreDefinition,
    model: PurchaseModel,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) {
    let (Some(now), Some(stat)) = (out.score.value, s.stat(basis.day)) else {
        return;
    };
    let (Some(fitted), kind) = serving.purchase(model) else {
        return;
    };
    let p = &fitted.params;
    for (name, value) in regard_models::Parameters::named(p) {
        out.parameters.push((name.to_owned(), value));
    }
    let at = |stat: &Stat| raw(definition, kind, p, stat, s, basis, serving);
    if stat.x > 0.0 {
        let fresh = Stat {
            t_x: stat.t.max(f64::MIN_POSITIVE),
            ..stat
        };
        if stat.t > 0.0
            && let Some(reference) = at(&fresh)
        {
            out.contributions.push(Contribution {
                fact: "silence".into(),
                effect: now - reference,
                description: format!(
                    "{:.1} weeks without a purchase, against a purchase on the as-of day",
                    stat.t - stat.t_x
                ),
            });
        }
        if let Some(reference) = at(&Stat {
            x: 0.0,
            t_x: 0.0,
            ..stat
        }) {
            out.contributions.push(Contribution {
                fact: "repeat_days".into(),
                effect: now - reference,
                description: format!(
                    "{} repeat days, against none in the same {:.1} weeks",
                    stat.x, stat.t
                ),
            });
        }
    } else {
        let new = purchase::expected_purchases(kind, p, &Stat::new(0.0, 0.0, 0.0), stat.t).round();
        if new >= 1.0
            && stat.t > 0.0
            && let Some(reference) = at(&Stat {
                x: new,
                t_x: stat.t * new / (new + 1.0),
                ..stat
            })
        {
            out.contributions.push(Contribution {
                fact: "repeat_days".into(),
                effect: now - reference,
                description: format!("no repeat day in {:.1} weeks, against {new}, evenly spaced, as the average customer", stat.t),
            });
        }
    }
    if stat.x == 0.0
        && let Some(reference) = at(&Stat { t: 0.0, ..stat })
    {
        out.contributions.push(Contribution {
            fact: "observed".into(),
            effect: now - reference,
            description: format!(
                "{:.1} weeks since the only purchase day, against a purchase on the as-of day",
                stat.t
            ),
        });
    }
}

/// The score's value at other statistics.
fn raw(
    definition: &ScoreDefinition,
    kind: Model,
    p: &purchase::Params,
    stat: &Stat,
    s: &Summary,
    basis: Basis,
    serving: &Serving,
) -> Option<f64> {
    let value = match &definition.method {
        Method::PAlive { .. } => purchase::p_alive(kind, p, stat),
        Method::ExpectedPurchases { horizon_weeks, .. } => {
            purchase::expected_purchases(kind, p, stat, *horizon_weeks)
        }
        Method::NoPurchase { horizon_weeks, .. } => {
            purchase::no_purchase(kind, p, stat, *horizon_weeks)
        }
        Method::ResidualClv { annual_rate, .. } => {
            let value = serving.gamma_gamma.as_ref()?;
            let clv = regard_models::clv::residual_by(
                kind,
                p,
                &value.params,
                stat,
                &spend(s, basis.minor_per_unit),
                *annual_rate,
            )?;
            clv.revenue * basis.minor_per_unit
        }
        Method::Rfm | Method::HistoricValue | Method::Satisfaction { .. } => return None,
    };
    value.is_finite().then_some(value)
}

fn value_per_purchase(out: &mut Explanation, s: &Summary, basis: Basis, serving: &Serving) {
    let Some(value) = serving.gamma_gamma.as_ref() else {
        return;
    };
    for (name, v) in regard_models::Parameters::named(&value.params) {
        out.parameters.push((name.to_owned(), v));
    }
    let spend = spend(s, basis.minor_per_unit);
    let (Some(now), Some(own), Some(all)) = (
        out.score.value,
        gamma_gamma::expected_value(&value.params, &spend),
        gamma_gamma::population_mean(&value.params),
    ) else {
        return;
    };
    if own > 0.0 {
        out.contributions.push(Contribution {
            fact: "mean_repeat_value".into(),
            effect: now * (1.0 - all / own),
            description: format!(
                "{own:.2} expected a purchase, against {all:.2} of the average customer"
            ),
        });
    }
}

fn rfm(out: &mut Explanation, s: &Summary, basis: Basis, serving: &Serving) {
    let (Some(fitted), Some(buyer)) = (serving.rfm.as_ref(), buyer(s, basis.day)) else {
        return;
    };
    let bins = fitted.params.bins(&buyer);
    let parts = [
        (
            "recency",
            bins.r,
            100.0,
            format!("last purchase {} days ago", buyer.days_since),
        ),
        (
            "frequency",
            bins.f,
            10.0,
            format!("{} purchase days", buyer.purchase_days),
        ),
        (
            "value",
            bins.m,
            1.0,
            format!("net total {} minor units", buyer.net_total),
        ),
    ];
    for (fact, bin, weight, what) in parts {
        out.contributions.push(Contribution {
            fact: fact.into(),
            effect: weight * (f64::from(bin) - 3.0),
            description: format!("{what}: bin {bin} of 5, against the middle bin"),
        });
    }
    for (name, edges) in [
        ("recency_edge", fitted.params.r),
        ("frequency_edge", fitted.params.f),
        ("value_edge", fitted.params.m),
    ] {
        for (k, edge) in (1..).zip(edges) {
            out.parameters.push((format!("{name}_{k}"), edge));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn historic(out: &mut Explanation, s: &Summary) {
    for (fact, effect, what) in [
        ("gross", s.gross, "value of all orders, against none"),
        (
            "linked_refunds",
            -s.refunded,
            "refunds of orders, against none",
        ),
        (
            "unlinked_refunds",
            -s.refunded_unlinked,
            "refunds without an order, against none",
        ),
    ] {
        if effect != 0 {
            out.contributions.push(Contribution {
                fact: fact.into(),
                effect: effect as f64,
                description: what.into(),
            });
        }
    }
}

fn sentence(definition: &ScoreDefinition, e: &Explanation, basis: Basis) -> String {
    let title = &definition.title.en;
    let Some(value) = e.score.value else {
        return format!(
            "{title}: no value as of {}, because: {}.",
            basis.day,
            e.score.reasons.join("; ")
        );
    };
    let mut text = format!(
        "{title}: {value:.4} {} as of {}.",
        definition.unit, basis.day
    );
    if let Some((low, high, level)) = e.score.interval {
        text.push_str(&format!(
            " The customer's own outcome lies between {low} and {high} with probability {level}."
        ));
    }
    for c in e.contributions.iter().take(2) {
        text.push_str(&format!(" {:+.4}: {}.", c.effect, c.description));
    }
    if !e.score.reasons.is_empty() {
        text.push_str(&format!(" Note: {}.", e.score.reasons.join("; ")));
    }
    text
}

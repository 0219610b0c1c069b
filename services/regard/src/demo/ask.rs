//! What the demo asks the suite, through its public API alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use regard_client::Client;
use regard_proto::scoring::v1::{
    BatchGetScoresRequest, ExplainScoreRequest, ExplainScoreResponse, GetScoresRequest,
    MetricGrouping, QueryMetricRequest, Score,
};
use regard_types::Day;
use tonic::Code;

use super::report::{Between, Metric};
use crate::reach::{customer_key, date, given, refused};

/// Customers of a call.
const BATCH: usize = 1_000;
/// How long scoring may take to catch up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A customer's scores by name.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// The id after merges.
    pub id: String,
    scores: BTreeMap<String, Score>,
}

impl Scored {
    fn new(id: String, scores: Vec<Score>) -> Self {
        let scores = scores.into_iter().map(|s| (s.name.clone(), s)).collect();
        Self { id, scores }
    }

    /// A score.
    pub fn score(&self, name: &str) -> Option<&Score> {
        self.scores.get(name)
    }

    /// A score's value; money in the main unit.
    pub fn value(&self, name: &str) -> Option<f64> {
        let score = self.scores.get(name)?;
        score.value.map(|value| main_unit(value, &score.unit))
    }
}

/// Minor units of a currency with two digits, as both of the demo's, in the main unit; other values as they are.
pub fn main_unit(value: f64, unit: &str) -> f64 {
    if crate::told::is_money(unit) {
        value / 100.0
    } else {
        value
    }
}

/// Waits until scoring has applied what the tokens name.
pub async fn settled(client: &Client, source: &str, tokens: &[String]) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let request = GetScoresRequest {
            customer: Some(customer_key(source, "nobody")),
            change_tokens: tokens.to_vec(),
            ..Default::default()
        };
        match client.scores().get_scores(request).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == Code::DeadlineExceeded => {
                if begun.elapsed() > PATIENCE {
                    bail!("scoring has not caught up in {} s", PATIENCE.as_secs());
                }
            }
            Err(status) => return Err(refused(status)),
        }
    }
}

/// The scores of customers by their keys, in that order.
pub async fn scores(
    client: &Client,
    source: &str,
    names: &[String],
) -> anyhow::Result<Vec<Scored>> {
    let mut all = Vec::with_capacity(names.len());
    for names in names.chunks(BATCH) {
        let request = BatchGetScoresRequest {
            customers: names
                .iter()
                .map(|name| customer_key(source, name))
                .collect(),
            ..Default::default()
        };
        let answer = client.scores().batch_get_scores(request).await;
        let customers = answer.map_err(refused)?.into_inner().customers;
        all.extend(
            customers
                .into_iter()
                .map(|c| Scored::new(c.customer_id, c.scores)),
        );
    }
    Ok(all)
}

/// A customer's scores, at least as new as a write.
pub async fn scores_after(
    client: &Client,
    source: &str,
    name: &str,
    token: &str,
) -> anyhow::Result<Scored> {
    let request = GetScoresRequest {
        customer: Some(customer_key(source, name)),
        change_tokens: (!token.is_empty())
            .then(|| token.to_owned())
            .into_iter()
            .collect(),
        ..Default::default()
    };
    let answer = client.scores().get_scores(request).await;
    let scores = given(answer.map_err(refused)?.into_inner().scores, "scores")?;
    Ok(Scored::new(scores.customer_id, scores.scores))
}

/// An explanation.
pub async fn explain(
    client: &Client,
    source: &str,
    name: &str,
    score: &str,
) -> anyhow::Result<ExplainScoreResponse> {
    let request = ExplainScoreRequest {
        customer: Some(customer_key(source, name)),
        score: score.to_owned(),
        ..Default::default()
    };
    let answer = client.scores().explain_score(request).await;
    Ok(answer.map_err(refused)?.into_inner())
}

/// What moved a score, in words.
pub fn reasons(explained: &ExplainScoreResponse) -> Vec<String> {
    let unit = explained.score.as_ref().map_or("", |s| s.unit.as_str());
    let shown = |effect: f64| {
        let effect = main_unit(effect, unit);
        let sign = if effect < 0.0 { "−" } else { "+" };
        format!("{sign}{}", crate::show::number(effect.abs(), 3))
    };
    let contributions = explained.contributions.iter();
    contributions
        .map(|c| format!("{} by {}", shown(c.effect), c.description))
        .collect()
}

/// A metric over a period, or over the definition's own.
pub async fn metric(
    client: &Client,
    name: &str,
    period: Option<(Day, Day)>,
) -> anyhow::Result<Metric> {
    let request = QueryMetricRequest {
        metric: name.to_owned(),
        from: period.map(|(from, _)| date(from)),
        to: period.map(|(_, to)| date(to)),
        group_by: MetricGrouping::Unspecified.into(),
        ..Default::default()
    };
    let answer = client.metrics().query_metric(request).await;
    let answer = answer.map_err(refused)?.into_inner();
    let unit = answer.unit.clone();
    let value = given(answer.values.into_iter().next(), "values")?;
    let in_main = |v: f64| main_unit(v, &unit);
    Ok(Metric {
        value: value.value.map(in_main),
        n: value.n,
        interval: value.interval.map(|i| Between {
            low: in_main(i.low),
            high: in_main(i.high),
            level: i.level,
        }),
        parts: value.parts.into_iter().map(|p| (p.name, p.value)).collect(),
        unit: if crate::told::is_money(&unit) {
            "USD".to_owned()
        } else {
            unit
        },
        reference: BTreeMap::new(),
    })
}

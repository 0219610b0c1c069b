//! The music shop: purchases in, models, tiers, the most valuable customers, who is slipping away, and the forecast.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use regard_client::Client;
use regard_proto::scoring::v1::{Model, ModelKind};
use regard_types::Day;
use serde_json::Value;

use super::ask::{Scored, explain, metric, reasons, scores, settled};
use super::purchases::Purchases;
use super::rank::{area, correlation, midranks, root_mean_square};
use super::report::{Between, Fitted, Forecast, Imported, Metric, Person, Tier};
use super::stage::{CDNOW, Stage, pin};
use crate::import::{Plan, orders};
use crate::{operation, told};

/// How many customers a list shows.
const SHOWN: usize = 5;
/// From which probability of no purchase a valuable customer counts as slipping away.
const SLIPPING: f64 = 0.5;
/// The scores that rank.
const VALUE: &str = "residual_clv";
const SILENCE: &str = "no_purchase_13w";

/// The shop at work.
pub struct Shop<'a> {
    pub stage: &'a Stage,
    pub purchases: Purchases,
    pub names: Vec<String>,
    /// `reference/cdnow.json`; null where it is not.
    pub reference: Value,
}

/// The day that the models are fitted to.
pub fn first_day() -> anyhow::Result<Day> {
    Day::from_ymd(1997, 9, 30).context("a day of the demo")
}

/// The day that the forecast reaches.
pub fn last_day() -> anyhow::Result<Day> {
    Day::from_ymd(1998, 6, 30).context("a day of the demo")
}

/// The four models of a day.
pub struct Models {
    pub bgnbd: Model,
    pub mbgnbd: Model,
    pub gamma_gamma: Model,
    pub rfm: Model,
}

impl<'a> Shop<'a> {
    pub fn open(stage: &'a Stage, folder: &Path) -> anyhow::Result<Self> {
        let purchases = Purchases::read(&folder.join("CDNOW_sample.txt"))?;
        Ok(Self {
            stage,
            names: purchases.names(),
            purchases,
            reference: reference(folder, "cdnow.json"),
        })
    }

    fn client(&self) -> &Client {
        &self.stage.cdnow
    }

    /// The tenant, its day, its purchases; all scored.
    pub async fn import(&self, folder: &Path, scratch: &Path) -> anyhow::Result<Imported> {
        let begun = Instant::now();
        let tenant = self.stage.tenant(CDNOW, "USD", first_day()?).await?;
        let mut plan = Plan::new(&folder.join("CDNOW_sample.txt"), CDNOW);
        plan.rejected = scratch.join("CDNOW_sample.rejected.csv");
        let done = orders(self.client(), &plan, None, true).await?;
        settled(
            self.client(),
            CDNOW,
            &tokens(&[&tenant, &done.change_token]),
        )
        .await?;
        Ok(Imported {
            tenant: CDNOW.to_owned(),
            accepted: done.accepted,
            unchanged: done.unchanged,
            rejected: done.rejected,
            customers: self.names.len(),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Fits all models to the tenant's day, and scores all customers with them.
    pub async fn fit(&self) -> anyhow::Result<Models> {
        let fit = |kind| operation::fit(self.client(), kind, None, "", false);
        let models = Models {
            bgnbd: fit(ModelKind::Bgnbd).await?,
            mbgnbd: fit(ModelKind::Mbgnbd).await?,
            gamma_gamma: fit(ModelKind::GammaGamma).await?,
            rfm: fit(ModelKind::Rfm).await?,
        };
        operation::rescore_all(self.client()).await?;
        Ok(models)
    }

    /// Moves the tenant to another day.
    pub async fn pin(&self, day: Day) -> anyhow::Result<()> {
        let token = pin(self.client(), "", day).await?;
        settled(self.client(), CDNOW, &[token]).await
    }

    /// Everybody's scores, in the order of the names.
    pub async fn scores(&self) -> anyhow::Result<Vec<Scored>> {
        scores(self.client(), CDNOW, &self.names).await
    }

    /// Tiers by the midrank of the residual value: high from .8, low below .4.
    pub fn tiers(&self, scored: &[Scored]) -> anyhow::Result<Vec<Tier>> {
        let (first, last) = (first_day()?, last_day()?);
        let values: Vec<f64> = scored
            .iter()
            .map(|s| s.value(VALUE).unwrap_or(0.0))
            .collect();
        let total: f64 = values.iter().sum();
        let paid: Vec<f64> = self
            .names
            .iter()
            .map(|name| self.purchases.paid(name, first, last))
            .collect();
        let all_paid: f64 = paid.iter().sum();
        let ranks = midranks(&values);
        let tier = |tier, holds: fn(f64) -> bool| {
            let members = || {
                ranks
                    .iter()
                    .enumerate()
                    .filter(|(_, rank)| holds(**rank))
                    .map(|(at, _)| at)
            };
            let residual_clv: f64 = members().map(|at| values[at]).sum();
            let then_paid: f64 = members().map(|at| paid[at]).sum();
            Tier {
                tier,
                customers: members().count(),
                residual_clv,
                share: residual_clv / total,
                then_paid,
                then_share: then_paid / all_paid,
            }
        };
        Ok(vec![
            tier("high", |rank| rank >= 0.8),
            tier("middle", |rank| (0.4..0.8).contains(&rank)),
            tier("low", |rank| rank < 0.4),
        ])
    }

    /// The most valuable customers.
    pub async fn top(&self, scored: &[Scored]) -> anyhow::Result<Vec<Person>> {
        let mut order: Vec<usize> = (0..scored.len()).collect();
        let value = |at: &usize| scored[*at].value(VALUE).unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|a, b| value(b).total_cmp(&value(a)));
        self.people(scored, &order, VALUE).await
    }

    /// Valuable customers (the upper fifth by what they paid so far) who will probably buy nothing for 13 weeks; the most
    /// valuable first.
    pub async fn slipping(&self, scored: &[Scored]) -> anyhow::Result<Vec<Person>> {
        let order = slipping_order(scored);
        self.people(scored, &order, SILENCE).await
    }

    async fn people(
        &self,
        scored: &[Scored],
        order: &[usize],
        by: &str,
    ) -> anyhow::Result<Vec<Person>> {
        let mut people = Vec::new();
        for at in order.iter().take(SHOWN) {
            let (name, scored) = (&self.names[*at], &scored[*at]);
            let explained = explain(self.client(), CDNOW, name, by).await?;
            let expected = scored.score("expected_purchases");
            people.push(Person {
                customer: format!("{CDNOW}:{name}"),
                residual_clv: scored.value(VALUE),
                historic_value: scored.value("historic_value"),
                expected_purchases: scored.value("expected_purchases"),
                expected_interval: expected.and_then(|s| s.interval).map(|i| Between {
                    low: i.low,
                    high: i.high,
                    level: i.level,
                }),
                no_purchase_13w: scored.value(SILENCE),
                rfm: scored
                    .score("rfm")
                    .map(|s| s.band.clone())
                    .unwrap_or_default(),
                reasons: reasons(&explained),
                summary: explained.summary,
            });
        }
        Ok(people)
    }

    /// What was foreseen on the first day beside what happened until the last. `later` is the purchase model fitted as of
    /// the last day: its hold-out is this very time.
    pub async fn forecast(&self, scored: &[Scored], later: &Model) -> anyhow::Result<Forecast> {
        let (first, last) = (first_day()?, last_day()?);
        let foreseen: Vec<f64> = scored
            .iter()
            .map(|s| s.value("expected_purchases").unwrap_or(0.0))
            .collect();
        let happened: Vec<f64> = self
            .names
            .iter()
            .map(|name| self.purchases.days(name, first, last) as f64)
            .collect();
        let buys: Vec<f64> = scored
            .iter()
            .map(|s| 1.0 - s.value(SILENCE).unwrap_or(1.0))
            .collect();
        let bought: Vec<bool> = happened.iter().map(|days| *days > 0.0).collect();
        let from = first.plus(1);
        let hold_out = later.hold_out.as_ref();
        let same_time = hold_out.filter(|h| {
            let (y, m, d) = from.date();
            h.from.is_some_and(|f| {
                (i64::from(f.year), i64::from(f.month), i64::from(f.day))
                    == (i64::from(y), i64::from(m), i64::from(d))
            })
        });
        let revenue = metric(self.client(), "revenue", Some((from, last))).await?;
        let theirs = &self.reference["from_orders_exact_days"]["holdout_39_weeks"];
        let named = [
            ("predicted_total", "predicted_total"),
            ("actual_total", "actual_total"),
            ("rmse", "rmse"),
            ("correlation", "pearson"),
            ("auc", "auc_of_1_minus_P0_39w"),
        ];
        Ok(Forecast {
            from: from.to_string(),
            to: last.to_string(),
            weeks: f64::from(last.since(first)) / 7.0,
            customers: scored.len(),
            predicted_total: foreseen.iter().sum(),
            actual_total: happened.iter().sum(),
            rmse: root_mean_square(&foreseen, &happened),
            correlation: correlation(&foreseen, &happened),
            auc: same_time.and_then(|h| h.auc),
            auc_no_purchase_13w: area(&buys, &bought),
            revenue: revenue.value,
            reference: named
                .iter()
                .filter_map(|(ours, name)| Some((*ours, theirs[*name].as_f64()?)))
                .collect(),
        })
    }

    /// Metrics of the buyers on the tenant's day.
    pub async fn behaviour(&self) -> anyhow::Result<BTreeMap<String, Metric>> {
        let mut all = BTreeMap::new();
        for name in [
            "churn_period",
            "lapsed_share",
            "repeat_purchase_rate",
            "revenue",
        ] {
            all.insert(name.to_owned(), metric(self.client(), name, None).await?);
        }
        Ok(all)
    }

    /// A model beside published values.
    pub fn beside(
        &self,
        model: &Model,
        published_in: &'static str,
        published: &[(&'static str, f64)],
    ) -> Fitted {
        Fitted {
            model: told::model_json(model),
            published_in,
            published: published.iter().copied().collect(),
        }
    }

    /// The same fit computed elsewhere, from the reference file.
    pub fn referred(&self, name: &str, parameters: &[&'static str]) -> Vec<(&'static str, f64)> {
        let theirs = &self.reference["from_orders_exact_days"][name]["params"];
        parameters
            .iter()
            .filter_map(|p| Some((*p, theirs[*p].as_f64()?)))
            .collect()
    }
}

/// Who is slipping away, the most valuable first, as places in the list.
pub fn slipping_order(scored: &[Scored]) -> Vec<usize> {
    let paid: Vec<f64> = scored
        .iter()
        .map(|s| s.value("historic_value").unwrap_or(0.0))
        .collect();
    let ranks = midranks(&paid);
    let mut order: Vec<usize> = (0..scored.len())
        .filter(|at| ranks[*at] >= 0.8 && scored[*at].value(SILENCE).is_some_and(|p| p >= SLIPPING))
        .collect();
    order.sort_by(|a, b| paid[*b].total_cmp(&paid[*a]));
    order
}

/// Tokens that say something.
pub fn tokens(tokens: &[&str]) -> Vec<String> {
    tokens
        .iter()
        .filter(|t| !t.is_empty())
        .map(|t| (*t).to_owned())
        .collect()
}

/// A file of values computed elsewhere; null where it is not.
pub fn reference(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join("reference").join(name)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

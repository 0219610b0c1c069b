//! The survey: a questionnaire and 250 answers in, metrics with intervals and satisfaction scores out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use regard_types::Day;

use super::ask::{explain, metric, reasons, scores, settled};
use super::rank::quartiles;
use super::report::{Imported, Metric, Respondent, Satisfaction};
use super::shop::{reference, tokens};
use super::stage::{ECSI, Stage};
use crate::import::{Answers, Outcome, Plan, Sheet, Wanted, responses};

const SHEET: &str = include_str!("ecsi.toml");
const FILE: &str = "ecsi_mobi.csv";
/// The metrics that are shown.
const METRICS: &[&str] = &[
    "csat",
    "recommend_1_10",
    "choose_again_1_10",
    "complaint_handling_1_10",
    "product_quality_1_10",
    "perceived_value_1_10",
];
/// How many of the least satisfied are shown.
const SHOWN: usize = 3;

/// The tenant, the survey, the answers; all scored.
pub async fn import(stage: &Stage, folder: &Path, scratch: &Path) -> anyhow::Result<Imported> {
    let begun = Instant::now();
    let day = Day::from_ymd(2005, 6, 30).context("a day of the demo")?;
    let tenant = stage.tenant(ECSI, "EUR", day).await?;
    let mut plan = Plan::new(&folder.join(FILE), ECSI);
    plan.rejected = scratch.join("ecsi_mobi.rejected.csv");
    // The file has neither ids nor days: its lines stand for the respondents.
    plan.columns = Wanted::parse("customer=#,id=#")?;
    let wanted = Answers {
        survey: "mobile".to_owned(),
        sheet: Some(Sheet::parse(SHEET).context("the demo's questionnaire")?),
        day: Some(day.plus(-30)),
    };
    let done: Outcome = responses(&stage.ecsi, &plan, &wanted).await?;
    settled(&stage.ecsi, ECSI, &tokens(&[&tenant, &done.change_token])).await?;
    Ok(Imported {
        tenant: ECSI.to_owned(),
        accepted: done.accepted,
        unchanged: done.unchanged,
        rejected: done.rejected,
        customers: usize::try_from(done.accepted + done.unchanged)?,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Metrics of the answers, beside those computed elsewhere.
pub async fn metrics(stage: &Stage, folder: &Path) -> anyhow::Result<BTreeMap<String, Metric>> {
    let theirs = reference(folder, "ecsi_mobi.json");
    let mut all = BTreeMap::new();
    for name in METRICS {
        let mut metric = metric(&stage.ecsi, name, None).await?;
        if *name == "csat" {
            let csat = &theirs["csat_on_CUSA1_top2"];
            let share = |value: &serde_json::Value| value.as_f64().map(|percent| percent / 100.0);
            let values = [
                ("value", share(&csat["pct"])),
                ("low", share(&csat["wilson95"][0])),
                ("high", share(&csat["wilson95"][1])),
                ("n", csat["n"].as_f64()),
                ("mean", csat["mean"].as_f64()),
            ];
            metric.reference = values
                .into_iter()
                .filter_map(|(name, v)| Some((name, v?)))
                .collect();
        }
        if *name == "recommend_1_10" {
            metric.reference = mean_of(&theirs["nps_on_CUSL3 (9-10 / 7-8 / 1-6)"]["counts"]);
        }
        all.insert((*name).to_owned(), metric);
    }
    Ok(all)
}

/// Mean and number of answers that are counted by value.
fn mean_of(counts: &serde_json::Value) -> BTreeMap<&'static str, f64> {
    let counts = counts.as_object().into_iter().flatten();
    let counts: Vec<(f64, f64)> = counts
        .filter_map(|(value, n)| Some((value.parse().ok()?, n.as_f64()?)))
        .collect();
    let n: f64 = counts.iter().map(|(_, n)| n).sum();
    if n == 0.0 {
        return BTreeMap::new();
    }
    let sum: f64 = counts.iter().map(|(value, n)| value * n).sum();
    [("value", sum / n), ("n", n)].into_iter().collect()
}

/// The score `satisfaction` of all respondents, and the least satisfied with reasons.
pub async fn satisfaction(stage: &Stage, respondents: usize) -> anyhow::Result<Satisfaction> {
    // Line 1 is the header.
    let names: Vec<String> = (2..respondents + 2).map(|line| line.to_string()).collect();
    let scored = scores(&stage.ecsi, ECSI, &names).await?;
    let mut known: Vec<(f64, &String)> = scored
        .iter()
        .zip(&names)
        .filter_map(|(scored, name)| Some((scored.value("satisfaction")?, name)))
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values: Vec<f64> = known.iter().map(|(value, _)| *value).collect();
    let mut least = Vec::new();
    for (value, name) in known.iter().take(SHOWN) {
        let explained = explain(&stage.ecsi, ECSI, name, "satisfaction").await?;
        least.push(Respondent {
            customer: format!("{ECSI}:{name}"),
            satisfaction: Some(*value),
            reasons: reasons(&explained),
        });
    }
    Ok(Satisfaction {
        n: values.len(),
        mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
        quartiles: quartiles(&values),
        least,
    })
}

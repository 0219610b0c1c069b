//! The market as files: what a business would see, and the truth apart.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use rayon::prelude::*;
use regard_models::Parameters as _;
use serde_json::{Map, Value, json};

use super::market::{Customer, DROPOUT_EFFECT, Plan, RATE_EFFECT, SURVEY, customer};
use crate::show;

/// Customers drawn at once.
const CHUNK: u64 = 8_192;

/// What was written.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct Written {
    pub customers: u64,
    pub orders: u64,
    pub responses: u64,
    pub active_at_end: u64,
    pub future_orders: u64,
}

/// Writes customers.csv, orders.csv, responses.csv, truth.csv and truth.json into a folder.
///
/// # Errors
/// A file cannot be written.
pub fn write(plan: &Plan, folder: &Path) -> anyhow::Result<Written> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let open = |name: &str, header: &[&str]| -> anyhow::Result<csv::Writer<File>> {
        let path = folder.join(name);
        let mut writer = csv::WriterBuilder::new()
            .buffer_capacity(1 << 17)
            .from_path(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        writer.write_record(header)?;
        Ok(writer)
    };
    let mut customers = open("customers.csv", &["customer_id", "name", "kind"])?;
    let mut orders = open(
        "orders.csv",
        &["order_id", "customer_id", "ordered_at", "value", "channel"],
    )?;
    let mut responses = open(
        "responses.csv",
        &[
            "response_id",
            "customer_id",
            "survey",
            "answered_at",
            "channel",
            "nps",
            "csat",
        ],
    )?;
    let mut truth = open(
        "truth.csv",
        &[
            "customer_id",
            "satisfaction",
            "rate_per_week",
            "dropout",
            "mean_value",
            "active_at_end",
            "left_at",
            "future_orders",
        ],
    )?;
    let bar = show::count_bar(plan.customers, "customers");
    let mut written = Written::default();
    for start in (0..plan.customers).step_by(CHUNK as usize) {
        let end = (start + CHUNK).min(plan.customers);
        let drawn: Vec<Customer> = (start..end)
            .into_par_iter()
            .map(|number| customer(plan, number))
            .collect();
        for (number, one) in (start..end).zip(&drawn) {
            let id = format!("c{:07}", number + 1);
            customers.write_record([&id, &format!("Customer {}", number + 1), "person"])?;
            for order in &one.orders {
                written.orders += 1;
                let channel = if written.orders % 3 == 0 {
                    "store"
                } else {
                    "website"
                };
                let value = format!("{}.{:02}", order.cents / 100, order.cents % 100);
                orders.write_record([
                    &format!("o{:08}", written.orders),
                    &id,
                    &instant(order.at),
                    &value,
                    channel,
                ])?;
            }
            for answer in &one.answers {
                written.responses += 1;
                let channel = if written.responses % 4 == 0 {
                    "phone"
                } else {
                    "email"
                };
                let [nps, csat] = [answer.nps, answer.csat].map(|v| v.to_string());
                responses.write_record([
                    &format!("a{:08}", written.responses),
                    &id,
                    SURVEY,
                    &instant(answer.at),
                    channel,
                    &nps,
                    &csat,
                ])?;
            }
            truth.write_record([
                id,
                one.satisfaction.to_string(),
                one.rate_per_week.to_string(),
                one.dropout.to_string(),
                one.mean_value.to_string(),
                one.active_at_end.to_string(),
                one.left_at.map(instant).unwrap_or_default(),
                one.future_orders.to_string(),
            ])?;
            written.customers += 1;
            written.active_at_end += u64::from(one.active_at_end);
            written.future_orders += one.future_orders;
        }
        bar.set_position(end);
    }
    bar.finish_and_clear();
    for writer in [&mut customers, &mut orders, &mut responses, &mut truth] {
        writer.flush().context("cannot write the market")?;
    }
    let path = folder.join("truth.json");
    let mut out = BufWriter::new(
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?,
    );
    serde_json::to_writer_pretty(&mut out, &document(plan, &written))?;
    writeln!(out)?;
    out.flush()?;
    Ok(written)
}

fn document(plan: &Plan, written: &Written) -> Value {
    let named = |params: Vec<(&str, f64)>| {
        params
            .into_iter()
            .map(|(k, v)| (k.to_owned(), json!(v)))
            .collect::<Map<_, _>>()
    };
    json!({
        "seed": plan.seed,
        "first_day": plan.start.to_string(),
        "end_day": plan.start.plus((plan.weeks * 7.0) as i32).to_string(),
        "weeks": plan.weeks,
        "entry_weeks": plan.entry_weeks,
        "future_weeks": plan.future_weeks,
        "effect": plan.effect,
        "written": written,
        "purchases": { "model": "bgnbd", "params": named(plan.purchases.named()) },
        "values": { "model": "gamma-gamma", "params": named(plan.values.named()) },
        "satisfaction": {
            "distribution": "s ~ normal, mean 0, deviation 1, one a customer",
            "rate": format!("rate a week = Gamma(r, alpha) * exp(k*s - k*k/2), k = {}", plan.effect * RATE_EFFECT),
            "dropout": format!("logit p = logit Beta(a, b) - {} * s, from the first repeat purchase on", plan.effect * DROPOUT_EFFECT),
            "nps": "round(7.5 + 1.6 s + normal(0, 1)) within 0..10",
            "csat": "round(3.7 + 0.7 s + normal(0, 0.5)) within 1..5",
            "response": plan.response,
        },
    })
}

/// RFC 3339 in UTC, to the second.
fn instant(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let day = regard_types::Day(i32::try_from(seconds.div_euclid(86_400)).unwrap_or(0));
    let rest = seconds.rem_euclid(86_400);
    format!(
        "{day}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

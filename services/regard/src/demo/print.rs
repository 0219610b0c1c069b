//! The report for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::Value;

use super::report::{Act, Fitted, Forecast, Metric, Person, Report};
use crate::show;

/// Parameters in the order of the papers.
const PARAMETERS: &[&str] = &["r", "alpha", "a", "b", "p", "q", "gamma"];

/// Prints everything.
///
/// # Errors
/// The output is closed.
pub fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let bought = &report.purchases;
    writeln!(
        out,
        "PURCHASES  {} orders of {} customers of a music shop (CDNOW, 1997-01-01 to 1998-06-30), imported and scored in {:.1} s\n\
         Today is {}: the suite knows nothing of what comes later.\n",
        bought.accepted + bought.unchanged,
        bought.customers,
        bought.seconds,
        report.as_of
    )?;
    for (title, fitted) in [
        (
            "How often they buy, and when they leave: BG/NBD",
            &report.bgnbd,
        ),
        (
            "The same where one may leave after the first purchase: MBG/NBD",
            &report.mbgnbd,
        ),
        ("What they spend a time: Gamma-Gamma", &report.gamma_gamma),
    ] {
        model(out, title, fitted)?;
    }
    writeln!(
        out,
        "VALUE TIERS  by what each customer will still bring in twelve months"
    )?;
    let mut table = show::table(
        &[
            "tier",
            "customers",
            "value to come",
            "share",
            "then paid",
            "share",
        ],
        &[1, 2, 3, 4, 5],
    );
    for tier in &report.value_tiers {
        table.add_row([
            tier.tier.to_owned(),
            tier.customers.to_string(),
            money(Some(tier.residual_clv)),
            percent(Some(tier.share)),
            money(Some(tier.then_paid)),
            percent(Some(tier.then_share)),
        ]);
    }
    show::print(out, &table)?;
    writeln!(
        out,
        "\"Then paid\" is what they did pay in the 39 weeks after {}.\n",
        report.as_of
    )?;
    people(
        out,
        "TOP CUSTOMERS  most valuable for the next twelve months",
        &report.top_customers,
    )?;
    people(
        out,
        "SLIPPING AWAY  the upper fifth by what they paid so far, who will probably buy nothing for 13 weeks",
        &report.slipping_away,
    )?;
    forecast(out, &report.forecast)?;
    metrics(
        out,
        &format!("BUYERS on {}", report.forecast.to),
        &report.behaviour,
    )?;
    let said = &report.responses;
    metrics(
        out,
        &format!(
            "SATISFACTION  {} answers to a survey of mobile phone customers (ECSI), imported and scored in {:.1} s",
            said.accepted + said.unchanged,
            said.seconds
        ),
        &report.metrics,
    )?;
    let all = &report.satisfaction;
    writeln!(
        out,
        "Satisfaction score of {} respondents, 0 to 100: mean {:.1}, quartiles {:.1}, {:.1}, {:.1}. The least satisfied:",
        all.n, all.mean, all.quartiles[0], all.quartiles[1], all.quartiles[2]
    )?;
    for one in &all.least {
        writeln!(
            out,
            "  {}  {}  {}",
            one.customer,
            one.satisfaction
                .map_or_else(|| "–".to_owned(), |s| format!("{s:.0}")),
            one.reasons.first().map_or("", String::as_str)
        )?;
    }
    writeln!(
        out,
        "\nTHINGS HAPPEN  on {}; each read carries the change token of the write",
        report.forecast.to
    )?;
    for act in [
        &report.late_order,
        &report.correction,
        &report.merge,
        &report.unmerge,
    ] {
        happened(out, act)?;
    }
    next(out, report.seconds)
}

fn model(out: &mut impl Write, title: &str, fitted: &Fitted) -> io::Result<()> {
    let model = &fitted.model;
    writeln!(
        out,
        "{title}  ({} customers, grade {})",
        model["n"],
        model["grade"].as_str().unwrap_or("–")
    )?;
    let mut table = show::table(
        &["parameter", "fitted", "standard error", fitted.published_in],
        &[1, 2, 3],
    );
    for name in PARAMETERS {
        let value = &model["params"][name];
        if !value.is_null() {
            table.add_row([
                (*name).to_owned(),
                maybe(value),
                maybe(&model["standard_errors"][name]),
                show::maybe(fitted.published.get(name).copied(), 4),
            ]);
        }
    }
    show::print(out, &table)?;
    writeln!(out)
}

fn people(out: &mut impl Write, title: &str, people: &[Person]) -> io::Result<()> {
    writeln!(out, "{title}")?;
    let header = [
        "customer",
        "paid so far",
        "value to come",
        "purchases in 39 weeks",
        "no purchase in 13 weeks",
        "RFM",
    ];
    let mut table = show::table(&header, &[1, 2, 3, 4, 5]);
    for person in people {
        let expected = person
            .expected_purchases
            .map_or_else(|| "–".to_owned(), |e| format!("{e:.1}"));
        let interval = person
            .expected_interval
            .map(|i| format!(" ({:.0} to {:.0})", i.low, i.high))
            .unwrap_or_default();
        table.add_row([
            person.customer.clone(),
            money(person.historic_value),
            money(person.residual_clv),
            format!("{expected}{interval}"),
            percent(person.no_purchase_13w),
            person.rfm.clone(),
        ]);
    }
    show::print(out, &table)?;
    for person in people.iter().take(3) {
        writeln!(out, "  {}: {}", person.customer, person.reasons.join("; "))?;
    }
    writeln!(out)
}

fn forecast(out: &mut impl Write, forecast: &Forecast) -> io::Result<()> {
    writeln!(
        out,
        "FORECAST  {} to {} ({:.0} weeks), foreseen for {} customers on the day before",
        forecast.from, forecast.to, forecast.weeks, forecast.customers
    )?;
    let mut table = show::table(&["", "here", "reference"], &[1, 2]);
    let rows = [
        (
            "purchases foreseen",
            Some(forecast.predicted_total),
            "predicted_total",
        ),
        (
            "purchases that happened",
            Some(forecast.actual_total),
            "actual_total",
        ),
        ("error a customer (RMSE)", Some(forecast.rmse), "rmse"),
        ("correlation", Some(forecast.correlation), "correlation"),
        ("who buys (AUC)", forecast.auc, "auc"),
    ];
    for (what, here, name) in rows {
        table.add_row([
            what.to_owned(),
            show::maybe(here, 5),
            show::maybe(forecast.reference.get(name).copied(), 5),
        ]);
    }
    show::print(out, &table)?;
    let miss = forecast.predicted_total / forecast.actual_total - 1.0;
    writeln!(
        out,
        "The forecast of the total is off by {:+.1}%. Revenue of the time, as the suite counts it: {}.\n",
        miss * 100.0,
        money(forecast.revenue)
    )
}

fn metrics(
    out: &mut impl Write,
    title: &str,
    metrics: &BTreeMap<String, Metric>,
) -> io::Result<()> {
    writeln!(out, "{title}")?;
    let mut table = show::table(
        &["metric", "value", "95% interval", "n", "unit", "reference"],
        &[1, 3, 5],
    );
    for (name, metric) in metrics {
        let shown = |value: f64| match metric.unit.as_str() {
            "share" => percent(Some(value)),
            "USD" => money(Some(value)),
            _ => format!("{value:.2}"),
        };
        table.add_row([
            name.clone(),
            metric.value.map_or_else(|| "–".to_owned(), shown),
            metric
                .interval
                .map(|i| format!("{} to {}", shown(i.low), shown(i.high)))
                .unwrap_or_default(),
            metric.n.to_string(),
            metric.unit.clone(),
            metric
                .reference
                .get("value")
                .map(|v| shown(*v))
                .unwrap_or_default(),
        ]);
    }
    show::print(out, &table)?;
    writeln!(out)
}

fn happened(out: &mut impl Write, act: &Act) -> io::Result<()> {
    writeln!(
        out,
        "{}  ({}, read {:.0} ms after the call)",
        act.what, act.customer, act.milliseconds
    )?;
    let mut table = show::table(&["  score", "before", "after"], &[1, 2]);
    for moved in &act.scores {
        let shown = |value: Option<f64>| match moved.unit.as_str() {
            "USD" => money(value),
            "probability" => percent(value),
            "code" => value.map_or_else(|| "–".to_owned(), |v| format!("{v:.0}")),
            _ => value.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}")),
        };
        let (before, after) = (shown(moved.before), shown(moved.after));
        if before != after {
            table.add_row([format!("  {}", moved.name), before, after]);
        }
    }
    show::print(out, &table)?;
    writeln!(out, "  {}\n", act.note)
}

fn next(out: &mut impl Write, seconds: f64) -> io::Result<()> {
    writeln!(
        out,
        "All this took {seconds:.1} s, through the public gRPC API of three services. What to try next:\n  \
         regard demo --json                    the same as one document\n  \
         regard serve --demo                   keep these data up, with calls to paste\n  \
         regard score ORDERS.csv               score your own file of customer, date, value: no server needed\n  \
         regard serve                          an empty suite; then `regard import orders FILE.csv`, `regard fit`,\n                                        \
         `regard scores --top 10`, `regard explain CUSTOMER residual_clv`\n  \
         regard simulate                       a market whose truth is known\n\
         (From the repository: `cargo run -- serve --demo`, and so on.)"
    )
}

fn maybe(value: &Value) -> String {
    show::maybe(value.as_f64(), 4)
}

fn money(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{:.1}%", v * 100.0))
}

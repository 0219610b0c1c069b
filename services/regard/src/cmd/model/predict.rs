//! `regard model predict`.

use std::io::{BufWriter, Write, stderr, stdout};

use rayon::prelude::*;
use regard_models::{bgnbd, gamma_gamma, purchase};
use serde::Serialize;

use super::{Kind, fit, params};
use crate::failure::usage;
use crate::read::{Needs, Statistics};
use crate::show;

/// Rows shown to people.
const SHOWN: usize = 20;
/// Rows worked on at once, so that memory stays bounded.
const CHUNK: usize = 16_384;

/// One row of the answer; null where not defined.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    p_alive: Option<f64>,
    expected_purchases: Option<f64>,
    no_purchase: Option<f64>,
    expected_value: Option<f64>,
}

pub(super) fn run(args: &super::Predict) -> anyhow::Result<()> {
    let most = regard_models::summary::MAX_WEEKS;
    if !(args.horizon > 0.0 && args.horizon <= most) {
        return Err(usage(format!(
            "--horizon {}: expected weeks, more than 0, at most {most}",
            args.horizon
        )));
    }
    let given = args
        .params
        .as_deref()
        .map(|text| params::parse(text, args.model))
        .transpose()?;
    let needs = if args.model == Kind::GammaGamma {
        Needs::Values
    } else {
        Needs::Purchases
    };
    let data = Statistics::read(&args.file, needs)?;
    let (purchases, values) = match (given, args.model) {
        (Some(given), Kind::GammaGamma) => (None, given.values),
        (Some(given), _) => (given.purchases, given.values),
        (None, Kind::GammaGamma) => (None, Some(fit::values(&data, &args.file)?.params)),
        (None, kind) => (
            Some(fit::purchases(kind, &data, &args.file)?.params),
            extra_values(&data, args),
        ),
    };
    let model = if args.model == Kind::Mbgnbd {
        purchase::Model::MbgNbd
    } else {
        purchase::Model::BgNbd
    };
    let row = |index: usize| {
        predict(
            &data,
            index,
            model,
            purchases.as_ref(),
            values.as_ref(),
            args.horizon,
        )
    };
    let mut out = BufWriter::new(stdout().lock());
    if args.json {
        for start in (0..data.ids.len()).step_by(CHUNK) {
            let end = (start + CHUNK).min(data.ids.len());
            let rows: Vec<Row<'_>> = (start..end).into_par_iter().map(row).collect();
            for row in rows {
                serde_json::to_writer(&mut out, &row)?;
                out.write_all(b"\n")?;
            }
        }
    } else {
        print(&mut out, args, data.ids.len(), row)?;
    }
    out.flush()?;
    Ok(())
}

/// Values beside a purchase model that was fitted: a file without usable values just has none.
fn extra_values(data: &Statistics, args: &super::Predict) -> Option<gamma_gamma::Params> {
    if data.spends.is_empty() {
        return None;
    }
    match fit::values(data, &args.file) {
        Ok(fit) => Some(fit.params),
        Err(error) => {
            let _ = writeln!(stderr(), "regard: no expected_value: {error}");
            None
        }
    }
}

fn predict<'a>(
    data: &'a Statistics,
    index: usize,
    model: purchase::Model,
    purchases: Option<&bgnbd::Params>,
    values: Option<&gamma_gamma::Params>,
    horizon: f64,
) -> Row<'a> {
    let posterior = purchases
        .zip(data.stats.get(index))
        .map(|(p, stat)| purchase::Posterior::new(model, p, stat));
    let finite = |v: f64| v.is_finite().then_some(v);
    Row {
        id: data.ids.get(index).map_or("", String::as_str),
        p_alive: posterior.and_then(|p| finite(p.alive())),
        expected_purchases: posterior.and_then(|p| finite(p.expected(horizon))),
        no_purchase: posterior.and_then(|p| finite(p.no_purchase(horizon))),
        expected_value: values
            .zip(data.spends.get(index))
            .and_then(|(p, spend)| gamma_gamma::expected_value(p, spend)),
    }
}

fn print<'a>(
    out: &mut impl Write,
    args: &super::Predict,
    rows: usize,
    row: impl Fn(usize) -> Row<'a>,
) -> anyhow::Result<()> {
    let (model, weeks) = (args.model.as_str(), args.horizon);
    writeln!(out, "{model}, the next {weeks} weeks\n")?;
    let header = [
        "id",
        "p_alive",
        "expected_purchases",
        "no_purchase",
        "expected_value",
    ];
    let mut table = show::table(&header, &[1, 2, 3, 4]);
    for index in 0..rows.min(SHOWN) {
        let r = row(index);
        let cells = [
            r.p_alive,
            r.expected_purchases,
            r.no_purchase,
            r.expected_value,
        ]
        .map(|v| show::maybe(v, 5));
        table.add_row(std::iter::once(r.id.to_owned()).chain(cells));
    }
    show::print(out, &table)?;
    if rows > SHOWN {
        writeln!(out, "\nand {} more; --json prints all", rows - SHOWN)?;
    }
    Ok(())
}

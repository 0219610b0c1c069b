//! `regard score`: orders in, scored customers and a model card out.

use std::fs::File;
use std::io::{BufWriter, Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use regard_types::{Clock, Day, Zone};

use crate::failure::usage;
use crate::read::{DayOrder, DayReader};
use crate::score::{
    COUNTING, Card, Counts, LEVEL, Models, Orders, Rejects, Totals, Wanted, histories, learn,
    score, write,
};

/// Arguments of `regard score`.
#[derive(Debug, Args)]
#[command(
    after_help = "Columns are found by common names (customer_id, order_date, amount, …). Days may be 2024-03-31, 20240331, \
31.03.2024, or times such as 2024-03-31T18:30:00Z. Rows that cannot be used go to a file with their reasons."
)]
pub struct Score {
    /// CSV of orders: customer, date, value.
    file: PathBuf,
    /// Scored customers go here [default: beside the orders, as NAME.scored.csv].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Day that the scores are about, included [default: the last day of the orders].
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<String>,
    /// Columns by name or position.
    #[arg(long, value_name = "customer=…,date=…,value=…")]
    columns: Option<String>,
    /// Time zone in which days begin, such as Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// How to read days such as 03/04/2024.
    #[arg(long, value_name = "ORDER")]
    day_order: Option<DayOrder>,
    /// Weeks to look ahead.
    #[arg(long, default_value_t = 39.0)]
    horizon: f64,
    /// Print the model card as one JSON document.
    #[arg(long)]
    json: bool,
}

impl Score {
    /// Runs the command.
    ///
    /// # Errors
    /// The file or an argument cannot be used, or the output cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let most = regard_models::summary::MAX_WEEKS;
        if !(self.horizon > 0.0 && self.horizon <= most) {
            return Err(usage(format!(
                "--horizon {}: expected weeks, more than 0, at most {most}",
                self.horizon
            )));
        }
        let zone = Zone::parse(&self.zone).map_err(|e| usage(format!("--zone: {e}")))?;
        let as_of = self
            .as_of
            .as_deref()
            .map(|text| Day::parse(text).map_err(|e| usage(format!("--as-of {text}: {e}"))));
        let as_of = as_of.transpose()?;
        let wanted = self
            .columns
            .as_deref()
            .map(Wanted::parse)
            .transpose()?
            .unwrap_or_default();
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| beside(&self.file, "scored"));
        if out == self.file {
            return Err(usage(format!(
                "--out {}: is the order file itself; name another",
                out.display()
            )));
        }

        let days = DayReader::new(zone.clone(), self.day_order);
        let mut rejects = Rejects::to(&beside(&out, "rejected"));
        let mut orders = Orders::read(&self.file, &wanted, &days, &mut rejects)?;
        let rejected_file = rejects.finish()?;
        let today = Day::of(Clock::System.now(), &zone);
        let last = orders
            .rows
            .iter()
            .map(|row| row.day)
            .filter(|day| *day <= today)
            .max();
        let Some(as_of) = as_of.or(last) else {
            bail!(
                "{}: all orders lie in the future; say --as-of for the day that the scores are about",
                self.file.display()
            );
        };
        rayon::slice::ParallelSliceMut::par_sort_unstable(orders.rows.as_mut_slice());
        let known = histories(&orders.rows, as_of);
        if known.is_empty() {
            bail!(
                "{}: no order on or before {as_of}; choose a later --as-of",
                self.file.display()
            );
        }

        let learnt = learn(&orders.rows, &known, as_of, self.horizon);
        let (gross, refunds) = known
            .iter()
            .fold((0, 0), |(g, r), h| (g + h.gross, r + h.refunds));
        let net_factor = if gross > 0 {
            (1.0 - refunds as f64 / gross as f64).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let mut scored = score(&known, &learnt, as_of, self.horizon, net_factor);
        let file = File::create(&out).with_context(|| format!("cannot write {}", out.display()))?;
        write(BufWriter::new(file), &mut scored, &orders.customers)?;

        let after_as_of = orders.rows.iter().filter(|r| r.day > as_of).count() as u64;
        let refund_rows = orders
            .rows
            .iter()
            .filter(|r| r.value < 0 && r.day <= as_of)
            .count() as u64;
        let counts = Counts {
            orders_read: orders.rows.len() as u64 + orders.rejected,
            orders_used: orders.rows.len() as u64 - after_as_of - refund_rows,
            refunds: refund_rows,
            after_as_of,
            rejected: orders.rejected,
            rejected_file: rejected_file.map(|p| p.display().to_string()),
            customers: known.len(),
            repeat_customers: known.iter().filter(|h| h.x > 0).count(),
            repeat_days: known.iter().map(|h| u64::from(h.x)).sum(),
        };
        let sum = |values: &mut dyn Iterator<Item = Option<f64>>| {
            values
                .flatten()
                .fold(None, |sum: Option<f64>, v| Some(sum.unwrap_or(0.0) + v))
        };
        let totals = Totals {
            expected_purchases: sum(&mut scored.iter().map(|s| s.outlook.map(|o| o.expected))),
            residual_clv: sum(&mut scored.iter().map(|s| s.residual_clv)),
            historic_value: (gross - refunds) as f64 / 1e6,
        };
        let card = Card {
            file: self.file.display().to_string(),
            scored_file: out.display().to_string(),
            as_of: as_of.to_string(),
            zone: zone.name().to_owned(),
            horizon_weeks: self.horizon,
            interval_level: LEVEL,
            counts,
            net_factor,
            counting: COUNTING,
            models: Models::new(&learnt),
            holdout: learnt.holdout.ok(),
            totals,
        };
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &card)?;
            writeln!(out)?;
        } else {
            card.print(&mut out)?;
        }
        Ok(())
    }
}

/// `orders.csv` to `orders.scored.csv`; `orders.scored.csv` to `orders.rejected.csv`.
fn beside(path: &Path, what: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".scored").unwrap_or(&stem);
    path.with_file_name(format!("{stem}.{what}.csv"))
}

//! The model card: what was counted, what was fitted, how far to trust it.

use std::io::{self, Write};

use serde::Serialize;

use super::holdout::Holdout;
use super::learn::Learnt;
use crate::fitted::Fitted;
use crate::show;

/// Everything a reader of the scores should know.
#[derive(Debug, Serialize)]
pub struct Card {
    pub file: String,
    pub scored_file: String,
    pub as_of: String,
    pub zone: String,
    pub horizon_weeks: f64,
    /// Level of the intervals of expected purchases.
    pub interval_level: f64,
    pub counts: Counts,
    /// 1 − refunds ÷ gross of all customers.
    pub net_factor: f64,
    pub counting: &'static [&'static str],
    pub models: Models,
    pub holdout: Option<Holdout>,
    pub totals: Totals,
}

/// How many of what.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    pub orders_read: u64,
    pub orders_used: u64,
    pub refunds: u64,
    pub after_as_of: u64,
    pub rejected: u64,
    pub rejected_file: Option<String>,
    pub customers: usize,
    /// With a purchase on more than one day.
    pub repeat_customers: usize,
    pub repeat_days: u64,
}

/// Each model, or why there is none.
#[derive(Debug, Serialize)]
pub struct Models {
    pub bgnbd: Entry,
    pub mbgnbd: Entry,
    pub gamma_gamma: Entry,
}

/// A model, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Entry {
    Fitted(Fitted),
    Missing {
        grade: &'static str,
        reasons: Vec<String>,
    },
}

/// Sums over customers.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    pub expected_purchases: Option<f64>,
    pub residual_clv: Option<f64>,
    pub historic_value: f64,
}

/// The rules by which the statistics were counted.
pub const COUNTING: &[&str] = &[
    "a purchase is a customer and day with at least one order, in the zone; several orders of a day are one purchase; an order of value 0 counts",
    "x is the number of purchase days after the first; t_x and T are weeks (days / 7) from the first to the last purchase day and to the as-of day",
    "m is the mean value of the purchase days after the first",
    "rows below 0 are refunds: they reduce value, and neither make nor undo a purchase day; orders after the as-of day do not exist",
    "p_alive is by mbgnbd; expected purchases, their interval, no_purchase_13w and residual_clv are by bgnbd (residual_clv: revenue of 12 months, 10% a year)",
];

impl Models {
    /// From what was learnt.
    #[must_use]
    pub fn new(learnt: &Learnt) -> Self {
        let missing = |reason: &String| Entry::Missing {
            grade: "E",
            reasons: vec![reason.clone()],
        };
        Self {
            bgnbd: learnt
                .bgnbd
                .as_ref()
                .map_or_else(missing, |fit| Entry::Fitted(Fitted::new("bgnbd", fit))),
            mbgnbd: learnt
                .mbgnbd
                .as_ref()
                .map_or_else(missing, |fit| Entry::Fitted(Fitted::new("mbgnbd", fit))),
            gamma_gamma: learnt.gamma_gamma.as_ref().map_or_else(missing, |fit| {
                Entry::Fitted(Fitted::new("gamma-gamma", fit))
            }),
        }
    }
}

impl Card {
    /// Prints it for people.
    ///
    /// # Errors
    /// The output is closed.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let c = &self.counts;
        writeln!(
            out,
            "{} customers scored as of {} into {}",
            c.customers, self.as_of, self.scored_file
        )?;
        writeln!(
            out,
            "{} orders read, {} used; {} customers bought again, on {} days",
            c.orders_read, c.orders_used, c.repeat_customers, c.repeat_days
        )?;
        if c.refunds > 0 {
            writeln!(
                out,
                "{} refunds leave {:.1}% of revenue",
                c.refunds,
                100.0 * self.net_factor
            )?;
        }
        if c.after_as_of > 0 {
            writeln!(out, "{} orders lie after the as-of day", c.after_as_of)?;
        }
        if let Some(path) = &c.rejected_file {
            writeln!(out, "{} rows could not be used: see {path}", c.rejected)?;
        }
        let weeks = self.horizon_weeks;
        writeln!(out)?;
        let mut table = show::table(&["total", ""], &[1]);
        table.add_row([
            format!("expected purchases, {weeks} weeks"),
            show::maybe(self.totals.expected_purchases, 6),
        ]);
        table.add_row([
            "residual value, 12 months".to_owned(),
            show::maybe(self.totals.residual_clv, 8),
        ]);
        table.add_row([
            "historic value".to_owned(),
            show::number(self.totals.historic_value, 10),
        ]);
        show::print(out, &table)?;
        for (name, entry) in [
            ("bgnbd", &self.models.bgnbd),
            ("mbgnbd", &self.models.mbgnbd),
            ("gamma-gamma", &self.models.gamma_gamma),
        ] {
            writeln!(out)?;
            match entry {
                Entry::Fitted(fitted) => fitted.print(out)?,
                Entry::Missing { grade, reasons } => {
                    writeln!(out, "{name}: none, grade {grade}: {}", reasons.join("; "))?;
                }
            }
        }
        if let Some(holdout) = &self.holdout {
            print_holdout(out, holdout)?;
        }
        writeln!(out, "\ncounting")?;
        self.counting
            .iter()
            .try_for_each(|rule| writeln!(out, "  {rule}"))
    }
}

fn print_holdout(out: &mut impl Write, holdout: &Holdout) -> io::Result<()> {
    writeln!(
        out,
        "\nhold-out: {} weeks after {}, {} customers",
        holdout.weeks, holdout.split, holdout.customers
    )?;
    let mut table = show::table(
        &[
            "  model",
            "foreseen",
            "made",
            "error",
            "RMSE",
            "correlation",
            "AUC",
            "log score",
        ],
        &[1, 2, 3, 4, 5, 6, 7],
    );
    for f in &holdout.purchases {
        table.add_row([
            format!("  {}", f.model),
            show::number(f.predicted_total, 6),
            show::number(f.actual_total, 6),
            f.total_error
                .map_or_else(|| "–".to_owned(), |e| format!("{:+.1}%", 100.0 * e)),
            show::number(f.rmse, 4),
            show::maybe(f.pearson, 3),
            show::maybe(f.auc, 3),
            show::number(f.log_score, 4),
        ]);
    }
    show::print(out, &table)
}

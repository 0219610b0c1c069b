//! `regard simulate`: a market of known truth as files.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use clap::Args;
use regard_types::Day;

use crate::failure::usage;
use crate::simulate::{self, Plan};

/// Arguments of `regard simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each customer has a satisfaction, s, standard normal, that nobody sees. It raises the purchase rate, lowers the \
chance of leaving after a purchase, and raises the answers. truth.json says by how much; truth.csv has each customer's."
)]
pub struct Simulate {
    /// Number of customers.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    customers: u64,
    /// The same seed gives the same files.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for customers.csv, orders.csv, responses.csv, truth.csv and truth.json.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Weeks that the market is open.
    #[arg(long, default_value_t = 78.0)]
    weeks: f64,
    /// Weeks over which first purchases are spread.
    #[arg(long, default_value_t = 12.0)]
    entry_weeks: f64,
    /// First day.
    #[arg(long, default_value = "2024-01-01", value_name = "YYYY-MM-DD")]
    start: String,
    /// Strength of satisfaction, 0 (none) to 5.
    #[arg(long, default_value_t = 1.0)]
    effect: f64,
    /// Chance of an answer after a purchase, 0 to 1.
    #[arg(long, default_value_t = 0.3)]
    response: f64,
    /// Print what was written as one JSON document.
    #[arg(long)]
    json: bool,
}

impl Simulate {
    /// Runs the command.
    ///
    /// # Errors
    /// An argument out of range, or a file cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        for (name, value, least, most) in [
            ("--weeks", self.weeks, 1.0, 2_000.0),
            ("--entry-weeks", self.entry_weeks, 0.0, 2_000.0),
            ("--effect", self.effect, 0.0, 5.0),
            ("--response", self.response, 0.0, 1.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(usage(format!("{name} {value}: expected {least} to {most}")));
            }
        }
        let start =
            Day::parse(&self.start).map_err(|e| usage(format!("--start {}: {e}", self.start)))?;
        let plan = Plan {
            start,
            weeks: self.weeks,
            entry_weeks: self.entry_weeks,
            effect: self.effect,
            response: self.response,
            ..Plan::new(self.customers, self.seed)
        };
        let written = simulate::write(&plan, &self.out)?;
        let mut out = stdout().lock();
        if self.json {
            let folder = self.out.display().to_string();
            serde_json::to_writer(
                &mut out,
                &serde_json::json!({ "folder": folder, "seed": self.seed, "written": written }),
            )?;
            writeln!(out)?;
        } else {
            let s = written;
            writeln!(
                out,
                "{} customers, {} orders and {} answers in {}; {} customers are still active at the end (truth.csv says who)",
                s.customers,
                s.orders,
                s.responses,
                self.out.display(),
                s.active_at_end
            )?;
        }
        Ok(())
    }
}

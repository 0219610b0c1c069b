//! `regard import`: files into a running suite.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgAction, Args, Subcommand};
use serde_json::json;

use crate::import::{Answers, Outcome, Plan, Sheet, Wanted, customers, orders, responses};
use crate::reach::{self, Server};
use crate::read::DayOrder;

/// What to import.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Customers: id, and name, email, phone, kind, since, attribute.NAME where the file has them.
    Customers(Customers),
    /// Orders: customer, date, value, and id, units, channel, revision where the file has them.
    Orders(Orders),
    /// Responses to a survey: one a row, one column a question.
    Responses(Responses),
}

#[derive(Debug, Args)]
struct Common {
    /// The file: CSV with a header, any usual delimiter.
    file: PathBuf,
    /// Columns by name or position from 1, where common names do not find them; # is the row's line.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Name of the system that the ids come from.
    #[arg(long, default_value = "csv")]
    source: String,
    /// Time zone of days and local times [default: the tenant's].
    #[arg(long)]
    zone: Option<String>,
    /// How to read days such as 03/04/2024.
    #[arg(long, value_name = "ORDER")]
    day_order: Option<DayOrder>,
    /// Rows that cannot be used go here, with reasons [default: beside the file, as NAME.rejected.csv].
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `regard import customers`.
#[derive(Debug, Args)]
pub struct Customers {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard import orders`.
#[derive(Debug, Args)]
#[command(
    after_help = "A file without ids of orders gets them: customer, day, value and the occurrence of these in the file. So a file \
may be imported again: what is there counts as unchanged."
)]
pub struct Orders {
    #[command(flatten)]
    common: Common,
    /// Currency of the values [default: the tenant's].
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// How the orders came, for rows that do not say.
    #[arg(long, default_value = "")]
    channel: String,
    /// Whether unknown customers are created; if not, their orders are rejected.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "true|false")]
    create_missing: bool,
}

/// Arguments of `regard import responses`.
#[derive(Debug, Args)]
pub struct Responses {
    #[command(flatten)]
    common: Common,
    /// The survey's id at its source, or SOURCE:ID.
    #[arg(long, value_name = "KEY")]
    survey: String,
    /// Creates and publishes the survey from this questionnaire (TOML) unless it is there.
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// The day of all answers, for a file without one.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// How the answers came, for rows that do not say.
    #[arg(long, default_value = "")]
    channel: String,
}

impl Common {
    fn plan(&self, channel: &str) -> anyhow::Result<Plan> {
        // Said before a server is looked for.
        std::fs::metadata(&self.file)
            .with_context(|| format!("cannot open {}", self.file.display()))?;
        let mut plan = Plan {
            columns: self
                .columns
                .as_deref()
                .map(Wanted::parse)
                .transpose()?
                .unwrap_or_default(),
            day_order: self.day_order,
            zone: self.zone.clone(),
            channel: channel.to_owned(),
            shown: true,
            ..Plan::new(&self.file, &self.source)
        };
        if let Some(rejected) = &self.rejected {
            plan.rejected.clone_from(rejected);
        }
        Ok(plan)
    }

    fn print(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        let file = outcome
            .rejected_file
            .as_ref()
            .map(|path| path.display().to_string());
        if self.json {
            let document = json!({
                "accepted": outcome.accepted,
                "unchanged": outcome.unchanged,
                "rejected": outcome.rejected,
                "rejected_file": file,
                "change_token": outcome.change_token,
            });
            serde_json::to_writer_pretty(&mut out, &document)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(
            out,
            "{} accepted, {} unchanged, {} rejected",
            outcome.accepted, outcome.unchanged, outcome.rejected
        )?;
        if let Some(file) = file {
            writeln!(out, "rejected rows and their reasons: {file}")?;
        }
        Ok(())
    }
}

impl Import {
    /// Runs the command.
    ///
    /// # Errors
    /// The file or an argument cannot be used, or the server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        reach::runtime()?.block_on(Box::pin(async {
            match self {
                Self::Customers(Customers { common }) => {
                    let plan = common.plan("")?;
                    let client = common.server.client().await?;
                    common.print(&customers(&client, &plan).await?)
                }
                Self::Orders(Orders {
                    common,
                    currency,
                    channel,
                    create_missing,
                }) => {
                    let plan = common.plan(&channel)?;
                    let client = common.server.client().await?;
                    common
                        .print(&orders(&client, &plan, currency.as_deref(), create_missing).await?)
                }
                Self::Responses(Responses {
                    common,
                    survey,
                    questions,
                    date,
                    channel,
                }) => {
                    let plan = common.plan(&channel)?;
                    let wanted = Answers {
                        survey,
                        sheet: questions.as_deref().map(Sheet::read).transpose()?,
                        day: reach::typed_day("--date", date.as_deref())?,
                    };
                    let client = common.server.client().await?;
                    common.print(&responses(&client, &plan, &wanted).await?)
                }
            }
        }))
    }
}

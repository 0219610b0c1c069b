//! `regard migrate`: brings the schemas of the services up to date.

use std::io::{Write as _, stdout};

use anyhow::{Context as _, bail};
use clap::Args;

use super::config::SettingsArgs;
use crate::suite::{Which, migrate, runtime};

/// Arguments of `regard migrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Several may run at once, and beside a start: a lock of the database lets one in at a time. A start does the \
same by itself where <service>.database.migrate is true. On PostgreSQL <service>.database.migrate_url names the owner."
)]
pub struct Migrate {
    /// Services whose database is brought up to date [default: all].
    #[arg(value_enum)]
    services: Vec<Which>,
    /// Change nothing; end with 1 if steps are pending.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Migrate {
    /// Runs the command.
    ///
    /// # Errors
    /// A database that cannot be reached or brought up to date; with `--check` steps that are pending.
    pub fn run(self) -> anyhow::Result<()> {
        let settings = self.settings.load()?.settings;
        let mut services = self.services;
        if services.is_empty() {
            services = Which::ALL.to_vec();
        }
        services.sort_unstable();
        services.dedup();
        let runtime = runtime()?;
        let mut pending = 0;
        for which in services {
            let name = which.name();
            let steps = runtime
                .block_on(Box::pin(migrate(&settings, which, self.check)))
                .with_context(|| format!("the database of {name}"))?;
            pending += if self.check { steps.len() } else { 0 };
            let mut out = stdout().lock();
            if steps.is_empty() {
                writeln!(out, "{name}: up to date")?;
            }
            let what = if self.check { "pending" } else { "applied" };
            for step in steps {
                writeln!(out, "{name}: {step} {what}")?;
            }
        }
        if pending > 0 {
            bail!("{pending} schema steps are pending; run `regard migrate`");
        }
        Ok(())
    }
}

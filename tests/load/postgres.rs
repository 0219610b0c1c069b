//! The run's own PostgreSQL, durable as in production (`tests/load/run` starts it), and databases in it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use regard_testkit::{TestDb, postgres};

use crate::serve::{Serve, block_on};
use crate::{Plan, process};

/// Services that have a database.
const SERVICES: [&str; 3] = ["customer", "feedback", "scoring"];

/// One database a service.
pub struct Store {
    databases: Vec<(&'static str, TestDb)>,
    postmaster: u32,
}

impl Store {
    /// Fresh databases.
    ///
    /// # Errors
    /// When the server is not durable: its figures would say nothing.
    pub fn new() -> anyhow::Result<Self> {
        let databases = block_on(async {
            let mut all = Vec::new();
            for service in SERVICES {
                all.push((service, postgres().database().await));
            }
            Ok(all)
        })?;
        let postmaster = std::env::var("REGARD_LOAD_POSTGRES_PID")
            .context("REGARD_LOAD_POSTGRES_PID is not set; start this by tests/load/run")?
            .parse()?;
        let store = Self {
            databases,
            postmaster,
        };
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            let value = ask(store.url("customer"), &format!("SHOW {setting}"))?;
            if value != "on" {
                bail!("PostgreSQL runs with {setting} {value}; these rows need a durable server");
            }
        }
        Ok(store)
    }

    /// The database of a service, as the service works in it.
    pub fn url(&self, service: &str) -> &str {
        self.database(service).map_or("", |db| db.url.as_str())
    }

    /// The database of a service, for the superuser.
    pub fn admin_url(&self, service: &str) -> &str {
        self.database(service)
            .map_or("", |db| db.admin_url.as_str())
    }

    fn database(&self, service: &str) -> Option<&TestDb> {
        let found = self.databases.iter().find(|(name, _)| *name == service);
        found.map(|(_, db)| db)
    }

    /// Starts services on these databases, row-level security behind their doors.
    ///
    /// # Errors
    /// As [`Serve::start`].
    pub fn serve(&self, plan: &Plan, folder: &Path, services: &[&str]) -> anyhow::Result<Serve> {
        self.serve_with(plan, folder, services, true)
    }

    /// Starts services on these databases, with row-level security or as the owner and without.
    ///
    /// # Errors
    /// As [`Serve::start`].
    pub fn serve_with(
        &self,
        plan: &Plan,
        folder: &Path,
        services: &[&str],
        row_security: bool,
    ) -> anyhow::Result<Serve> {
        let mut settings = Vec::new();
        for (service, db) in &self.databases {
            let section = format!("REGARD_{}__DATABASE__", service.to_uppercase());
            let (url, on) = if row_security {
                (&db.url, "on")
            } else {
                (&db.migrate_url, "off")
            };
            settings.push((format!("{section}URL"), url.clone()));
            settings.push((format!("{section}MIGRATE_URL"), db.migrate_url.clone()));
            settings.push((format!("{section}ROW_SECURITY"), on.to_owned()));
        }
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Serve::start(plan, folder, services, &settings, None)
    }

    /// What the server has logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let file = std::env::var("REGARD_LOAD_POSTGRES_LOG")
            .context("REGARD_LOAD_POSTGRES_LOG is not set; start this by tests/load/run")?;
        Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned())
    }

    /// CPU seconds of all of PostgreSQL so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        process::cpu_family(self.postmaster)
    }
}

/// Runs commands by psql.
///
/// # Errors
/// The first that fails.
pub fn psql(url: &str, commands: &[&str]) -> anyhow::Result<()> {
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]);
    for command in commands {
        psql.args(["-c", command]);
    }
    if !psql.stdout(Stdio::null()).status()?.success() {
        bail!("psql: {commands:?}");
    }
    Ok(())
}

/// The one value of a query.
///
/// # Errors
/// When it fails.
pub fn ask(url: &str, query: &str) -> anyhow::Result<String> {
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", url, "-c", query])
        .output()?;
    if !output.status.success() {
        bail!("psql: {query}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

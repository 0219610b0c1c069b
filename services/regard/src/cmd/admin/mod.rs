//! `regard admin`: tenants, and who may call.

mod key;
mod role;
mod tenant;

use std::io::{Write as _, stdout};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::reach::Server;
use crate::show;

/// `regard admin …`
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Tenants: the businesses whose customers these are.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// API keys: by which programs are known.
    #[command(subcommand)]
    Key(key::Key),
    /// Roles: sets of permissions under a name.
    #[command(subcommand)]
    Role(role::Role),
}

impl Admin {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Tenant(command) => command.run(),
            Self::Key(command) => command.run(),
            Self::Role(command) => command.run(),
        }
    }
}

/// What every command here takes.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Rows for people, or the document for programs.
fn tell(
    json: bool,
    document: &Value,
    header: &[&str],
    rows: Vec<Vec<String>>,
) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, document)?;
        writeln!(out)?;
        return Ok(());
    }
    let mut table = show::table(header, &[]);
    for row in rows {
        table.add_row(row);
    }
    show::print(&mut out, &table)?;
    Ok(())
}

/// A time as text; a dash where there is none.
fn time(at: Option<&prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
    at.map_or_else(
        || "–".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// A time for programs.
fn told(at: Option<&prost_types::Timestamp>) -> Value {
    let at = at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
    at.map_or(Value::Null, |at| Value::String(at.to_string()))
}

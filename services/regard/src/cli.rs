//! What can be typed. Each command's arguments and work lie in `cmd/<command>.rs`.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::cmd;

/// Measures how satisfied, how loyal and how valuable each customer is, how likely to leave, and why.
#[derive(Debug, Parser)]
#[command(
    name = "regard",
    version,
    max_term_width = 110,
    after_help = "New here? `regard demo` shows in seconds, on real data, what the suite does (from the repository: `cargo run -- demo`)."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit a purchase or value model to a file of sufficient statistics, or predict from one.
    #[command(subcommand)]
    Model(cmd::model::Model),
    /// Score the customers of an order file: no server needed.
    Score(cmd::score::Score),
    /// Make a market of known truth: customers, orders and answers as CSV files.
    Simulate(cmd::simulate::Simulate),
    /// See what the suite does: real purchases and answers in, explained scores out.
    Demo(cmd::demo::Demo),
    /// Run the services.
    Serve(cmd::serve::Serve),
    /// Bring the schemas of the databases up to date.
    Migrate(cmd::migrate::Migrate),
    /// Ask whether a suite is up: 0 if it serves, else 1.
    Health(cmd::health::Health),
    /// Bring customers, orders or survey responses from a file into a running suite.
    #[command(subcommand)]
    Import(cmd::import::Import),
    /// Show customers' scores, or the first customers by a score.
    Scores(cmd::scores::Scores),
    /// Explain why a customer's score is what it is.
    Explain(cmd::explain::Explain),
    /// Show a metric of the population, with its interval.
    Metrics(cmd::metrics::Metrics),
    /// Fit models to the customers of a running suite.
    Fit(cmd::fit::Fit),
    /// Manage tenants, API keys and roles.
    #[command(subcommand)]
    Admin(cmd::admin::Admin),
    /// Find out whether the audit is as it was written.
    #[command(subcommand)]
    Audit(cmd::audit::Audit),
    /// Export or erase a person's data; replace the keys that seal personal data.
    #[command(subcommand)]
    Privacy(cmd::privacy::Privacy),
    /// Change what a running server of this machine logs.
    LogLevel(cmd::log_level::LogLevel),
    /// Show the configuration in effect and where each value comes from.
    Config(cmd::config::ConfigCommand),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What the command could not do, in words for a person.
    pub fn run(self) -> anyhow::Result<()> {
        let Some(command) = self.command else {
            Self::command().print_help()?;
            return Ok(());
        };
        match command {
            Command::Model(command) => command.run(),
            Command::Score(command) => command.run(),
            Command::Simulate(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Health(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Scores(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Metrics(command) => command.run(),
            Command::Fit(command) => command.run(),
            Command::Admin(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Privacy(command) => command.run(),
            Command::LogLevel(command) => command.run(),
            Command::Config(command) => command.run(),
        }
    }
}

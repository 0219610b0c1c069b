//! The one binary: command line over the suite. One file a command in `cmd/`; what several commands share lies beside:
//! `read` (files of others), `show` (tables, progress), `settings` (configuration).

mod cli;
pub mod cmd;
pub mod demo;
pub mod failure;
pub mod fitted;
pub mod import;
pub mod operation;
pub mod reach;
pub mod read;
pub mod score;
pub mod settings;
pub mod show;
pub mod simulate;
pub mod suite;
pub mod told;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

/// Runs the command that the process arguments name: 0 done, 1 failed, 2 used wrongly.
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if failure::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "regard: {error:#}");
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

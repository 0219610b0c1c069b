//! `regard privacy`: what the law owes to persons.

mod erase;
mod export;
mod receipt;
mod rotate;

use clap::Subcommand;

/// `regard privacy …`
#[derive(Debug, Subcommand)]
pub enum Privacy {
    /// Write everything that is held about a person to a file.
    Export(export::Export),
    /// Erase a person from every service; measures stay without a name.
    Erase(erase::Erase),
    /// Find out whether the receipt of an erasure is as the services signed it.
    VerifyReceipt(receipt::VerifyReceipt),
    /// Replace the keys by which the tenant's personal data are sealed, and wait until the former ones are destroyed.
    RotateKeys(rotate::RotateKeys),
}

impl Privacy {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Export(command) => command.run(),
            Self::Erase(command) => command.run(),
            Self::VerifyReceipt(command) => command.run(),
            Self::RotateKeys(command) => command.run(),
        }
    }
}

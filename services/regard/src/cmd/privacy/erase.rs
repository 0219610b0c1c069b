//! `regard privacy erase`: a person goes, from every service.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use regard_client::Client;
use regard_proto::common::v1::{Erasure, ErasureState};
use regard_proto::customer::v1::{ErasePersonalDataRequest, GetErasureRequest};

use super::receipt::Receipt;
use crate::reach::{self, Server, given, refused};

/// Pauses between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `regard privacy erase`.
#[derive(Debug, Args)]
pub struct Erase {
    /// A customer of the person: a UUID, SOURCE:ID, or an id of --source.
    customer: String,
    /// Why, as a code.
    #[arg(long, default_value = "request")]
    reason: String,
    /// Erase also a customer that only other services know of.
    #[arg(long)]
    include_unknown: bool,
    /// Wait until every service has done it.
    #[arg(long)]
    wait: bool,
    /// Write the receipt to this file; with --wait the complete one.
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Source of ids that name none.
    #[arg(long, default_value = "csv")]
    source: String,
    #[command(flatten)]
    server: Server,
}

impl Erase {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses; the file cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let erasure = reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let request = ErasePersonalDataRequest {
                customer: Some(reach::customer(&self.customer, &self.source)),
                reason: self.reason.clone(),
                include_unknown: self.include_unknown,
                ..Default::default()
            };
            let answer = client.privacy().erase_personal_data(request).await;
            let erasure = given(answer.map_err(refused)?.into_inner().erasure, "erasure")?;
            if self.wait {
                done(&client, erasure).await
            } else {
                Ok(erasure)
            }
        })?;
        let receipt = Receipt::of(&erasure)?;
        if let Some(path) = &self.out {
            let text = serde_json::to_string_pretty(&receipt)? + "\n";
            std::fs::write(path, text)
                .with_context(|| format!("--out: cannot write {}", path.display()))?;
        }
        let mut out = stdout().lock();
        match erasure.state() {
            ErasureState::Complete => {
                writeln!(out, "erasure {}: every service has reported", erasure.id)?;
            }
            _ => {
                let waiting = erasure.pending.join(", ");
                writeln!(out, "erasure {}: still to report: {waiting}", erasure.id)?;
            }
        }
        Ok(())
    }
}

async fn done(client: &Client, mut erasure: Erasure) -> anyhow::Result<Erasure> {
    while erasure.state() != ErasureState::Complete {
        tokio::time::sleep(LOOK).await;
        let request = GetErasureRequest {
            id: erasure.id.clone(),
        };
        let answer = client.privacy().get_erasure(request).await;
        erasure = given(answer.map_err(refused)?.into_inner().erasure, "erasure")?;
    }
    Ok(erasure)
}

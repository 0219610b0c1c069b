//! `regard privacy rotate-keys`: new data keys in every service that seals.

use std::io::{Write as _, stdout};
use std::time::Duration;

use clap::Args;
use regard_client::Client;
use regard_proto::common::v1::{KeyRotation, KeyRotationState};
use regard_proto::{customer, feedback};
use serde_json::json;
use tonic::Status;

use crate::reach::{self, Server, given, refused};
use crate::show;

/// Pauses between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `regard privacy rotate-keys`.
#[derive(Debug, Args)]
pub struct RotateKeys {
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// A service that seals.
#[derive(Clone, Copy)]
enum Of {
    Customer,
    Feedback,
}

impl Of {
    const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Feedback => "feedback",
        }
    }

    async fn begin(self, client: &Client) -> Result<Option<KeyRotation>, Status> {
        match self {
            Self::Customer => {
                let request = customer::v1::RotateDataKeysRequest::default();
                let answer = client.privacy().rotate_data_keys(request).await?;
                Ok(answer.into_inner().rotation)
            }
            Self::Feedback => {
                let request = feedback::v1::RotateDataKeysRequest::default();
                let answer = client.feedback_privacy().rotate_data_keys(request).await?;
                Ok(answer.into_inner().rotation)
            }
        }
    }

    async fn look(self, client: &Client, id: String) -> Result<Option<KeyRotation>, Status> {
        match self {
            Self::Customer => {
                let request = customer::v1::GetKeyRotationRequest { id };
                let answer = client.privacy().get_key_rotation(request).await?;
                Ok(answer.into_inner().rotation)
            }
            Self::Feedback => {
                let request = feedback::v1::GetKeyRotationRequest { id };
                let answer = client.feedback_privacy().get_key_rotation(request).await?;
                Ok(answer.into_inner().rotation)
            }
        }
    }

    async fn whole(self, client: &Client, shown: bool) -> anyhow::Result<KeyRotation> {
        let mut rotation = given(self.begin(client).await.map_err(refused)?, "rotation")?;
        let bar = if shown {
            show::count_bar(0, self.name())
        } else {
            indicatif::ProgressBar::hidden()
        };
        while rotation.state != i32::from(KeyRotationState::Done) {
            bar.set_position(rotation.resealed.unsigned_abs());
            tokio::time::sleep(LOOK).await;
            let found = self.look(client, rotation.id.clone()).await;
            rotation = given(found.map_err(refused)?, "rotation")?;
        }
        bar.finish_and_clear();
        Ok(rotation)
    }
}

impl RotateKeys {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let mut done = Vec::new();
            for of in [Of::Customer, Of::Feedback] {
                done.push((of.name(), of.whole(&client, !self.json).await?));
            }
            let mut out = stdout().lock();
            if self.json {
                let document: serde_json::Map<_, _> = done
                    .iter()
                    .map(|(name, r)| {
                        let told = json!({ "id": r.id, "former_key": r.former_key, "key": r.key, "resealed": r.resealed });
                        ((*name).to_owned(), told)
                    })
                    .collect();
                serde_json::to_writer_pretty(&mut out, &document)?;
                writeln!(out)?;
                return Ok(());
            }
            for (name, r) in done {
                writeln!(
                    out,
                    "{name}: key {} in use, {} values sealed anew, former key destroyed",
                    r.key, r.resealed
                )?;
            }
            Ok(())
        })
    }
}

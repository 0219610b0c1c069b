//! `regard health`: whether a suite, or one service of it, is up; for the probes of containers and units.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::reach::{Server, refused, runtime};

/// Arguments of `regard health`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 if it serves, else with 1. Without --service it tells whether the process is alive; a service is \
ready when its store answers, its schema is current and its feeds are close behind."
)]
pub struct Health {
    /// Whether this service is ready: customer, feedback, scoring, or a name such as regard.scoring.v1.ScoreService.
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
    /// Longest time to wait for the answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    timeout_ms: u64,
    #[command(flatten)]
    server: Server,
}

impl Health {
    /// Runs the command.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not that it serves.
    pub fn run(self) -> anyhow::Result<()> {
        let limit = Duration::from_millis(self.timeout_ms);
        let asked =
            runtime()?.block_on(async { tokio::time::timeout(limit, self.ask(limit)).await });
        let Ok(status) = asked else {
            bail!("no answer within {} ms", self.timeout_ms);
        };
        let status = status?;
        writeln!(stdout().lock(), "{}", status.as_str_name())?;
        if status == ServingStatus::Serving {
            Ok(())
        } else {
            bail!("{} does not serve", self.what());
        }
    }

    async fn ask(&self, limit: Duration) -> anyhow::Result<ServingStatus> {
        let client = self.server.client().await?;
        let mut request = Request::new(HealthCheckRequest {
            service: self.service.clone(),
        });
        request.set_timeout(limit);
        match HealthClient::new(client.transport()).check(request).await {
            Ok(answer) => Ok(answer.into_inner().status()),
            Err(status) if status.code() == Code::NotFound => {
                bail!("{} is not a service of this process", self.what())
            }
            Err(status) => Err(refused(status)),
        }
    }

    fn what(&self) -> &str {
        if self.service.is_empty() {
            "the process"
        } else {
            &self.service
        }
    }
}

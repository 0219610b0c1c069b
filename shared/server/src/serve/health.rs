//! Health: the standard service. The empty name says that the process serves; a service's names say that it is ready.

use std::time::Duration;

use futures::future::join_all;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::service::{Ready, Service};

/// Longest time that a service may take to say whether it is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// A service as health sees it: its own name and its gRPC names.
pub(super) struct Watched {
    name: &'static str,
    names: Vec<&'static str>,
    ready: Ready,
}

impl Watched {
    pub(super) fn of(service: &Service) -> Self {
        Self {
            name: service.name,
            names: service.grpc.names().collect(),
            ready: service.ready.clone(),
        }
    }
}

/// Asks every service over and over; never ends.
pub(super) async fn watch(reporter: HealthReporter, watched: Vec<Watched>, pause: Duration) {
    let mut before = vec![None; watched.len()];
    loop {
        let answers = join_all(watched.iter().map(|service| async {
            let asked = tokio::time::timeout(PATIENCE, (service.ready)()).await;
            asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        }))
        .await;
        for ((service, answer), before) in watched.iter().zip(&answers).zip(&mut before) {
            if *before == Some(answer.is_ok()) {
                continue;
            }
            *before = Some(answer.is_ok());
            let status = match answer {
                Ok(()) => ServingStatus::Serving,
                Err(away) => {
                    tracing::warn!(service = service.name, away, "not ready");
                    ServingStatus::NotServing
                }
            };
            set(&reporter, service, status).await;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Tells everyone that nothing is served any more.
pub(super) async fn leave(reporter: &HealthReporter, names: &[&'static str]) {
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    for name in names {
        reporter
            .set_service_status(*name, ServingStatus::NotServing)
            .await;
    }
}

async fn set(reporter: &HealthReporter, service: &Watched, status: ServingStatus) {
    reporter.set_service_status(service.name, status).await;
    for name in &service.names {
        reporter.set_service_status(*name, status).await;
    }
}

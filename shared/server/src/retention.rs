//! What does not stay: old changes and old request ids. Records and their versions do.

use std::time::Duration;

use regard_database::Database;

use crate::service::Job;
use crate::telemetry::job_ran;

/// Pause between two runs.
const EVERY: Duration = Duration::from_secs(600);
/// How long a request id is known, as the contract promises.
const REQUESTS: Duration = Duration::from_secs(24 * 3_600);

impl Job {
    /// Trims changes of a service's feed that are older than `keep_changes`, and forgets old request ids.
    #[must_use]
    pub fn retention(db: &Database, keep_changes: Duration) -> Self {
        let db = db.clone();
        Self::restarting("retention", move || {
            let db = db.clone();
            async move {
                loop {
                    // Not at once: a process that starts has better things to do.
                    tokio::time::sleep(EVERY).await;
                    let service = db.service();
                    let trimmed = db.feed().trim(keep_changes).await;
                    match &trimmed {
                        Ok(0) => {}
                        Ok(changes) => tracing::info!(%service, changes, "old changes trimmed"),
                        Err(error) => {
                            tracing::warn!(%service, %error, "changes were not trimmed, trying again later");
                        }
                    }
                    let forgotten = db.forget_requests(REQUESTS).await;
                    if let Err(error) = &forgotten {
                        tracing::warn!(%service, %error, "old request ids were not forgotten, trying again later");
                    }
                    job_ran(service, "retention", trimmed.is_ok() && forgotten.is_ok());
                    for (kind, removed) in [("changes", trimmed), ("requests", forgotten)] {
                        let store = service.as_str();
                        metrics::counter!("regard_retention_removed_total", "store" => store, "kind" => kind)
                            .increment(removed.unwrap_or_default());
                    }
                }
            }
        })
    }
}

//! Figures that several crates tell alike.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regard_database::Database;
use regard_types::Service;

use crate::service::Job;

/// Pause between two looks at the pools.
const LOOK: Duration = Duration::from_secs(2);

/// A round of a job ended well, or not.
pub fn job_ran(store: Service, job: &'static str, well: bool) {
    let store = store.as_str();
    let outcome = if well { "ok" } else { "failed" };
    metrics::counter!("regard_job_runs_total", "store" => store, "job" => job, "outcome" => outcome)
        .increment(1);
    if well {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        metrics::gauge!("regard_job_success_timestamp_seconds", "store" => store, "job" => job)
            .set(now.unwrap_or_default().as_secs_f64());
    }
}

/// Rows of a batch were accepted, were known already, or were rejected.
pub fn rows_came(rows: &'static str, accepted: u64, unchanged: u64, rejected: usize) {
    for (outcome, count) in [
        ("accepted", accepted),
        ("unchanged", unchanged),
        ("rejected", rejected as u64),
    ] {
        metrics::counter!("regard_ingest_rows_total", "rows" => rows, "outcome" => outcome)
            .increment(count);
    }
}

impl Job {
    /// Tells how a store's pools are used.
    #[must_use]
    pub fn figures(db: &Database) -> Self {
        let db = db.clone();
        Self::restarting("figures", move || {
            let db = db.clone();
            async move {
                loop {
                    db.tell_connections();
                    tokio::time::sleep(LOOK).await;
                }
            }
        })
    }
}

//! The jobs of a server, from its start until they have handed back what they hold.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::service::Job;

#[derive(Default)]
pub(super) struct Jobs {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Jobs {
    pub(super) fn start(&mut self, job: Job) {
        let (name, work) = (job.name, (job.run)(self.stop.clone()));
        let task = self.running.spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(job = name, "job panicked and is over");
                metrics::counter!("regard_job_panics_total", "job" => name).increment(1);
            }
        });
        self.names.insert(task.id(), name);
    }

    /// Asks all to hand back what they hold, and drops those that do not in time; true if there were none.
    pub(super) async fn stop(mut self, patience: Duration) -> bool {
        self.stop.cancel();
        let ended = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.names.remove(&id);
            }
        };
        if tokio::time::timeout(patience, ended).await.is_ok() {
            return true;
        }
        let mut names: Vec<_> = self.names.values().copied().collect();
        names.sort_unstable();
        tracing::warn!(
            jobs = names.join(", "),
            "jobs that did not hand back in time are dropped"
        );
        self.running.shutdown().await;
        false
    }
}

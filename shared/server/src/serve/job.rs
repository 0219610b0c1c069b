//! The jobs of a server, from its start until they have handed back what they hold.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::service::Job;

/// How long dropping the rest may take.
const DROPPED: Duration = Duration::from_secs(1);

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
        // One that computes cannot be dropped before it waits: it ends with the process.
        let _ = tokio::time::timeout(DROPPED, self.running.shutdown()).await;
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_computes_does_not_hold_the_end_up() {
        let (mut jobs, (began, begun)) = (Jobs::default(), tokio::sync::oneshot::channel());
        jobs.start(Job::new("compute", async move {
            began.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(6));
        }));
        begun.await.unwrap();
        let started = std::time::Instant::now();
        assert!(!jobs.stop(Duration::from_millis(50)).await);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

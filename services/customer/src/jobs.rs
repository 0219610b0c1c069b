//! What runs by itself: retention of what is not a record.

use std::sync::Arc;
use std::time::Duration;

use regard_server::Job;

use crate::core::Core;

/// Pause between two runs.
const EVERY: Duration = Duration::from_secs(600);
/// How long a request id is known (as the contract says).
const REQUESTS: Duration = Duration::from_secs(24 * 3600);

/// Trims old changes (never versions) and forgets old request ids.
pub fn retention(core: Arc<Core>, keep_changes: Duration) -> Job {
    Job::restarting("customer retention", move || {
        let core = core.clone();
        async move {
            loop {
                // Not at once: a process that starts has better things to do.
                tokio::time::sleep(EVERY).await;
                match core.db.feed().trim(keep_changes).await {
                    Ok(0) => {}
                    Ok(trimmed) => tracing::info!(trimmed, "old changes trimmed"),
                    Err(error) => tracing::warn!(%error, "changes were not trimmed"),
                }
                if let Err(error) = core.db.forget_requests(REQUESTS).await {
                    tracing::warn!(%error, "old request ids were not forgotten");
                }
            }
        }
    })
}

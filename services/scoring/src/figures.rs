//! What scoring tells of its state: lag, leases, operations and models; see `FIGURES` of regard-server.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use regard_database::StoreError;
use regard_types::Service;

use crate::core::Core;
use crate::model::{self, domain::ModelKind};
use crate::operation::{self, domain::State};

/// Pause between two looks at what is in memory, and how many of them pass between two looks at the store.
const LOOK: Duration = Duration::from_secs(1);
const STORE: u32 = 10;

/// Tells for good.
pub async fn tell(core: Arc<Core>) {
    let mut looks = 0_u32;
    loop {
        tell_memory(&core);
        if looks.is_multiple_of(STORE)
            && let Err(error) = tell_store(&core).await
        {
            tracing::debug!(%error, "the states of operations and models could not be counted");
        }
        looks = looks.wrapping_add(1);
        tokio::time::sleep(LOOK).await;
    }
}

fn tell_memory(core: &Core) {
    core.db.tell_connections();
    for (lease, held) in core.leases() {
        gauge!("regard_lease_held", "lease" => lease).set(if held { 1.0 } else { 0.0 });
        if let (Some(feed), false) = (lease.strip_prefix("feed:"), held) {
            core.lag.ended(feed);
        }
    }
    for feed in [Service::Customer, Service::Feedback] {
        let (changes, time) = core.lag.of(feed);
        let feed = feed.as_str();
        // Exact up to 2^53.
        #[allow(clippy::cast_precision_loss)]
        gauge!("regard_feed_lag_changes", "feed" => feed).set(changes as f64);
        gauge!("regard_feed_lag_seconds", "feed" => feed).set(time.as_secs_f64());
    }
}

async fn tell_store(core: &Core) -> Result<(), StoreError> {
    let tx = core.db.read_system().await?;
    let operations = operation::store::counts(&tx).await?;
    let models = model::store::counts(&tx).await?;
    drop(tx);
    // What is counted no more is told as 0.
    let mut counts = [0_i64; State::ALL.len()];
    for (state, operations) in &operations {
        for (count, known) in counts.iter_mut().zip(State::ALL) {
            if known.as_str() == state {
                *count = *operations;
            }
        }
    }
    for (count, state) in counts.iter().zip(State::ALL) {
        gauge!("regard_operations", "state" => state.as_str()).set(number(*count));
    }
    let mut counts = [[0_i64; 2]; ModelKind::ALL.len()];
    for (kind, serving, models) in &models {
        for (count, known) in counts.iter_mut().zip(ModelKind::ALL) {
            if known.as_str() == kind {
                count[usize::from(*serving)] = *models;
            }
        }
    }
    for (count, kind) in counts.iter().zip(ModelKind::ALL) {
        for (count, state) in count.iter().zip(["old", "serving"]) {
            let labels = [("kind", kind.as_str()), ("state", state)];
            gauge!("regard_models", &labels).set(number(*count));
        }
    }
    Ok(())
}

/// Exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(count: i64) -> f64 {
    count as f64
}

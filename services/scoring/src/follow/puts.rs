//! What was scored, into the cache; and what the store says of Redis.

use std::sync::Arc;
use std::time::Duration;

use regard_cache::{Entry, Vector};
use regard_database::{StoreError, Tx};
use regard_types::{Fault, Scope, TRACE_TARGET};
use tracing::{Instrument as _, Span};

use super::store;
use crate::core::Core;
use crate::summary::app::Scored;

/// How often a replica asks whether Redis can be trusted. With the life of a local copy it bounds how old an answer can be.
const LOOK: Duration = Duration::from_millis(250);

/// What a transaction that scored customers saw of the cache's world, read at its end.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The positions that are applied.
    pub vector: Vector,
    /// The cache's generation, held until the transaction ends: whoever abandons what Redis holds waits for it.
    pub generation: i64,
}

/// Reads what the puts of this transaction's scores need.
///
/// # Errors
/// What the engine answers.
pub async fn seen(core: &Core, tx: &Tx) -> Result<Seen, StoreError> {
    let generation = if core.shared_cache {
        store::hold_generation(tx).await?
    } else {
        0
    };
    Ok(Seen {
        vector: store::vector(tx).await?,
        generation,
    })
}

/// Puts freshly scored sets into the cache; true when all of it, Redis included, has them.
pub async fn put(core: &Core, scored: &[Scored], seen: &Seen) -> bool {
    core.set_generation(seen.generation);
    let mut entries = Vec::with_capacity(scored.len());
    for s in scored {
        for arrival in &s.arrivals {
            let entry = Entry {
                version: s.version.unsigned_abs(),
                vector: seen.vector.clone(),
                value: s.scores.clone().into(),
            };
            entries.push((core.key(s.tenant, s.stamp, *arrival), entry));
        }
    }
    let span = if Scope::sampled().is_some() {
        tracing::info_span!(target: TRACE_TARGET, "put", entries = entries.len())
    } else {
        Span::none()
    };
    let puts = async {
        let mut all = true;
        for part in entries.chunks(500) {
            all &= core.cache.applied_many(part).await;
        }
        all
    };
    let all = puts.instrument(span).await;
    core.applied.send_modify(|n| *n = n.wrapping_add(1));
    all
}

/// Follows what the store says of Redis: its generation, and whether effects of changes are on their way to it.
pub async fn watch_cache(core: Arc<Core>) {
    if !core.shared_cache {
        return std::future::pending().await;
    }
    let mut lagging_before = false;
    loop {
        match look(&core).await {
            Ok((generation, lagging)) => {
                core.set_generation(generation);
                // A batch in flight is no lag; the same answer twice is.
                core.cache.bypass_shared(lagging && lagging_before);
                lagging_before = lagging;
            }
            Err(error) => {
                core.cache.bypass_shared(true);
                tracing::warn!(%error, "the state of the cache could not be read");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(core: &Core) -> Result<(i64, bool), StoreError> {
    let tx = core.db.read_system().await?;
    store::cache_state(&tx).await
}

/// Abandons what Redis holds, after effects of changes missed it.
pub async fn abandon(core: &Core) -> Result<(), Fault> {
    let tx = core.db.system().await?;
    store::raise_generation(&tx).await?;
    let (generation, _) = store::cache_state(&tx).await?;
    tx.commit().await?;
    core.set_generation(generation);
    Ok(())
}

//! What all parts of scoring share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regard_cache::{Key, Slot, Tiered};
use regard_database::{Database, StoreError, Tx};
use regard_types::{Clock, Service, TenantId, Uuid};
use tokio::sync::watch;

use crate::definition::Book;
use crate::follow::Lag;
use crate::model;
use crate::score::domain::Serving;
use crate::tenant::TenantState;

/// The layout of cached score sets; raised with every change of it.
const CACHE_SCHEMA: u32 = 1;
/// The leases whose holder alone changes scores.
const WRITERS: [&str; 4] = ["feed:customer", "feed:feedback", "roll", "operations"];
/// Clocks of replicas may differ: a lease counts as held for this much less.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);

/// What all parts of scoring share.
pub struct Core {
    /// The store.
    pub db: Database,
    /// The definitions.
    pub book: Book,
    /// The cache of score sets, by arrival id.
    pub cache: Tiered,
    /// True when Redis is behind the cache.
    pub shared_cache: bool,
    /// Counts applied batches of this process: readers that wait for a position look again.
    pub applied: watch::Sender<u64>,
    /// Told when an operation was asked for or asked to stop.
    pub operations: tokio::sync::Notify,
    /// How far applying is behind the feeds.
    pub lag: Lag,
    serving: Mutex<HashMap<TenantId, Arc<Serving>>>,
    held: Mutex<HashMap<&'static str, Instant>>,
    /// When a feed that this replica follows was last applied to its end.
    fresh: Mutex<HashMap<&'static str, Instant>>,
    store: u64,
    /// Raised when Redis may hold entries that missed a change: part of every key.
    generation: AtomicI64,
}

impl Core {
    /// Over a store and a cache.
    #[must_use]
    pub fn new(db: Database, book: Book, cache: Tiered, shared_cache: bool) -> Arc<Self> {
        let (high, low) = db.epoch().as_u64_pair();
        Arc::new(Self {
            db,
            book,
            cache,
            shared_cache,
            applied: watch::Sender::new(0),
            operations: tokio::sync::Notify::new(),
            lag: Lag::default(),
            serving: Mutex::default(),
            held: Mutex::default(),
            fresh: Mutex::default(),
            store: high ^ low,
            generation: AtomicI64::new(0),
        })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.db.clock()
    }

    /// The cache key of an arrival id's score set.
    #[must_use]
    pub fn key(&self, tenant: TenantId, stamp: i64, arrival: Uuid) -> Key {
        let generation = self.generation.load(Ordering::Acquire).unsigned_abs();
        let slot = Slot::new(
            "scores",
            CACHE_SCHEMA,
            self.store ^ generation.rotate_left(32),
        );
        slot.key(tenant.0, stamp.unsigned_abs(), arrival)
    }

    /// Takes the generation that the store names.
    pub fn set_generation(&self, generation: i64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// A lease was taken or renewed until then. While this replica holds all that lead to a change of scores, the cache
    /// keeps its entries for long.
    pub fn held(&self, name: &'static str, until: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(name, until);
        let least = WRITERS
            .iter()
            .map(|name| held.get(name).copied())
            .min()
            .flatten();
        if let Some(until) = least.and_then(|least| least.checked_sub(CLOCK_MARGIN)) {
            self.cache.alone_until(until);
        }
    }

    /// A lease is another replica's now.
    pub fn lost(&self, name: &'static str) {
        if self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name)
            .is_some()
        {
            self.cache.not_alone();
        }
    }

    /// The leases whose holder alone changes scores, and whether this replica holds them.
    pub fn leases(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let all = WRITERS.map(|name| (name, held.get(name).is_some_and(|until| *until > now)));
        all.into_iter()
    }

    /// A feed is applied to its end, as far as it was told.
    pub fn fresh(&self, feed: Service) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(feed.as_str(), Instant::now());
    }

    /// Whether the feeds that this replica follows were applied to their ends within `bound`.
    ///
    /// # Errors
    /// Which was not, and since when.
    pub fn follows_within(&self, bound: Duration) -> Result<(), String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for (feed, at) in fresh.iter() {
            // Another replica follows it: what it has not applied only it can tell.
            let ours = held
                .keys()
                .any(|name| name.strip_prefix("feed:") == Some(*feed));
            if ours && at.elapsed() > bound {
                let (lag, bound) = (at.elapsed().as_secs(), bound.as_secs());
                return Err(format!(
                    "the changes of {feed} were last applied to their end {lag} s ago; at most {bound} s are allowed"
                ));
            }
        }
        Ok(())
    }

    /// A write was begun whose end, or whose puts, nobody saw: what the cache keeps for long may be outdated.
    pub fn interrupted(&self) {
        self.cache.not_alone();
    }

    /// The models that serve a tenant, as the transaction sees them.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn serving(&self, tx: &Tx, tenant: &TenantState) -> Result<Arc<Serving>, StoreError> {
        {
            let known = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(serving) = known
                .get(&tenant.tenant)
                .filter(|s| s.version == tenant.models)
            {
                return Ok(serving.clone());
            }
        }
        let serving = Arc::new(model::store::serving(tx, tenant.tenant, tenant.models).await?);
        self.serving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant.tenant, serving.clone());
        Ok(serving)
    }
}

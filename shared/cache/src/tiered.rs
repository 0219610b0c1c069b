use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::flight::{Flights, Part, State};
use crate::local::Kept;
use crate::{Cache, Entry, Key, Local, Redis, Settings, Vector};

const STRIPES: usize = 1024;
/// Fills on their way to Redis in the background; beyond, a fill stays local.
const FILLS_TO_REDIS: usize = 256;

/// The in-process cache, with Redis behind it if there is one, and one fill at a time a key.
///
/// **How old an answer may be.** A copy of what another replica may change lives `stale`. What this replica
/// fills or applies while it alone applies changes ([`Tiered::alone_until`], renewed with its lease) is
/// current for as long as that lasts, since its own next change replaces it.
///
/// **Redis.** Changes go to Redis by [`Tiered::applied`], whose answer says whether they arrived; until the
/// caller has repeated those that did not, it sets [`Tiered::bypass_shared`].
pub struct Tiered {
    local: Local,
    shared: Option<Arc<Redis>>,
    bypass: AtomicBool,
    settings: Settings,
    flights: Flights,
    /// Changes applied by this replica, by key stripe: a fill that a change overtook does not live long.
    applies: Box<[AtomicU64]>,
    fills: Arc<Semaphore>,
}

/// What a fill must know from before it reads.
#[derive(Clone, Copy)]
struct Before {
    applies: u64,
    term: Option<u64>,
}

impl Tiered {
    /// An empty local cache before `shared`.
    #[must_use]
    pub fn new(settings: Settings, shared: Option<Redis>) -> Self {
        Self {
            local: Local::new(&settings),
            shared: shared.map(Arc::new),
            bypass: AtomicBool::new(false),
            settings,
            flights: Flights::new(),
            applies: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            fills: Arc::new(Semaphore::new(FILLS_TO_REDIS)),
        }
    }

    /// The local entry, if it may be taken and covers `need`: the fast path, without await or allocation.
    #[must_use]
    pub fn hit(&self, key: &Key, need: Option<&Vector>) -> Option<Entry> {
        self.local.hit(key, need)
    }

    /// This replica alone applies changes until then (its lease's end, less a margin for clocks). While that
    /// lasts, what it fills and applies is not outdated by anybody else. Call again to extend.
    pub fn alone_until(&self, until: Instant) {
        self.local.alone_until(until);
    }

    /// The lease is gone: other replicas may apply changes from now on.
    pub fn not_alone(&self) {
        self.local.not_alone();
    }

    /// While set, reads pass Redis by: the positions that its entries are known to have lag too far behind.
    /// Changes still go there.
    pub fn bypass_shared(&self, bypass: bool) {
        self.bypass.store(bypass, Ordering::Release);
    }

    /// True while reads pass Redis by.
    #[must_use]
    pub fn bypassed(&self) -> bool {
        self.bypass.load(Ordering::Acquire)
    }

    /// Sets an entry that this replica's own change made, after its commit. True when Redis, if there is
    /// one, holds it or a newer one; false: say it again before telling others that it is there.
    pub async fn applied(&self, key: &Key, entry: Entry) -> bool {
        self.applied_many(&[(*key, entry)]).await
    }

    /// As [`Tiered::applied`], for several; true when all arrived.
    pub async fn applied_many(&self, entries: &[(Key, Entry)]) -> bool {
        let term = self.local.term();
        for (key, entry) in entries {
            // Before the put: a fill that began earlier and puts later is told that it may be outdated.
            self.applies[key.stripe(STRIPES)].fetch_add(1, Ordering::AcqRel);
            self.local
                .keep(key, entry.clone(), self.settings.stale, term);
        }
        match &self.shared {
            Some(shared) => shared.put_many(entries).await,
            None => true,
        }
    }

    /// The entry, from the process, from Redis, or from `fill`, which reads the table. `fill` gives an entry
    /// that covers `need`, having waited for it if it had to. One fill runs at a time for a key and need;
    /// who comes meanwhile shares its answer. After a failed fill, those who waited fill by themselves.
    ///
    /// # Errors
    /// The fill's own.
    pub async fn get_or_fill<F, E>(
        &self,
        key: &Key,
        need: Option<&Vector>,
        fill: impl FnOnce() -> F,
    ) -> Result<Entry, E>
    where
        F: Future<Output = Result<Entry, E>>,
    {
        if let Some(entry) = self.local.hit(key, need) {
            return Ok(entry);
        }
        let lead = loop {
            match self.flights.join(key, need) {
                Part::Lead(lead) => break Some(lead),
                Part::Follow(mut flight) => {
                    let state = flight
                        .wait_for(|s| !matches!(s, State::Running))
                        .await
                        .map(|s| s.clone());
                    match state {
                        Ok(State::Done(entry)) => return Ok(entry),
                        Ok(State::Failed) => break None,
                        // The leader was cancelled: somebody leads anew.
                        Ok(State::Running) | Err(_) => {}
                    }
                }
            }
        };
        let found = match &lead {
            // Another fill may have ended between our look and our lead.
            Some(_) => match self.local.peek(key, need) {
                None => self.ask_shared(key, need).await,
                found => found,
            },
            None => None,
        };
        let answer = match found {
            Some(entry) => Ok(entry),
            None => self.filled(key, need, fill).await,
        };
        if let Some(lead) = lead {
            match &answer {
                Ok(entry) => lead.done(entry),
                Err(_) => lead.failed(),
            }
        }
        answer
    }

    async fn filled<F, E>(
        &self,
        key: &Key,
        need: Option<&Vector>,
        fill: impl FnOnce() -> F,
    ) -> Result<Entry, E>
    where
        F: Future<Output = Result<Entry, E>>,
    {
        let before = self.before(key);
        let entry = fill().await?;
        let kept = self.keep_fill(key, entry.clone(), before);
        self.share_in_background(key, &entry);
        Ok(match kept {
            // A change overtook the fill: its entry is the better answer.
            Kept::Newer(newer) if newer.covers(need) => newer,
            Kept::Yes(joined) => joined,
            Kept::Newer(_) => entry,
        })
    }

    fn before(&self, key: &Key) -> Before {
        Before {
            applies: self.applies[key.stripe(STRIPES)].load(Ordering::Acquire),
            term: self.local.term(),
        }
    }

    fn keep_fill(&self, key: &Key, entry: Entry, before: Before) -> Kept {
        let untouched = self.applies[key.stripe(STRIPES)].load(Ordering::Acquire) == before.applies;
        let term = before.term.filter(|_| untouched);
        self.local.keep(key, entry, self.settings.stale, term)
    }

    fn share_in_background(&self, key: &Key, entry: &Entry) {
        let Some(shared) = self.shared.clone() else {
            return;
        };
        // Too many on their way: Redis is slow, and may do without this one.
        let Ok(permit) = Arc::clone(&self.fills).try_acquire_owned() else {
            return;
        };
        let (key, entry) = (*key, entry.clone());
        tokio::spawn(async move {
            shared.put(&key, entry).await;
            drop(permit);
        });
    }

    fn readable(&self) -> Option<&Redis> {
        let shared = self.shared.as_deref()?;
        if self.bypassed() {
            shared.count_skipped(1);
            return None;
        }
        Some(shared)
    }

    async fn ask_shared(&self, key: &Key, need: Option<&Vector>) -> Option<Entry> {
        let entry = self.readable()?.get(key).await?;
        self.adopt(key, entry).filter(|entry| entry.covers(need))
    }

    /// Takes an entry of Redis into the process; None when a newer version has been seen here.
    fn adopt(&self, key: &Key, entry: Entry) -> Option<Entry> {
        match self.local.keep(key, entry, self.settings.stale, None) {
            Kept::Yes(entry) => Some(entry),
            Kept::Newer(_) => None,
        }
    }
}

impl Cache for Tiered {
    async fn get(&self, key: &Key) -> Option<Entry> {
        match self.local.hit(key, None) {
            None => self.ask_shared(key, None).await,
            found => found,
        }
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        let mut found: Vec<Option<Entry>> =
            keys.iter().map(|key| self.local.hit(key, None)).collect();
        let missing: Vec<usize> = (0..keys.len()).filter(|&i| found[i].is_none()).collect();
        if missing.is_empty() {
            return found;
        }
        let Some(shared) = self.readable() else {
            return found;
        };
        let asked: Vec<Key> = missing.iter().map(|&i| keys[i]).collect();
        for (i, entry) in missing.into_iter().zip(shared.get_many(&asked).await) {
            found[i] = entry.and_then(|entry| self.adopt(&keys[i], entry));
        }
        found
    }

    /// As a fill: what was read from the table, not changed by this replica.
    async fn put(&self, key: &Key, entry: Entry) -> bool {
        self.local
            .keep(key, entry.clone(), self.settings.stale, None);
        match &self.shared {
            Some(shared) => shared.put(key, entry).await,
            None => true,
        }
    }

    async fn put_many(&self, entries: &[(Key, Entry)]) -> bool {
        for (key, entry) in entries {
            self.local
                .keep(key, entry.clone(), self.settings.stale, None);
        }
        match &self.shared {
            Some(shared) => shared.put_many(entries).await,
            None => true,
        }
    }

    async fn remove(&self, key: &Key) -> bool {
        self.local.forget(key);
        match &self.shared {
            Some(shared) => shared.remove(key).await,
            None => true,
        }
    }
}

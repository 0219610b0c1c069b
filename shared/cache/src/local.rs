use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::sync::Cache as Map;

use crate::count::Count;
use crate::{Cache, Entry, Key, Settings, Vector};

/// Bytes that an entry takes beside its value and vector: key, map node, counts.
const OVERHEAD: usize = 256;

/// The cache in the process, bounded in bytes.
pub struct Local {
    map: Map<Key, Held, RandomState>,
    ttl: Duration,
    start: Instant,
    sole: Sole,
    count: Count,
}

/// While a replica alone applies changes, what it holds is current, however old it is.
struct Sole {
    /// Counts up whenever the time alone was interrupted: entries of an earlier term may be outdated.
    term: AtomicU64,
    /// Milliseconds after the cache's start until when this replica is alone.
    until: AtomicU64,
    change: Mutex<()>,
}

#[derive(Clone)]
struct Held {
    entry: Entry,
    /// Milliseconds after the cache's start until when the entry may be taken by anybody.
    until: u64,
    /// The term alone in which it may be taken as long as that lasts; 0 is no term.
    term: u64,
}

/// What became of an entry that was put.
pub(crate) enum Kept {
    /// It is in the cache, joined with what was there.
    Yes(Entry),
    /// The cache knows a newer version.
    Newer(Entry),
}

impl Local {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let map = Map::builder()
            .weigher(|_: &Key, held: &Held| {
                let vector = std::mem::size_of_val(held.entry.vector.marks());
                u32::try_from(OVERHEAD + vector + held.entry.value.len()).unwrap_or(u32::MAX)
            })
            .max_capacity(settings.capacity)
            .time_to_live(settings.ttl.max(Duration::from_secs(1)))
            .build_with_hasher(RandomState::default());
        Self {
            map,
            ttl: settings.ttl,
            start: Instant::now(),
            sole: Sole {
                term: AtomicU64::new(1),
                until: AtomicU64::new(0),
                change: Mutex::new(()),
            },
            count: Count::new("local", false),
        }
    }

    /// The entry, if it may be taken and covers `need`. No await, no lock, no allocation.
    #[must_use]
    pub fn hit(&self, key: &Key, need: Option<&Vector>) -> Option<Entry> {
        let found = self.peek(key, need);
        let count = self.count.get();
        if found.is_some() {
            &count.hit
        } else {
            &count.miss
        }
        .increment(1);
        found
    }

    /// As [`Local::hit`], uncounted.
    pub(crate) fn peek(&self, key: &Key, need: Option<&Vector>) -> Option<Entry> {
        let held = self.map.get(key)?;
        (self.lives(&held) && held.entry.covers(need)).then_some(held.entry)
    }

    fn lives(&self, held: &Held) -> bool {
        let now = self.millis(Instant::now());
        now < held.until
            || (held.term == self.sole.term.load(Ordering::Acquire)
                && now < self.sole.until.load(Ordering::Acquire))
    }

    /// Sets the entry by the rule of [`Cache::put`], to live for `life`, or, with `term`, while that term lasts.
    pub(crate) fn keep(&self, key: &Key, entry: Entry, life: Duration, term: Option<u64>) -> Kept {
        let until = self.millis(Instant::now() + life);
        let term = term.unwrap_or_default();
        let mut kept = Kept::Yes(entry.clone());
        self.map.entry_by_ref(key).and_compute_with(|old| {
            let Some(old) = old.map(moka::Entry::into_value) else {
                return Op::Put(Held { entry, until, term });
            };
            if old.entry.version > entry.version {
                kept = Kept::Newer(old.entry);
                return Op::Nop;
            }
            if old.entry.version < entry.version {
                return Op::Put(Held { entry, until, term });
            }
            let vector = old.entry.vector.join(&entry.vector);
            let joined = Entry { vector, ..entry };
            kept = Kept::Yes(joined.clone());
            // The same row was read again: it lives as long as either reading allows.
            Op::Put(Held {
                entry: joined,
                until: until.max(old.until),
                term: term.max(old.term),
            })
        });
        kept
    }

    /// This replica alone applies changes until then; a call before the end extends the time.
    pub(crate) fn alone_until(&self, until: Instant) {
        let _one_at_a_time = self.sole.change.lock();
        let now = self.millis(Instant::now());
        if now >= self.sole.until.load(Ordering::Acquire) {
            self.sole.term.fetch_add(1, Ordering::AcqRel);
        }
        self.sole.until.store(self.millis(until), Ordering::Release);
    }

    /// Others may apply changes from now on.
    pub(crate) fn not_alone(&self) {
        let _one_at_a_time = self.sole.change.lock();
        self.sole.until.store(0, Ordering::Release);
        self.sole.term.fetch_add(1, Ordering::AcqRel);
    }

    /// The term alone that lasts now.
    pub(crate) fn term(&self) -> Option<u64> {
        let term = self.sole.term.load(Ordering::Acquire);
        (self.millis(Instant::now()) < self.sole.until.load(Ordering::Acquire)).then_some(term)
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.map.invalidate(key);
    }

    /// Entries held now, about.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.map.run_pending_tasks();
        self.map.entry_count()
    }

    /// True when nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

/// As a cache by itself: entries live for the whole `ttl`.
impl Cache for Local {
    async fn get(&self, key: &Key) -> Option<Entry> {
        self.hit(key, None)
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        keys.iter().map(|key| self.hit(key, None)).collect()
    }

    async fn put(&self, key: &Key, entry: Entry) -> bool {
        self.keep(key, entry, self.ttl, None);
        true
    }

    async fn put_many(&self, entries: &[(Key, Entry)]) -> bool {
        for (key, entry) in entries {
            self.keep(key, entry.clone(), self.ttl, None);
        }
        true
    }

    async fn remove(&self, key: &Key) -> bool {
        self.forget(key);
        true
    }
}

//! A cache of versioned entries: in the process, in Redis, or one before the other, with the same behaviour.
//!
//! An [`Entry`] carries the version of the row it was made from and the [`Vector`] of feed positions that
//! were applied before the row was read. An older version never replaces a newer one; the same version
//! joins vectors. A reader that needs certain positions takes only an entry that covers them.
//!
//! Nothing here fails a caller: a cache that is away, slow or full is a miss, and a metric.

mod count;
mod entry;
mod flight;
mod key;
mod local;
mod shared;
mod tiered;

use std::future::Future;
use std::time::Duration;

pub use entry::{Entry, Mark, Vector};
pub use key::{Key, Slot};
pub use local::Local;
pub use shared::{Drawn, Redis, RedisError};
pub use tiered::Tiered;

/// What each cache does.
pub trait Cache: Send + Sync {
    /// The entry, if the cache has a living one.
    fn get(&self, key: &Key) -> impl Future<Output = Option<Entry>> + Send;

    /// Several entries, in the order of the keys.
    fn get_many(&self, keys: &[Key]) -> impl Future<Output = Vec<Option<Entry>>> + Send;

    /// Sets the entry unless the cache holds a newer version; the same version joins vectors and lives on.
    /// True when the cache now holds this version or a newer one; false when it could not be reached.
    fn put(&self, key: &Key, entry: Entry) -> impl Future<Output = bool> + Send;

    /// Sets several entries, each by the rule of [`Cache::put`]. True when all were reached.
    fn put_many(&self, entries: &[(Key, Entry)]) -> impl Future<Output = bool> + Send;

    /// Forgets the entry, whatever its version. False when the cache could not be reached.
    fn remove(&self, key: &Key) -> impl Future<Output = bool> + Send;
}

/// How long and how much a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Life of an entry in Redis, and in the process while this replica alone applies changes. At least 1 s.
    pub ttl: Duration,
    /// How old an answer may be that names no positions: the longest life of a local copy that another
    /// replica's change could outdate.
    pub stale: Duration,
    /// Bound of the in-process cache, in bytes of keys, vectors and values.
    pub capacity: u64,
    /// The longest that a request waits for Redis; later is a miss.
    pub answer: Duration,
}

impl Default for Settings {
    /// Ten minutes, one second, 64 MiB, 100 ms.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(600),
            stale: Duration::from_secs(1),
            capacity: 64 << 20,
            answer: Duration::from_millis(100),
        }
    }
}

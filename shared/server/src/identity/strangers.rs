//! API keys that are not known to be good: how many of them are looked up at once, and how often one address may be wrong,
//! so that a flood of invented keys costs neither the directory nor those with real ones.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use regard_types::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::directory::KEPT;
use crate::limit::{Bucket, Rate};

/// Look-ups of strangers at once.
const AT_ONCE: usize = 8;
/// Wrong keys a second that an address may send, and at once after a pause.
const WRONG: Rate = Rate {
    per_second: 10,
    burst: 100,
};
/// How long a key that was good counts as known.
const KNOWN: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(super) struct Strangers {
    known: Cache<[u8; 32], ()>,
    wrong: Cache<IpAddr, Arc<Bucket>>,
    asking: Arc<Semaphore>,
    started: Instant,
}

/// A look-up that may begin.
pub(super) struct Entry {
    bucket: Option<Arc<Bucket>>,
    _place: OwnedSemaphorePermit,
}

impl Strangers {
    pub fn new() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(KEPT)
                .time_to_idle(KNOWN)
                .build(),
            wrong: Cache::new(KEPT),
            asking: Arc::new(Semaphore::new(AT_ONCE)),
            started: Instant::now(),
        }
    }

    /// Lets a look-up begin: at once for a key that was good lately (none); else in its turn, and as long as its address
    /// was not wrong too often.
    pub async fn enter(
        &self,
        key: &[u8; 32],
        peer: Option<IpAddr>,
    ) -> Result<Option<Entry>, Fault> {
        if self.known.contains_key(key) {
            return Ok(None);
        }
        let bucket = peer.map(|peer| self.wrong.get_with(peer, Arc::default));
        if let Some(bucket) = &bucket {
            let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            bucket.take(WRONG, now).map_err(|_| {
                Fault::too_much("too many wrong keys came from the caller's address; wait a second")
            })?;
        }
        let place = Arc::clone(&self.asking).acquire_owned().await;
        Ok(Some(Entry {
            bucket,
            _place: place.map_err(Fault::bug)?,
        }))
    }

    /// The key is good.
    pub fn good(&self, key: [u8; 32], entry: Option<&Entry>) {
        match entry {
            None => drop(self.known.get(&key)), // it was used: it is known for longer
            Some(entry) => {
                entry.forgive();
                self.known.insert(key, ());
            }
        }
    }

    /// The key was good, and is no more.
    pub fn bad(&self, key: &[u8; 32]) {
        self.known.invalidate(key);
    }
}

impl Entry {
    /// Nobody was wrong.
    pub fn forgive(&self) {
        if let Some(bucket) = &self.bucket {
            bucket.put_back(WRONG);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_wrong_too_often_is_not_looked_up_and_good_keys_are() {
        let strangers = Strangers::new();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let good = [255; 32];
        let entry = strangers.enter(&good, Some(peer)).await.unwrap();
        strangers.good(good, entry.as_ref());
        drop(entry);
        let mut refused = 0;
        for n in 0..200 {
            refused += u32::from(strangers.enter(&[n; 32], Some(peer)).await.is_err());
        }
        assert!(refused >= 50, "{refused} of 200 refused");
        assert!(strangers.enter(&good, Some(peer)).await.unwrap().is_none());
        let other = "192.0.2.2".parse().unwrap();
        assert!(
            strangers
                .enter(&[1; 32], Some(other))
                .await
                .unwrap()
                .is_some()
        );
        strangers.bad(&good);
        assert!(strangers.enter(&good, Some(other)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn strangers_are_looked_up_a_few_at_once() {
        let strangers = Strangers::new();
        let mut held = Vec::new();
        for n in 0..AT_ONCE {
            let key = [u8::try_from(n).unwrap(); 32];
            held.push(strangers.enter(&key, None).await.unwrap());
        }
        let wait = Duration::from_millis(50);
        let next = tokio::time::timeout(wait, strangers.enter(&[99; 32], None));
        assert!(next.await.is_err());
        held.pop();
        assert!(strangers.enter(&[99; 32], None).await.is_ok());
    }
}

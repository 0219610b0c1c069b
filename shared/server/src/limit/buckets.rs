//! The buckets of all tenants and callers, bounded: a full one is as good as a new one and is dropped first.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use regard_types::TenantId;

use super::bucket::Bucket;
use super::lease::Lease;

/// Parts with a lock each.
const SHARDS: usize = 32;

/// Whose bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) tenant: TenantId,
    /// None for the tenant as a whole.
    pub(crate) caller: Option<Arc<str>>,
}

/// One owner's tokens: this process's own bucket, and what it has in hand of the one in Redis.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) own: Bucket,
    pub(crate) lease: Lease,
}

pub(crate) struct Buckets {
    shards: [Mutex<HashMap<Owner, Arc<Tokens>>>; SHARDS],
    hasher: RandomState,
    /// Most buckets of a shard.
    most: usize,
}

impl Buckets {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            most: most.div_ceil(SHARDS).max(1),
        }
    }

    /// The owner's tokens; a full bucket where none is known.
    pub(crate) fn of(&self, owner: &Owner, now: u64) -> Arc<Tokens> {
        let place = usize::try_from(self.hasher.hash_one(owner) >> 32).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(place) else {
            return Arc::default();
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard.get(owner) {
            return Arc::clone(known);
        }
        if shard.len() >= self.most {
            shard.retain(|_, tokens| !tokens.own.is_full(now));
            if shard.len() >= self.most {
                // All are in use: half of them begin anew, so that this is not done for every newcomer.
                let mut keep = false;
                shard.retain(|_, _| {
                    keep = !keep;
                    keep && self.most > 1
                });
            }
        }
        let fresh = Arc::<Tokens>::default();
        shard.insert(owner.clone(), Arc::clone(&fresh));
        fresh
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let of = |shard: &Mutex<HashMap<_, _>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.shards.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_types::Uuid;

    use super::super::bucket::Rate;
    use super::*;

    #[test]
    fn they_are_bounded_and_used_ones_stay() {
        let buckets = Buckets::new(3_200);
        let rate = Rate::new(1, 1).unwrap();
        let owner = |n: u128| Owner {
            tenant: TenantId(Uuid::from_u128(n)),
            caller: None,
        };
        let now = 1_000_000_000;
        for n in 0..1_000 {
            buckets.of(&owner(n), now).own.take(rate, now).unwrap();
        }
        // A thousand callers that took nothing go before those.
        for n in 1_000..100_000 {
            let _ = buckets.of(&owner(n), now);
        }
        assert!(buckets.len() <= 3_200);
        let used = |n| buckets.of(&owner(n), now).own.take(rate, now).is_err();
        assert!((0..1_000).all(used));
        for n in 0..100_000 {
            let _ = buckets.of(&owner(n), now).own.take(rate, now);
        }
        assert!(buckets.len() <= 3_200, "{}", buckets.len());
    }
}

//! Buckets that several replicas share through Redis. A replica takes tokens in small lots, ahead of need, so that a busy
//! caller does not wait for Redis on each call. While Redis is away each replica's own bucket alone counts.
//!
//! Over all replicas no window holds more than the burst, the rate's tokens, and one lot a replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use regard_cache::{Drawn, Redis};
use tokio::sync::Mutex;

use super::bucket::Rate;
use super::buckets::Tokens;

/// How long a lot may be used, and how long Redis is not asked after it failed, in nanoseconds.
const LIFE: u64 = 1_000_000_000;
/// Most tokens of one lot.
const LOT: u32 = 1_000;

/// What this process has in hand.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    tokens: AtomicU32,
    /// Until then they may be used.
    until: AtomicU64,
    /// The shared bucket has nothing before then.
    empty_until: AtomicU64,
    /// Redis is not asked before then.
    alone_until: AtomicU64,
    asking: AtomicBool,
    trip: Mutex<()>,
}

/// What the lease says without asking.
enum Known {
    Taken,
    /// Taken, and the rest is small: time to ask for more.
    Low,
    Refused(u64),
    /// Redis is away.
    Alone,
    Ask,
}

impl Lease {
    fn known(&self, rate: Rate, now: u64) -> Known {
        if now < self.alone_until.load(Ordering::Relaxed) {
            return Known::Alone;
        }
        if now < self.until.load(Ordering::Relaxed) {
            let taken = self
                .tokens
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if let Ok(before) = taken {
                return if before <= lot(rate).div_ceil(2) {
                    Known::Low
                } else {
                    Known::Taken
                };
            }
        }
        match self.empty_until.load(Ordering::Relaxed).checked_sub(now) {
            Some(wait) if wait > 0 => Known::Refused(wait),
            _ => Known::Ask,
        }
    }

    /// Puts back a token that was not used.
    pub(super) fn put_back(&self, now: u64) {
        let alone = now < self.alone_until.load(Ordering::Relaxed);
        if !alone && now < self.until.load(Ordering::Relaxed) {
            self.tokens.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fill(&self, drawn: Option<Drawn>, now: u64) {
        match drawn {
            None => self.alone_until.store(now + LIFE, Ordering::Relaxed),
            Some(Drawn { granted: 0, wait }) => {
                let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                self.empty_until
                    .store(now.saturating_add(wait), Ordering::Relaxed);
            }
            Some(Drawn { granted, .. }) => {
                if now >= self.until.swap(now + LIFE, Ordering::Relaxed) {
                    self.tokens.store(granted, Ordering::Relaxed); // an old lot is forfeit
                } else {
                    self.tokens.fetch_add(granted, Ordering::Relaxed);
                }
            }
        }
    }
}

/// A tenth of a second's tokens, and not much of the burst.
fn lot(rate: Rate) -> u32 {
    (rate.per_second / 10).min(rate.burst / 8).clamp(1, LOT)
}

/// Takes a token of the shared bucket `key`; without one, how long until there may be one, in nanoseconds. `clock` tells
/// the nanoseconds since the same moment as `now`.
pub(crate) async fn take(
    redis: &Arc<Redis>,
    tokens: &Arc<Tokens>,
    key: impl Fn() -> String,
    rate: Rate,
    now: u64,
    clock: impl Fn() -> u64 + Send + 'static,
) -> Result<(), u64> {
    let lease = &tokens.lease;
    match lease.known(rate, now) {
        Known::Taken | Known::Alone => return Ok(()),
        Known::Refused(wait) => return Err(wait),
        Known::Low => {
            if !lease.asking.swap(true, Ordering::AcqRel) {
                let (redis, tokens, key) = (Arc::clone(redis), Arc::clone(tokens), key());
                tokio::spawn(async move {
                    let lease = &tokens.lease;
                    let trip = lease.trip.lock().await;
                    let drawn = draw(&redis, &key, rate).await;
                    // Nothing more to be had is no news while something is in hand.
                    if drawn.as_ref().is_none_or(|drawn| drawn.granted > 0) {
                        lease.fill(drawn, clock());
                    }
                    lease.asking.store(false, Ordering::Release);
                    drop(trip);
                });
            }
            return Ok(());
        }
        Known::Ask => {}
    }
    // One trip at a time; whoever waited looks again.
    let _trip = lease.trip.lock().await;
    let now = clock();
    match lease.known(rate, now) {
        Known::Taken | Known::Low | Known::Alone => return Ok(()),
        Known::Refused(wait) => return Err(wait),
        Known::Ask => {}
    }
    let drawn = draw(redis, &key(), rate).await;
    let now = clock();
    lease.fill(drawn, now);
    match lease.known(rate, now) {
        Known::Refused(wait) => Err(wait),
        // Others may have taken the whole lot meanwhile: the next call asks again.
        Known::Ask => Err(rate.pause()),
        Known::Taken | Known::Low | Known::Alone => Ok(()),
    }
}

/// Boxed: the driver's future is large, and every call's would carry it.
fn draw<'a>(redis: &'a Redis, key: &'a str, rate: Rate) -> BoxFuture<'a, Option<Drawn>> {
    let pause = Duration::from_nanos(rate.pause());
    Box::pin(redis.draw(key, pause, rate.burst.max(1), lot(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_can_be_used_as_long_as_its_lot() {
        let (lease, rate) = (
            Lease::default(),
            Rate {
                per_second: 10,
                burst: 10,
            },
        );
        let lot = Drawn {
            granted: 1,
            wait: Duration::ZERO,
        };
        lease.put_back(5); // without a lot there is nothing to put it to
        lease.fill(Some(lot), 10);
        for _ in 0..3 {
            assert!(matches!(lease.known(rate, 11), Known::Low));
            lease.put_back(12);
        }
        lease.put_back(11 + LIFE);
        assert!(matches!(lease.known(rate, 11 + LIFE), Known::Ask));
    }
}

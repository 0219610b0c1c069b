//! A token bucket as one number (the generic cell rate algorithm): the time at which it would be full again. Taking a
//! token moves that time on by the pause between two; more than the burst ahead of now there is none.

use std::sync::atomic::{AtomicU64, Ordering};

use regard_types::CallerLimits;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens a second.
    pub(crate) per_second: u32,
    /// Tokens at most.
    pub(crate) burst: u32,
}

impl Rate {
    /// None for a rate of 0: no limit. A burst of 0 is one second's tokens.
    pub(crate) fn new(per_second: u32, burst: u32) -> Option<Self> {
        let burst = if burst == 0 { per_second } else { burst };
        (per_second > 0).then_some(Self { per_second, burst })
    }

    /// The caller's own limits where it has some, else these.
    pub(crate) fn or(own: CallerLimits, default: Option<Self>) -> Option<Self> {
        Self::new(own.per_second, own.burst).or(default)
    }

    /// Nanoseconds between two tokens, rounded up: never more than the rate.
    pub(crate) fn pause(self) -> u64 {
        SECOND.div_ceil(u64::from(self.per_second.max(1)))
    }

    fn depth(self) -> u64 {
        self.pause().saturating_mul(u64::from(self.burst.max(1)))
    }
}

/// Full at first. Times are nanoseconds since any fixed moment.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

impl Bucket {
    /// Takes one token; without one, how long until there is one, in nanoseconds.
    pub(crate) fn take(&self, rate: Rate, now: u64) -> Result<(), u64> {
        let end = now.saturating_add(rate.depth());
        let mut full = self.0.load(Ordering::Relaxed);
        loop {
            // It may have been emptied at a smaller rate: no more is owed than what it holds now. (A little more is: the
            // clock of a thread that was held up.)
            let owed = if full > end.saturating_add(SECOND) {
                end
            } else {
                full
            };
            let next = owed.max(now).saturating_add(rate.pause());
            let wait = next.saturating_sub(end);
            if wait > 0 && owed == full {
                return Err(wait);
            }
            let next = if wait > 0 { owed } else { next };
            match self
                .0
                .compare_exchange_weak(full, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) if wait > 0 => return Err(wait),
                Ok(_) => return Ok(()),
                Err(other) => full = other,
            }
        }
    }

    /// Puts back a token that was not used.
    pub(crate) fn put_back(&self, rate: Rate) {
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| {
                Some(full.saturating_sub(rate.pause()))
            });
    }

    /// Whether it is full: then it is as good as a new one.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A small generator of our own: the crate has no other use for one.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn no_window_holds_more_than_the_burst_and_the_rate() {
        for seed in 1..200_u64 {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let rate = Rate::new(
                u32::try_from(1 + random(&mut state) % 5_000).unwrap(),
                u32::try_from(1 + random(&mut state) % 100).unwrap(),
            )
            .unwrap();
            let (bucket, mut now, mut taken) = (Bucket::default(), SECOND, Vec::new());
            for _ in 0..600 {
                // Bursts, steady use and pauses.
                now += match random(&mut state) % 10 {
                    0..4 => 0,
                    4..9 => random(&mut state) % (rate.pause() * 2),
                    _ => random(&mut state) % SECOND,
                };
                match bucket.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        // Exactly then, and not a moment before.
                        assert!(bucket.take(rate, now + wait - 1).is_err());
                        if random(&mut state).is_multiple_of(4) {
                            now += wait;
                            bucket.take(rate, now).unwrap();
                            taken.push(now);
                        }
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let most = u64::from(rate.burst) + (to - from) / rate.pause();
                    assert!(
                        u64::try_from(last - first + 1).unwrap() <= most,
                        "{rate:?}: {} within {} ns, at most {most}",
                        last - first + 1,
                        to - from
                    );
                }
            }
        }
    }

    #[test]
    fn a_pause_fills_it_no_further_than_the_burst() {
        let rate = Rate::new(10, 5).unwrap();
        let bucket = Bucket::default();
        let take = |now| (0..50).filter(|_| bucket.take(rate, now).is_ok()).count();
        assert_eq!(take(SECOND), 5);
        assert!(!bucket.is_full(SECOND));
        assert_eq!(take(SECOND + SECOND / 10), 1);
        assert_eq!(take(3_600 * SECOND), 5);
        bucket.put_back(rate);
        assert_eq!(take(3_600 * SECOND), 1);
        assert!(bucket.is_full(3_602 * SECOND));
    }

    #[test]
    fn a_rate_that_is_raised_helps_at_once() {
        let (slow, quick) = (Rate::new(1, 3_600).unwrap(), Rate::new(1_000, 0).unwrap());
        let bucket = Bucket::default();
        while bucket.take(slow, SECOND).is_ok() {}
        assert_eq!(bucket.take(quick, SECOND), Err(quick.pause()));
        assert_eq!(bucket.take(quick, SECOND + quick.pause()), Ok(()));
    }

    #[test]
    fn threads_together_take_no_more() {
        let rate = Rate::new(1_000, 100).unwrap();
        let (bucket, taken) = (Bucket::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..10_000_u64 {
                        if bucket.take(rate, SECOND + step * 10_000).is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // 100 at once, and 100 ms at 1,000 a second.
        let taken = taken.into_inner();
        assert!((100..=200).contains(&taken), "{taken}");
    }

    #[test]
    fn own_limits_go_first() {
        let default = Rate::new(10, 0);
        assert_eq!(default.unwrap().burst, 10);
        assert_eq!(Rate::or(CallerLimits::default(), default), default);
        let own = CallerLimits {
            per_second: 3,
            burst: 7,
        };
        assert_eq!(Rate::or(own, default), Rate::new(3, 7));
        assert_eq!(Rate::new(0, 9), None);
    }
}

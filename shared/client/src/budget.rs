//! How many calls may be repeated: a share of those that succeed, so that repetition never multiplies the load of a
//! server that fails.

use std::sync::atomic::{AtomicI64, Ordering};

/// Thousandths that a repetition costs and a success earns: one repetition for ten successes in the long run.
const COST: i64 = 1_000;
const EARNED: i64 = 100;
/// What can be saved up: so many repetitions at once.
const MOST: i64 = 50 * COST;

/// Shared by all calls of a client.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(MOST))
    }

    /// A call succeeded.
    pub(crate) fn earn(&self) {
        // Full most of the time: then nothing is written, and no cache line travels.
        let now = self.0.load(Ordering::Relaxed);
        if now < MOST {
            self.0.fetch_add(EARNED.min(MOST - now), Ordering::Relaxed);
        }
    }

    /// Whether one more call may be repeated; if so, it is paid for.
    pub(crate) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now >= COST).then_some(now - COST)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_successes_is_repeated_in_the_long_run() {
        let budget = Budget::new();
        budget.earn();
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 50);
        let repeated = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(repeated.count(), 100);
    }
}

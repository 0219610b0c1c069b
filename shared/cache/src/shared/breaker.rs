use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failures in a row after which Redis is left alone for a while.
const LIMIT: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Leaves a failing server alone: after ten failures in a row nothing is asked for a second, then one
/// request probes. An answer closes the breaker.
pub(crate) struct Breaker {
    start: Instant,
    failures: AtomicU32,
    /// Milliseconds after start until which nothing is asked; 0: closed.
    open_until: AtomicU64,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            failures: AtomicU32::new(0),
            open_until: AtomicU64::new(0),
        }
    }

    /// May the server be asked?
    pub(crate) fn allows(&self) -> bool {
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let now = self.millis(Duration::ZERO);
        // Whoever moves the time on probes; the others keep away until it has an answer.
        now >= until
            && self
                .open_until
                .compare_exchange(
                    until,
                    self.millis(PAUSE),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok()
    }

    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Release);
        if self.open_until.swap(0, Ordering::AcqRel) != 0 {
            tracing::info!("Redis answers again");
        }
    }

    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        let failures = self
            .failures
            .fetch_add(1, Ordering::AcqRel)
            .saturating_add(1);
        if failures >= LIMIT && self.open_until.swap(self.millis(PAUSE), Ordering::AcqRel) == 0 {
            tracing::warn!(error = %why, "Redis fails: working without it, one probe a second");
        }
    }

    fn millis(&self, later: Duration) -> u64 {
        let millis = (self.start.elapsed() + later).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_open_it_one_probe_a_second_and_an_answer_closes_it() {
        let breaker = Breaker::new();
        for _ in 0..LIMIT {
            assert!(breaker.allows());
            breaker.failed(&"gone");
        }
        assert!(!breaker.allows());
        std::thread::sleep(PAUSE + Duration::from_millis(20));
        assert!(breaker.allows(), "the probe");
        assert!(!breaker.allows(), "only one");
        breaker.succeeded();
        assert!(breaker.allows() && breaker.allows());
        breaker.failed(&"once");
        assert!(breaker.allows(), "counted from nought again");
    }
}

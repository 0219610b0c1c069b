use std::sync::OnceLock;

use metrics::{Counter, Histogram};

/// `regard_cache_requests_total{cache, outcome}`, one a key asked for or set.
pub(crate) struct Count {
    cache: &'static str,
    /// Whether it lies outside of the process.
    trips: bool,
    counters: OnceLock<Counters>,
}

pub(crate) struct Counters {
    /// A read that was answered.
    pub(crate) hit: Counter,
    /// A read that was not.
    pub(crate) miss: Counter,
    /// The cache could not be reached, or did not answer in time.
    pub(crate) error: Counter,
    /// The cache was not asked: it failed too often, or lags behind.
    pub(crate) skipped: Counter,
    /// `regard_cache_trip_seconds{cache}`: to the cache and back. The process's own makes none.
    pub(crate) trip: Histogram,
}

impl Count {
    pub(crate) const fn new(cache: &'static str, trips: bool) -> Self {
        Self {
            cache,
            trips,
            counters: OnceLock::new(),
        }
    }

    /// The handles are taken at first use, when the process has installed its recorder.
    pub(crate) fn get(&self) -> &Counters {
        self.counters.get_or_init(|| {
            let cache = self.cache;
            let of = |outcome| metrics::counter!("regard_cache_requests_total", "cache" => cache, "outcome" => outcome);
            Counters {
                hit: of("hit"),
                miss: of("miss"),
                error: of("error"),
                skipped: of("skipped"),
                trip: if self.trips {
                    metrics::histogram!("regard_cache_trip_seconds", "cache" => cache)
                } else {
                    Histogram::noop()
                },
            }
        })
    }
}

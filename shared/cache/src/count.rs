use std::sync::OnceLock;

use metrics::Counter;

/// `regard_cache_requests_total{cache, outcome}`, one a key asked for or set.
pub(crate) struct Count {
    cache: &'static str,
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
}

impl Count {
    pub(crate) const fn new(cache: &'static str) -> Self {
        Self {
            cache,
            counters: OnceLock::new(),
        }
    }

    /// The handles are taken at first use, when the process has installed its recorder.
    pub(crate) fn get(&self) -> &Counters {
        self.counters.get_or_init(|| {
            let of = |outcome| metrics::counter!("regard_cache_requests_total", "cache" => self.cache, "outcome" => outcome);
            Counters { hit: of("hit"), miss: of("miss"), error: of("error"), skipped: of("skipped") }
        })
    }
}

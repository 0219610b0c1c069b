//! What the server takes in: rates by tenant and caller, calls in work, open streams, connections. Everything refused
//! here costs a few atomic steps, and says when to come again.

mod bucket;
mod buckets;
mod concurrency;
mod doors;
mod lease;
mod rates;
mod settings;
#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regard_cache::{Redis, RedisError};
use regard_types::Caller;
use tonic::{Code, Status};

use crate::status::refused_until;
pub(crate) use concurrency::Pace;
use concurrency::{Bounds, Concurrency};
pub(crate) use doors::Doors;
use rates::Rates;
pub use settings::LimitSettings;

/// What a call passes before it is worked on.
pub(crate) struct Gate {
    rates: Rates,
    concurrency: Concurrency,
    streams: AtomicUsize,
    streams_max: usize,
    started: Instant,
}

impl Gate {
    /// `paces` are those of all RPCs.
    pub(crate) fn new(
        settings: &LimitSettings,
        paces: Vec<Arc<Pace>>,
    ) -> Result<Arc<Self>, RedisError> {
        let redis = match settings.redis_url.as_str() {
            "" => None,
            url => {
                let cache = regard_cache::Settings {
                    answer: Duration::from_millis(settings.redis_answer_ms),
                    ..regard_cache::Settings::default()
                };
                Some(Arc::new(Redis::open(url, &cache)?))
            }
        };
        let bounds = Bounds {
            least: settings.concurrency_min,
            most: settings.concurrency_max,
            slack: settings.slack_ms.saturating_mul(1_000),
        };
        Ok(Arc::new(Self {
            rates: Rates::new(settings, redis),
            concurrency: Concurrency::new(bounds, paces),
            streams: AtomicUsize::new(0),
            streams_max: settings.streams_max,
            started: Instant::now(),
        }))
    }

    /// A place for a unary call, or the refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn call(self: &Arc<Self>, pace: &Arc<Pace>) -> Result<Place, Status> {
        match self.concurrency.enter() {
            Ok(()) => Ok(Place {
                gate: Arc::clone(self),
                pace: Some(Arc::clone(pace)),
            }),
            Err(limit) => {
                shed("calls");
                Err(too_many("too many requests are in work", limit))
            }
        }
    }

    /// A place for a stream, or the refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn stream(self: &Arc<Self>) -> Result<Place, Status> {
        if self.streams.fetch_add(1, Ordering::Relaxed) >= self.streams_max {
            self.streams.fetch_sub(1, Ordering::Relaxed);
            shed("streams");
            return Err(too_many("too many streams are open", self.streams_max));
        }
        Ok(Place {
            gate: Arc::clone(self),
            pace: None,
        })
    }

    /// Takes the call from the caller's and its tenant's rate, or refuses it until there is room again.
    pub(crate) async fn rate(&self, caller: &Caller) -> Result<(), Status> {
        self.rates.pass(caller).await.map_err(|over| {
            shed(over.scope);
            let limit = over.per_second.to_string();
            let text = match over.scope {
                "tenant" => "the tenant makes more calls than its rate allows; wait as long as RetryInfo says",
                _ => "the caller makes more calls than its rate allows; wait as long as RetryInfo says",
            };
            let meta = [("limit", limit.as_str()), ("scope", over.scope)];
            refused_until(Code::ResourceExhausted, "RATE_LIMITED", text, &meta, over.wait)
        })
    }

    /// Unary calls in work.
    pub(crate) fn in_work(&self) -> usize {
        self.concurrency.in_work()
    }

    /// Writes the limit and what is in use of it where figures are read.
    pub(crate) fn tell(&self) {
        let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        metrics::gauge!("regard_concurrency_limit").set(number(self.concurrency.limit()));
        metrics::gauge!("regard_calls_in_work").set(number(self.concurrency.in_work()));
        metrics::gauge!("regard_streams_open").set(number(self.streams.load(Ordering::Relaxed)));
    }
}

/// A call's place, until dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    /// None for a stream.
    pace: Option<Arc<Pace>>,
}

impl Place {
    /// The work is done, and took so long: the measure of how busy the server is.
    pub(crate) fn worked(&self, took: Duration) {
        if let Some(pace) = &self.pace {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let now = micros(self.gate.started.elapsed());
            self.gate.concurrency.note(pace, micros(took), now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.pace {
            Some(_) => self.gate.concurrency.leave(),
            None => {
                self.gate.streams.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn shed(scope: &'static str) {
    metrics::counter!("regard_refused_total", "scope" => scope).increment(1);
}

fn too_many(text: &str, limit: usize) -> Status {
    // Between 100 and 300 ms: those who were refused together shall not come again together.
    let spread = uuid::Uuid::new_v4().as_fields().0 % 200;
    let wait = Duration::from_millis(100 + u64::from(spread));
    let text = format!("{text}; try again as RetryInfo says");
    let limit = limit.to_string();
    let meta = [("limit", limit.as_str())];
    refused_until(
        Code::ResourceExhausted,
        "TOO_MANY_REQUESTS",
        text,
        &meta,
        wait,
    )
}

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
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regard_cache::{Redis, RedisError};
use regard_types::{Caller, TenantId};
use tonic::{Code, Status};

use crate::caller::is_server;
use crate::status::refused_until;
pub(crate) use bucket::{Bucket, Rate};
pub(crate) use concurrency::Pace;
use concurrency::{Bounds, Concurrency};
pub(crate) use doors::Doors;
use rates::Rates;
pub use settings::LimitSettings;
use streams::Streams;

/// What a call passes before it is worked on.
pub(crate) struct Gate {
    rates: Rates,
    concurrency: Concurrency,
    streams: Streams,
    /// Streams that anyone may open: they take no room from the others.
    public: AtomicUsize,
    public_max: usize,
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
            streams: Streams::new(settings.streams_max),
            public: AtomicUsize::new(0),
            public_max: settings.streams_max.div_ceil(4),
            started: Instant::now(),
        }))
    }

    /// A place for a unary call, or the refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn call(self: &Arc<Self>, pace: &Arc<Pace>) -> Result<Place, Status> {
        match self.concurrency.enter() {
            Ok(()) => Ok(self.place(Held::Call(Arc::clone(pace)))),
            Err(limit) => {
                shed("calls");
                Err(too_many("too many requests are in work", limit))
            }
        }
    }

    /// A place for a caller's stream (or for a call that waits on purpose), or the refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn stream(self: &Arc<Self>, caller: &Caller) -> Result<Place, Status> {
        let tenant = (!is_server(caller)).then_some(caller.tenant);
        match self.streams.enter(tenant) {
            Ok(()) => Ok(self.place(Held::Stream(tenant))),
            Err(limit) => {
                shed("streams");
                Err(too_many("too many streams are open", limit))
            }
        }
    }

    /// A place for a stream that anyone may open, or the refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn public(self: &Arc<Self>) -> Result<Place, Status> {
        if self.public.fetch_add(1, Ordering::Relaxed) >= self.public_max {
            self.public.fetch_sub(1, Ordering::Relaxed);
            return Err(public_streams(self.public_max));
        }
        Ok(self.place(Held::Public))
    }

    fn place(self: &Arc<Self>, held: Held) -> Place {
        Place {
            gate: Arc::clone(self),
            held,
        }
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
        metrics::gauge!("regard_streams_open").set(number(self.streams.open()));
    }

    /// Looks at the load even if no call ends: call it every second or so.
    pub(crate) fn look(&self) {
        self.concurrency.look(self.now());
    }

    /// Microseconds since the start.
    fn now(&self) -> u64 {
        micros(self.started.elapsed())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A call's place, until dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    held: Held,
}

/// What of the server's room.
enum Held {
    Call(Arc<Pace>),
    Stream(Option<TenantId>),
    Public,
}

impl Place {
    /// The work is done, and took so long: the measure of how busy the server is.
    pub(crate) fn worked(&self, took: Duration) {
        if let Held::Call(pace) = &self.held {
            let gate = &self.gate;
            gate.concurrency.note(pace, micros(took), gate.now());
        }
    }

    /// Nobody waits for the work any more after so long: it would have taken longer.
    pub(crate) fn given_up(&self, after: Duration) {
        if let Held::Call(pace) = &self.held {
            let gate = &self.gate;
            gate.concurrency
                .note_at_least(pace, micros(after), gate.now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.held {
            Held::Call(_) => self.gate.concurrency.leave(),
            Held::Stream(tenant) => self.gate.streams.leave(tenant),
            Held::Public => {
                self.gate.public.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn shed(scope: &'static str) {
    metrics::counter!("regard_refused_total", "scope" => scope).increment(1);
}

/// Too many streams that anyone may open, on the server or on one connection.
pub(crate) fn public_streams(limit: usize) -> Status {
    shed("public");
    too_many("too many streams of health and reflection are open", limit)
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

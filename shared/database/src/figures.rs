//! What a store tells of its transactions: how long callers wait for them, how long they stay open, how the pools are used.

use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Gauge, Histogram};
use regard_types::{Scope, Service, TRACE_TARGET};
use tracing::Span;

use crate::Database;
use crate::tx::Tx;

/// Which door a transaction came by.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    Read,
    Mutate,
    ReadSystem,
    System,
}

impl Door {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Mutate => "mutate",
            Self::ReadSystem => "read_system",
            Self::System => "system",
        }
    }
}

/// The handles of a store, taken at first use, when the process has installed its recorder.
pub(crate) struct Figures {
    store: Service,
    waiting: OnceLock<Gauge>,
    doors: [OnceLock<Times>; 4],
}

struct Times {
    wait: Histogram,
    open: Histogram,
}

impl Figures {
    pub fn new(store: Service) -> Self {
        Self {
            store,
            waiting: OnceLock::new(),
            doors: [const { OnceLock::new() }; 4],
        }
    }

    /// Somebody wants a transaction.
    pub fn wait(&self, door: Door) -> Waiting {
        let store = self.store.as_str();
        let gauge = self
            .waiting
            .get_or_init(|| metrics::gauge!("regard_store_waiting", "store" => store));
        gauge.increment(1.0);
        // There are as many doors as places.
        let times = self.doors.get(door as usize).map(|times| {
            let times = times.get_or_init(|| {
                let labels = [("store", store), ("door", door.name())];
                Times {
                    wait: metrics::histogram!("regard_store_wait_seconds", &labels),
                    open: metrics::histogram!("regard_store_transaction_seconds", &labels),
                }
            });
            (times.wait.clone(), times.open.clone())
        });
        let span = if Scope::sampled().is_some() {
            tracing::info_span!(
                target: TRACE_TARGET,
                "transaction",
                otel.kind = "client",
                store,
                door = door.name()
            )
        } else {
            Span::none()
        };
        Waiting {
            gauge: gauge.clone(),
            times,
            span,
            began: Instant::now(),
        }
    }
}

/// Until the transaction is open, or could not be had.
pub(crate) struct Waiting {
    gauge: Gauge,
    times: Option<(Histogram, Histogram)>,
    span: Span,
    began: Instant,
}

impl Waiting {
    /// The transaction is open: from here its own time counts.
    pub fn over(self, mut tx: Tx) -> Tx {
        if let Some((wait, open)) = &self.times {
            wait.record(self.began.elapsed());
            tx.opened = Some(Opened {
                histogram: open.clone(),
                began: Instant::now(),
                _span: self.span.clone(),
            });
        }
        tx
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// An open transaction; it ends with its commit, or when it is dropped.
pub(crate) struct Opened {
    histogram: Histogram,
    began: Instant,
    _span: Span,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.histogram.record(self.began.elapsed());
    }
}

impl Database {
    /// Tells how the pools are used now; call it every few seconds.
    pub fn tell_connections(&self) {
        let (open, idle) = self.connections();
        let store = self.service().as_str();
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        for (state, connections) in [("busy", open.saturating_sub(idle)), ("idle", idle)] {
            metrics::gauge!("regard_store_connections", "store" => store, "state" => state)
                .set(connections);
        }
    }
}

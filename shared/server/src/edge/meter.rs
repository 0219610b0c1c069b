//! Figures of each RPC. Handles are looked up once; a call that nobody waits for any more counts as cancelled.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};
use tonic::Code;
use tracing::Span;

use super::Edge;
use super::method::Method;

/// The handles of one RPC.
pub(crate) struct Meter {
    service: &'static str,
    method: &'static str,
    in_flight: OnceLock<Gauge>,
    /// By code, looked up when a code first occurs: most never do.
    done: [OnceLock<(Counter, Histogram)>; 17],
}

impl Meter {
    pub(crate) fn new(service: &'static str, method: &'static str) -> Self {
        Self {
            service,
            method,
            in_flight: OnceLock::new(),
            done: [const { OnceLock::new() }; 17],
        }
    }

    fn in_flight(&self) -> &Gauge {
        self.in_flight.get_or_init(
            || metrics::gauge!("regard_requests_in_flight", "service" => self.service, "method" => self.method),
        )
    }

    fn count(&self, code: Code, started: Instant) {
        let index = usize::try_from(i32::from(code)).unwrap_or(2);
        let Some(slot) = self.done.get(index) else {
            return;
        };
        let (total, seconds) = slot.get_or_init(|| {
            let labels = [
                ("service", self.service),
                ("method", self.method),
                ("code", name(code)),
            ];
            (
                metrics::counter!("regard_requests_total", &labels),
                metrics::histogram!("regard_request_seconds", &labels),
            )
        });
        total.increment(1);
        seconds.record(started.elapsed().as_secs_f64());
    }
}

/// One call from its arrival to the end of its answer.
pub(crate) struct Flight {
    edge: Arc<Edge>,
    method: Arc<Method>,
    span: Span,
    started: Instant,
    done: bool,
}

impl Flight {
    pub(crate) fn start(edge: &Arc<Edge>, method: &Arc<Method>) -> Self {
        let flight = Self {
            edge: Arc::clone(edge),
            method: Arc::clone(method),
            span: Span::none(),
            started: Instant::now(),
            done: false,
        };
        flight.open().fetch_add(1, Ordering::Relaxed);
        method.meter.in_flight().increment(1.0);
        flight
    }

    /// The span that it runs in from now on.
    pub(crate) fn enter(&mut self, span: Span) {
        self.span = span;
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    fn open(&self) -> &std::sync::atomic::AtomicUsize {
        if self.method.streaming {
            &self.edge.streams
        } else {
            &self.edge.calls
        }
    }

    /// Counts the call once, with its code.
    pub(crate) fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        self.method.meter.count(code, self.started);
        tracing::debug!(parent: &self.span, code = name(code), micros = self.started.elapsed().as_micros(), "answered");
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
        self.open().fetch_sub(1, Ordering::Relaxed);
        self.method.meter.in_flight().decrement(1.0);
    }
}

/// The canonical name of a code.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

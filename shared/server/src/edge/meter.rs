//! Figures of each RPC. Handles are looked up once; a call that nobody waits for any more counts as cancelled.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};
use regard_types::{Entered, Scope};
use tonic::Code;
use tracing::Span;
use tracing::span::EnteredSpan;

use super::method::Method;
use crate::limit::Place;
use crate::serve::{OpenCall, Unread};
use crate::telemetry;

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
    method: Arc<Method>,
    /// What it takes of the server's room, once admitted.
    place: Option<Place>,
    /// Its share in the connection.
    open: OpenCall,
    span: Span,
    scope: Option<Arc<Scope>>,
    started: Instant,
    done: bool,
}

impl Flight {
    pub(crate) fn start(method: &Arc<Method>, open: OpenCall) -> Self {
        let flight = Self {
            method: Arc::clone(method),
            place: None,
            open,
            span: Span::none(),
            scope: None,
            started: Instant::now(),
            done: false,
        };
        method.meter.in_flight().increment(1.0);
        flight
    }

    /// Cancelled when a server stream shall end: the connection leaves, or the server.
    pub(crate) fn leaving(&self) -> tokio_util::sync::CancellationToken {
        self.open.leaving()
    }

    /// Gives its place back before its end: it is not worked on.
    pub(crate) fn let_go(&mut self) {
        self.place = None;
    }

    /// The handler is done. Its answer is still to be sent, but that takes as long as its reader likes.
    pub(crate) fn worked(&mut self) {
        if let Some(place) = self.place.take() {
            place.worked(self.started.elapsed());
        }
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.open.peer()
    }

    /// It is a stream that anyone may open; false where the connection has too many of them.
    pub(crate) fn is_public(&mut self) -> bool {
        self.open.is_public()
    }

    /// Its reader has something to take, until that is dropped.
    pub(crate) fn unread(&self) -> Unread {
        self.open.unread()
    }

    /// Takes its place until it ends.
    pub(crate) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The span and the scope that it runs in from now on.
    pub(crate) fn enter(&mut self, span: Span, scope: Arc<Scope>) {
        self.span = span;
        self.scope = Some(scope);
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What this thread does until the guard is dropped is a part of the call.
    pub(crate) fn inside(&self) -> (Option<Entered>, EnteredSpan) {
        let scope = self.scope.as_ref().map(Scope::enter);
        (scope, self.span.clone().entered())
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Counts the call once, with its code.
    pub(crate) fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        self.method.meter.count(code, self.started);
        // Refusals take no time, whatever the load: what was worked on tells how busy the server is.
        if let Some(place) = &self.place {
            match code {
                Code::Ok => place.worked(self.started.elapsed()),
                Code::DeadlineExceeded | Code::Cancelled => {
                    place.given_up(self.started.elapsed());
                }
                _ => {}
            }
        }
        telemetry::ended(&self.span, code);
        if tracing::event_enabled!(tracing::Level::DEBUG) {
            // One that nobody waits for any more ends outside of its scope.
            let _scope = self.scope.as_ref().map(Scope::enter);
            tracing::debug!(
                service = self.method.service,
                method = self.method.name,
                code = name(code),
                micros = self.started.elapsed().as_micros(),
                "answered"
            );
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
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

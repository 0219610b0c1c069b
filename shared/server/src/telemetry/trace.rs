//! Traces: what a call brings along, the span that it gets here, and what goes on with what it caused.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use http::{HeaderMap, Request};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use regard_types::{Caller, Scope, TRACE_TARGET, Trace};
use tonic::Code;
use tonic::body::Body;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TRACING;
use crate::caller::is_server;
use crate::edge::Method;
use crate::limit::{Bucket, Rate};

/// Longest `tracestate` that is handed on, as W3C asks for at least.
const STATE: usize = 512;
/// Causes that one span names at most.
const LINKS: usize = 32;

/// A call as it begins.
pub(crate) struct Begun {
    /// None for a call that is not sampled.
    pub(crate) span: Span,
    pub(crate) scope: Arc<Scope>,
}

/// The call's span, if it is sampled, and its scope. The caller in the request's extensions learns of the trace. That it
/// shall be sampled is believed of a call that is allowed, and of so many a second; else chance decides.
pub(crate) fn begin(
    request: &mut Request<Body>,
    method: &Method,
    request_id: &Arc<str>,
    allowed: bool,
) -> Begun {
    let (parent, trace_state) = brought(request.headers());
    let (span, trace) = match TRACING.get() {
        // Whoever traces calls us as a part of theirs, even if we add nothing.
        None => (Span::none(), parent),
        Some(tracing) => {
            let chance = || rand::random::<f64>() < tracing.sample_ratio;
            let server = request.extensions().get::<Caller>().is_some_and(is_server);
            let sampled = match parent {
                Some(parent) if !parent.sampled() => false,
                Some(_) => server || (allowed && FORCED.take()) || chance(),
                None => chance(),
            };
            // What others are told is what was decided here.
            let parent = parent.map(|parent| Trace {
                flags: if sampled {
                    parent.flags
                } else {
                    parent.flags & !1
                },
                ..parent
            });
            let span = if sampled {
                let span = rpc(request, method, request_id);
                if let Some(parent) = parent {
                    let parent = context(parent, trace_state.as_deref());
                    let _ = span.set_parent(parent); // fails where nobody listens to spans
                }
                span
            } else {
                Span::none()
            };
            let own = position(&span);
            // That it is not sampled must be known downstream, too.
            (span, Some(own.or(parent).unwrap_or_else(unsampled)))
        }
    };
    let extensions = request.extensions_mut();
    let (tenant, caller) = match extensions.get_mut::<Caller>() {
        Some(caller) => {
            caller.trace = trace;
            (Arc::clone(&caller.tenant_name), Arc::clone(&caller.name))
        }
        None => Default::default(),
    };
    let scope = Arc::new(Scope {
        request_id: Arc::clone(request_id),
        tenant,
        caller,
        trace,
        trace_state,
    });
    Begun { span, scope }
}

/// Spans a second that callers' headers may force.
const MOST_FORCED: Rate = Rate {
    per_second: 100,
    burst: 100,
};

static FORCED: LazyLock<Forced> = LazyLock::new(Forced::new);

/// Counts forced spans.
struct Forced(Bucket, Instant);

impl Forced {
    fn new() -> Self {
        Self(Bucket::default(), Instant::now())
    }

    fn take(&self) -> bool {
        let now = u64::try_from(self.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.take(MOST_FORCED, now).is_ok()
    }
}

fn rpc(request: &Request<Body>, method: &Method, request_id: &str) -> Span {
    let caller = request.extensions().get::<Caller>();
    tracing::info_span!(
        target: TRACE_TARGET,
        "rpc",
        otel.name = %format_args!("{}/{}", method.service, method.name),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system = "grpc",
        rpc.service = method.service,
        rpc.method = method.name,
        rpc.grpc.status_code = tracing::field::Empty,
        request_id,
        regard.tenant = caller.map(|caller| &*caller.tenant_name),
        regard.caller = caller.map(|caller| &*caller.name),
    )
}

/// Notes how a call ended.
pub(crate) fn ended(span: &Span, code: Code) {
    if span.is_none() {
        return;
    }
    span.record("rpc.grpc.status_code", i32::from(code));
    // The caller's own mistakes are no errors of ours.
    if matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    ) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Does work that changes caused: in the span, as a child of the one cause, or linked to each of several (32 at most), so
/// that their traces go on. Causes whose spans are not kept count as none; without any there is no span.
pub async fn caused_by<F: Future>(
    causes: &[Trace],
    span: impl FnOnce() -> Span,
    work: F,
) -> F::Output {
    let mut causes = causes.iter().copied().filter(|cause| cause.sampled());
    let first = causes.next().filter(|_| TRACING.get().is_some());
    let Some(first) = first else {
        return work.await;
    };
    let span = span();
    let others: Vec<Trace> = causes.filter(|cause| *cause != first).collect();
    if others.iter().all(|other| other.id == first.id) {
        let _ = span.set_parent(context(first, None));
        link(&span, &others);
    } else {
        link(&span, &[first]);
        link(&span, &others);
    }
    let scope = Arc::new(Scope {
        trace: position(&span),
        ..Scope::default()
    });
    scope.run(work.instrument(span)).await
}

fn link(span: &Span, causes: &[Trace]) {
    for cause in causes.iter().take(LINKS) {
        span.add_link(remote(*cause, None));
    }
}

/// What the headers say: the position of whoever calls, and what others noted about the trace.
fn brought(headers: &HeaderMap) -> (Option<Trace>, Option<Arc<str>>) {
    let Some(parent) = headers.get("traceparent") else {
        return (None, None);
    };
    let trace = parent.to_str().ok().and_then(Trace::parse);
    // W3C: what belongs to a trace that cannot be read is not handed on.
    let state = trace.and_then(|_| {
        let parts: Vec<&str> = headers
            .get_all("tracestate")
            .iter()
            .filter_map(|part| part.to_str().ok())
            .collect();
        let whole = parts.join(",");
        ((1..=STATE).contains(&whole.len())).then(|| whole.into())
    });
    (trace, state)
}

/// A position that says: not sampled.
fn unsampled() -> Trace {
    Trace {
        id: rand::random::<u128>().max(1).to_be_bytes(),
        span: rand::random::<u64>().max(1).to_be_bytes(),
        flags: 0,
    }
}

fn remote(trace: Trace, state: Option<&str>) -> SpanContext {
    let state = state
        .and_then(|text| text.parse::<TraceState>().ok())
        .unwrap_or_default();
    SpanContext::new(
        TraceId::from_bytes(trace.id),
        SpanId::from_bytes(trace.span),
        TraceFlags::new(trace.flags),
        true,
        state,
    )
}

fn context(trace: Trace, state: Option<&str>) -> opentelemetry::Context {
    opentelemetry::Context::new().with_remote_span_context(remote(trace, state))
}

/// Where a span is; none for one that nobody listens to.
fn position(span: &Span) -> Option<Trace> {
    if span.is_none() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid().then(|| Trace {
        id: here.trace_id().to_bytes(),
        span: here.span_id().to_bytes(),
        flags: here.trace_flags().to_u8(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn headers_are_read_as_w3c_says() {
        let (trace, state) = brought(&headers(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1,b=2"),
            ("tracestate", "c=3"),
        ]));
        assert_eq!(trace.unwrap().to_string(), PARENT);
        assert_eq!(state.as_deref(), Some("a=1,b=2,c=3"));
        let bad = brought(&headers(&[("traceparent", "00-x"), ("tracestate", "a=1")]));
        assert!(bad.0.is_none() && bad.1.is_none());
        let long = "a=".to_owned() + &"x".repeat(600);
        let cut = brought(&headers(&[("traceparent", PARENT), ("tracestate", &long)]));
        assert!(cut.0.is_some() && cut.1.is_none());
    }

    #[test]
    fn spans_are_forced_so_often_and_no_more() {
        let (forced, began) = (Forced::new(), Instant::now());
        let taken = (0..1_000).filter(|_| forced.take()).count();
        let most = 100.0 * (1.0 + began.elapsed().as_secs_f64()) + 1.0;
        assert!((100..=most as usize).contains(&taken), "{taken}");
    }

    #[test]
    fn an_unsampled_position_is_valid() {
        let trace = unsampled();
        assert!(!trace.sampled());
        assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
    }
}

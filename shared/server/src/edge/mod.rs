//! What every call passes, in one place and in this order: request id and span, figures, limit, deadline, identity,
//! permission, the handler with its panics caught, and the answer's error as the contract wants it.

mod answer;
mod drain;
mod meter;
mod method;
mod request_id;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response};
use regard_types::{Caller, Fault};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::identity::{Ask, Found, Identity};
use crate::limit::Gate;
use crate::serve::{OpenCall, PeerCertificate};
use crate::status::{bare, fitting, status};
use crate::telemetry::{self, Begun};
use answer::Answer;
use drain::drain;
use meter::Flight;
pub use method::Unprotected;
pub(crate) use method::{Method, Methods};
use request_id::RequestId;

/// The edge of a server.
pub(crate) struct Edge {
    methods: Methods,
    identity: Identity,
    gate: Arc<Gate>,
    /// Longest time of a unary call.
    deadline: Duration,
}

impl Edge {
    pub(crate) fn new(
        methods: Methods,
        identity: Identity,
        gate: Arc<Gate>,
        deadline: Duration,
    ) -> Self {
        Self {
            methods,
            identity,
            gate,
            deadline,
        }
    }

    /// Answers one call; never an error, never a panic.
    pub(crate) async fn call(
        self: Arc<Self>,
        mut request: Request<Body>,
        trusted: Option<Arc<Caller>>,
        open: OpenCall,
    ) -> Response<Body> {
        let request_id = RequestId::of(request.headers());
        let method = Arc::clone(self.methods.of(request.uri().path()));
        let mut flight = Flight::start(&method, open);
        let trusted = trusted.as_deref();
        let mut admitted = self
            .admit(&mut request, trusted, &method, &request_id, &mut flight)
            .await;
        if admitted.is_ok()
            && let Some(caller) = request.extensions().get::<Caller>()
            && let Err(refusal) = self.gate.rate(caller).await
        {
            admitted = Err(refusal);
        }
        let Begun { span, scope } = telemetry::begin(&mut request, &method, &request_id.text);
        flight.enter(span.clone(), Arc::clone(&scope));
        let work = self.pass(request, admitted, method, request_id, flight);
        if span.is_none() {
            scope.run(work).await
        } else {
            scope.run(work.instrument(span)).await
        }
    }

    async fn pass(
        self: Arc<Self>,
        request: Request<Body>,
        admitted: Result<Admitted, Status>,
        method: Arc<Method>,
        request_id: RequestId,
        mut flight: Flight,
    ) -> Response<Body> {
        let (limit, deadline) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                flight.let_go();
                drain(request.into_body()).await;
                return refuse(refusal, &request_id, flight);
            }
        };
        let Some(route) = &method.route else {
            drain(request.into_body()).await;
            let text = "this server does not serve the RPC; check the address and the version";
            return refuse(
                bare(Code::Unimplemented, "NOT_SERVED", text, &[]),
                &request_id,
                flight,
            );
        };
        let work = AssertUnwindSafe(route.call(request)).catch_unwind();
        let done = match limit {
            None => Ok(work.await),
            Some(limit) => tokio::time::timeout(limit, work).await,
        };
        match done {
            Ok(Ok(Ok(response))) => self.answer(response, &method, request_id, deadline, flight),
            Ok(Err(panic)) => refuse(panicked(panic.as_ref(), &method), &request_id, flight),
            Err(_) => refuse(late(limit.unwrap_or_default()), &request_id, flight),
        }
    }

    /// Limit, deadline, identity and permission; the caller goes into the request.
    async fn admit(
        &self,
        request: &mut Request<Body>,
        trusted: Option<&Caller>,
        method: &Method,
        request_id: &RequestId,
        flight: &mut Flight,
    ) -> Result<Admitted, Status> {
        let asked = timeout(request.headers())?;
        if method.public || method.route.is_none() {
            return Ok((asked, None));
        }
        // Before anything that costs: most of what an overloaded server hears ends here.
        if method.streaming {
            flight.hold(self.gate.stream()?);
        } else if trusted.is_none() {
            flight.hold(self.gate.call(&method.pace)?);
        }
        let limit = if method.streaming {
            asked // an open stream has no other end than its caller's
        } else {
            Some(asked.map_or(self.deadline, |asked| asked.min(self.deadline)))
        };
        let deadline = limit.and_then(|limit| flight.started().checked_add(limit));
        let shown = request.extensions().get::<PeerCertificate>();
        let found = self.identity.find(request.headers(), shown, trusted);
        let known = match found.map_err(status)? {
            Found::Caller(caller) => caller,
            Found::Ask(ask) => self.ask(ask, limit).await?,
        };
        let caller = Caller {
            request_id: Arc::clone(&request_id.text),
            deadline,
            ..known
        };
        let may = caller.may(method.permission);
        request.extensions_mut().insert(caller);
        if !may {
            return Err(status(Fault::denied(method.permission)));
        }
        Ok((limit, deadline))
    }

    /// Looks a caller up, in bounded time; once in some seconds for each.
    async fn ask(&self, ask: Ask, limit: Option<Duration>) -> Result<Caller, Status> {
        let limit = limit.map_or(LOOK_UP, |limit| limit.min(LOOK_UP));
        let asked = Box::pin(self.identity.ask(ask));
        match tokio::time::timeout(limit, asked).await {
            Ok(caller) => caller.map_err(status),
            Err(_) => Err(late(limit)),
        }
    }

    /// The handler's answer: a bare status is set right here, a body is watched to its end.
    fn answer(
        &self,
        response: Response<Body>,
        method: &Method,
        request_id: RequestId,
        deadline: Option<Instant>,
        mut flight: Flight,
    ) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        match failed(&head.headers) {
            Some(failure) => refuse(failure, &request_id, flight),
            None if head.headers.contains_key(STATUS) => {
                flight.finish(Code::Ok);
                head.headers.insert(request_id::HEADER, request_id.value);
                Response::from_parts(head, body)
            }
            None => {
                let stop =
                    (method.server_streaming && !method.client_streaming).then(|| flight.leaving());
                head.headers
                    .insert(request_id::HEADER, request_id.value.clone());
                let deadline = deadline.filter(|_| method.streaming);
                Response::from_parts(
                    head,
                    Body::new(Answer::new(body, request_id, deadline, stop, flight)),
                )
            }
        }
    }
}

/// Longest time that looking a caller up may take.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long the call may take, and until when.
type Admitted = (Option<Duration>, Option<Instant>);

const STATUS: &str = "grpc-status";

/// The error that headers or trailers carry.
fn failed(headers: &HeaderMap) -> Option<Status> {
    let code = headers.get(STATUS)?;
    if code.as_bytes() == b"0" {
        None
    } else {
        Status::from_header_map(headers)
    }
}

/// Answers with an error alone.
fn refuse(failure: Status, request_id: &RequestId, mut flight: Flight) -> Response<Body> {
    let failure = published(failure, &request_id.text);
    flight.finish(failure.code());
    let mut response = failure.into_http();
    response
        .headers_mut()
        .insert(request_id::HEADER, request_id.value.clone());
    response
}

/// A handler's or the transport's error as the contract publishes it.
fn published(failure: Status, request_id: &str) -> Status {
    let failure = regard_proto::error::canonical(failure);
    match failure.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => {
            if failure.details().is_empty() {
                tracing::error!(
                    message = failure.message(),
                    "request failed without a fault"
                );
            }
            let text = format!("internal error; report it with the request id {request_id}");
            bare(
                Code::Internal,
                "INTERNAL",
                text,
                &[("request_id", request_id)],
            )
        }
        _ => fitting(failure),
    }
}

/// What a panic becomes: logged and counted here.
fn panicked(panic: &(dyn std::any::Any + Send), method: &Method) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no message"), "handler panicked");
    metrics::counter!("regard_panics_total", "service" => method.service, "method" => method.name)
        .increment(1);
    bare(Code::Internal, "INTERNAL", "internal error", &[])
}

fn late(limit: Duration) -> Status {
    let limit = limit.as_millis().to_string();
    let text = "the time limit of the call passed; the work was stopped and rolled back";
    bare(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        text,
        &[("limit_ms", &limit)],
    )
}

/// The caller's limit in `grpc-timeout`: up to 8 digits and a unit.
#[allow(clippy::result_large_err)]
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let plain =
            (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse::<u64>().ok().filter(|_| plain)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3_600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    });
    match parsed {
        Some(limit) => Ok(Some(limit)),
        None => Err(bare(
            Code::InvalidArgument,
            "MESSAGE_MALFORMED",
            "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
            &[],
        )),
    }
}

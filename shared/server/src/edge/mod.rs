//! What every call passes, in one place and in this order: request id and span, figures, limit, deadline, identity,
//! permission, the handler with its panics caught, and the answer's error as the contract wants it.

mod answer;
mod drain;
mod meter;
mod method;
mod request_id;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response};
use regard_types::{Caller, Fault, Scope};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::caller::is_server;
use crate::identity::{Ask, Found, Identity};
use crate::limit::{Gate, public_streams};
use crate::serve::{OpenCall, PUBLIC, PeerCertificate};
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
        // Whatever is logged belongs to the call; whose it is shows in a moment.
        let early = Scope {
            request_id: Arc::clone(&request_id.text),
            ..Scope::default()
        };
        let found = Arc::new(early)
            .run(self.identify(
                &mut request,
                trusted.as_deref(),
                &method,
                &request_id,
                &mut flight,
            ))
            .await;
        let caller = request.extensions().get::<Caller>().cloned();
        let allowed = caller
            .as_ref()
            .is_some_and(|caller| caller.may(method.permission));
        let Begun { span, scope } =
            telemetry::begin(&mut request, &method, &request_id.text, allowed);
        flight.enter(span.clone(), Arc::clone(&scope));
        let work = async move {
            let admitted = match (found, &caller) {
                (Ok(_), Some(_)) if !allowed => Err(status(Fault::denied(method.permission))),
                (Ok(limits), Some(caller)) => {
                    let admitted = self.admit(caller, &method, &mut flight).await;
                    admitted.map(|()| limits)
                }
                (found, _) => found,
            };
            self.pass(request, admitted, method, request_id, flight)
                .await
        };
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
        let done = match deadline {
            None => Ok(work.await),
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await,
        };
        match done {
            Ok(Ok(Ok(response))) => self.answer(response, &method, request_id, deadline, flight),
            Ok(Err(panic)) => refuse(panicked(panic.as_ref(), &method), &request_id, flight),
            Err(_) => refuse(late(limit.unwrap_or_default()), &request_id, flight),
        }
    }

    /// Room, deadline and identity; the caller goes into the request.
    async fn identify(
        &self,
        request: &mut Request<Body>,
        trusted: Option<&Caller>,
        method: &Method,
        request_id: &RequestId,
        flight: &mut Flight,
    ) -> Result<Admitted, Status> {
        let asked = timeout(request.headers())?;
        let until = |limit: Option<Duration>, flight: &Flight| {
            limit.and_then(|limit| flight.started().checked_add(limit))
        };
        if method.public || method.route.is_none() {
            if method.streaming {
                if !flight.is_public() {
                    return Err(public_streams(PUBLIC));
                }
                flight.hold(self.gate.public()?);
            }
            let limit = match (asked, method.longest) {
                (Some(asked), Some(longest)) => Some(asked.min(longest)),
                (asked, longest) => asked.or(longest),
            };
            return Ok((limit, until(limit, flight)));
        }
        let shown = request.extensions().get::<PeerCertificate>();
        // Before anything that costs: most of what an overloaded server hears ends here.
        if trusted.is_none() && !method.streaming && !method.waits {
            match self.gate.call(&method.pace) {
                Ok(place) => flight.hold(place),
                // Without their answers other servers would refuse all calls.
                Err(_) if method.internal && self.is_server(request.headers(), shown) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let limit = if method.streaming {
            asked // an open stream has no other end than its caller's
        } else {
            Some(asked.map_or(self.deadline, |asked| asked.min(self.deadline)))
        };
        let deadline = until(limit, flight);
        let found = self.identity.find(request.headers(), shown, trusted);
        let known = match found.map_err(status)? {
            Found::Caller(caller) => caller,
            Found::Ask(ask) => self.ask(ask, limit, flight.peer()).await?,
        };
        request.extensions_mut().insert(Caller {
            request_id: Arc::clone(&request_id.text),
            deadline,
            ..known
        });
        Ok((limit, deadline))
    }

    /// The caller's and its tenant's rate, and room for a stream.
    async fn admit(
        &self,
        caller: &Caller,
        method: &Method,
        flight: &mut Flight,
    ) -> Result<(), Status> {
        self.gate.rate(caller).await?;
        if method.streaming || method.waits {
            flight.hold(self.gate.stream(caller)?);
        }
        Ok(())
    }

    /// Whether a call is that of a server of the suite, as far as is known without asking.
    fn is_server(&self, headers: &HeaderMap, shown: Option<&PeerCertificate>) -> bool {
        let found = self.identity.find(headers, shown, None);
        matches!(found, Ok(Found::Caller(caller)) if is_server(&caller))
    }

    /// Looks a caller up, in bounded time; once in some seconds for each.
    async fn ask(
        &self,
        ask: Ask,
        limit: Option<Duration>,
        peer: Option<IpAddr>,
    ) -> Result<Caller, Status> {
        let limit = limit.map_or(LOOK_UP, |limit| limit.min(LOOK_UP));
        let asked = Box::pin(self.identity.ask(ask, peer));
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
                if !method.streaming {
                    flight.worked();
                }
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

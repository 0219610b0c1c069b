//! What every call gets on its way out: key, trace, deadline, and another attempt where that is safe.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use regard_proto::Method;
use regard_types::Scope;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

use crate::balance::{Balancer, Lost, Tried};
use crate::budget::Budget;
use crate::credential::Credential;
use crate::lent::{Lender, lend};
use crate::{Session, carry, failed, retry};

const TIMEOUT: &str = "grpc-timeout";
const TRACE: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";
const AGENT: &str = concat!("regard-client/", env!("CARGO_PKG_VERSION"));
/// What the server's own word about a deadline may take to arrive.
const LINGER: Duration = Duration::from_millis(100);
/// How often a call that no server has seen goes elsewhere at once; then it pauses as others do.
const ELSEWHERE: u32 = 5;

/// The way to the servers as the stubs use it.
#[derive(Debug, Clone)]
pub struct Transport {
    way: Way,
    credential: Credential,
    deadline: Option<Duration>,
    attempts: u32,
    budget: Arc<Budget>,
    session: Option<Arc<Session>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// One that is there already.
    Channel(Channel),
    Balancer(Balancer),
}

/// What is sent, as often as needed.
enum Load {
    /// A whole message.
    Frames(Bytes),
    /// A stream, as long as it is whole.
    Stream(Lender),
}

impl Transport {
    pub(crate) fn new(way: Way, credential: Credential, options: &crate::Options) -> Self {
        Self {
            way,
            credential,
            deadline: options.deadline,
            attempts: options.attempts.max(1),
            budget: Arc::new(Budget::new()),
            session: None,
        }
    }

    pub(crate) fn with_session(self, session: Arc<Session>) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    async fn send(self, mut request: Request<Body>) -> Response<Body> {
        if let Err(refused) = self.sign(&mut request) {
            return refused.into_http();
        }
        let method = regard_proto::method(request.uri().path());
        let unary = method.is_none_or(retry::repeatable);
        let limit = asked(&request).or(self.deadline.filter(|_| unary));
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let work = self.work(request, method, deadline);
        match deadline.filter(|_| unary) {
            None => work.await,
            Some(deadline) => {
                let done = tokio::time::timeout_at(deadline + LINGER, work).await;
                done.unwrap_or_else(|_| failed::late().into_http())
            }
        }
    }

    /// Who calls, and for which trace.
    fn sign(&self, request: &mut Request<Body>) -> Result<(), Status> {
        let headers = request.headers_mut();
        if !headers.contains_key(header::AUTHORIZATION)
            && let Some(value) = self.credential.header()?
        {
            headers.insert(header::AUTHORIZATION, value);
        }
        if !headers.contains_key(TRACE) {
            Scope::with(|scope| {
                let Some((scope, trace)) = scope.and_then(|s| Some((s, s.trace?))) else {
                    return;
                };
                if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
                    headers.insert(TRACE, value);
                }
                if let Some(Ok(state)) = scope.trace_state.as_deref().map(HeaderValue::from_str) {
                    headers.insert(TRACE_STATE, state);
                }
            });
        }
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        Ok(())
    }

    async fn work(
        &self,
        request: Request<Body>,
        method: Option<&Method>,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let (load, safe) = match method {
            Some(method) if !method.client_streaming => match body.collect().await {
                Ok(frames) => {
                    let mut frames = frames.to_bytes();
                    if let Some((session, field)) =
                        self.session.as_deref().zip(method.change_tokens)
                    {
                        frames = carry::ask(frames, field, session);
                    }
                    let safe = retry::repeatable(method) && retry::safe(method, &frames);
                    (Load::Frames(frames), safe)
                }
                // The message could not be encoded, or is too large.
                Err(failure) => return regard_proto::error::canonical(failure).into_http(),
            },
            _ => (Load::Stream(lend(body)), false),
        };
        let answer = self.attempt(&head, &load, safe, deadline).await;
        let unary = method.filter(|method| retry::repeatable(method));
        let named = self
            .session
            .as_deref()
            .zip(unary.and_then(|method| method.change_token));
        match named.filter(|_| failed::succeeds(answer.headers())) {
            Some((session, field)) => carry::note(answer, field, session).await,
            None => answer,
        }
    }

    /// Sends until there is an answer that stays.
    async fn attempt(
        &self,
        head: &Parts,
        load: &Load,
        safe: bool,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let mut tried = Tried::default();
        let (mut attempt, mut elsewhere) = (1, 0);
        loop {
            let sent = self.once(load.request(head), deadline, &mut tried).await;
            let (answer, wait) = match sent {
                Ok(response) => {
                    if failed::succeeds(response.headers()) {
                        self.budget.earn();
                        return response;
                    }
                    let wait = failed::again(response.headers()).filter(|_| safe);
                    (response, wait)
                }
                Err(lost) => {
                    let unsent = matches!(lost, Lost::Unsent(_) | Lost::Away(_)) && load.whole();
                    if unsent && matches!(lost, Lost::Unsent(_)) && elsewhere < ELSEWHERE {
                        elsewhere += 1;
                        continue;
                    }
                    let again = (unsent || safe) && !matches!(lost, Lost::Late);
                    let wait = again.then_some(Duration::ZERO);
                    (failed::status(&lost).into_http(), wait)
                }
            };
            let Some(wait) = wait.filter(|_| attempt < self.attempts && self.budget.spend()) else {
                return answer;
            };
            let pause = retry::pause(attempt).max(wait);
            if deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return answer;
            }
            tracing::debug!(
                path = head.uri.path(),
                attempt,
                pause_ms = pause.as_millis(),
                "trying again"
            );
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// One attempt, with what is left of the time.
    async fn once(
        &self,
        mut request: Request<Body>,
        deadline: Option<Instant>,
        tried: &mut Tried,
    ) -> Result<Response<Body>, Lost> {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            // At most 8 digits; a millisecond at least, so that the server's word is about this call.
            let millis = left.as_millis().clamp(1, 99_999_999);
            if let Ok(value) = HeaderValue::from_str(&format!("{millis}m")) {
                request.headers_mut().insert(TIMEOUT, value);
            }
        }
        match &self.way {
            Way::Balancer(balancer) => balancer.send(request, tried).await,
            Way::Channel(channel) => {
                let mut channel = channel.clone();
                let sent = async { channel.ready().await?.call(request).await };
                sent.await.map_err(|error| failed::lost(&error))
            }
        }
    }
}

impl Load {
    fn request(&self, head: &Parts) -> Request<Body> {
        let body = match self {
            Self::Frames(frames) => Body::new(
                Full::new(frames.clone()).map_err(|never: std::convert::Infallible| match never {}),
            ),
            Self::Stream(lender) => lender.body(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers.clone();
        *request.extensions_mut() = head.extensions.clone();
        request
    }

    /// Whether it can be sent once more.
    fn whole(&self) -> bool {
        match self {
            Self::Frames(_) => true,
            Self::Stream(lender) => lender.whole(),
        }
    }
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(())) // each attempt waits for a connection itself
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.send(request).await) })
    }
}

/// The limit that the call itself sets, as tonic writes it: digits and a unit.
fn asked(request: &Request<Body>) -> Option<Duration> {
    let text = request.headers().get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = number.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.checked_mul(3_600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

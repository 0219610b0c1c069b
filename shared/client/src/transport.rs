//! What every call gets on its way out: key, deadline, and another attempt where that is safe.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use regard_proto::common::v1::ErrorReason;
use regard_proto::error::with_reason;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _};

use crate::retry;

const TIMEOUT: &str = "grpc-timeout";
/// What the server's own word about a deadline may take to arrive.
const LINGER: Duration = Duration::from_millis(100);

/// The channel as the stubs use it.
#[derive(Debug, Clone)]
pub struct Transport {
    channel: Channel,
    key: Option<HeaderValue>,
    deadline: Option<Duration>,
    attempts: u32,
}

impl Transport {
    pub(crate) fn new(
        channel: Channel,
        key: Option<HeaderValue>,
        deadline: Option<Duration>,
        attempts: u32,
    ) -> Self {
        Self {
            channel,
            key,
            deadline,
            attempts: attempts.max(1),
        }
    }

    async fn send(self, mut request: Request<Body>) -> Response<Body> {
        if let Some(key) = &self.key
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, key.clone());
        }
        let method = regard_proto::method(request.uri().path());
        let unary = method.is_none_or(retry::repeatable);
        let limit = asked(&request).or(self.deadline.filter(|_| unary));
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let repeatable = method.filter(|_| unary && self.attempts > 1);
        let work = async {
            match repeatable {
                None => self.once(request, deadline).await,
                Some(method) => self.repeat(request, method, deadline).await,
            }
        };
        match deadline.filter(|_| unary) {
            None => work.await,
            Some(deadline) => {
                let done = tokio::time::timeout_at(deadline + LINGER, work).await;
                done.unwrap_or_else(|_| late().into_http())
            }
        }
    }

    async fn repeat(
        &self,
        request: Request<Body>,
        method: &regard_proto::Method,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let frames = match body.collect().await {
            Ok(frames) => frames.to_bytes(),
            // The message could not be encoded, or is too large.
            Err(failure) => return regard_proto::error::canonical(failure).into_http(),
        };
        let safe = retry::safe(method, &frames);
        let mut attempt = 1;
        loop {
            let mut again = Request::new(Body::new(
                Full::new(frames.clone()).map_err(|never: std::convert::Infallible| match never {}),
            ));
            *again.method_mut() = head.method.clone();
            *again.uri_mut() = head.uri.clone();
            *again.version_mut() = head.version;
            *again.headers_mut() = head.headers.clone();
            *again.extensions_mut() = head.extensions.clone();
            let response = self.once(again, deadline).await;
            if !safe || attempt >= self.attempts || !unavailable(&response) {
                return response;
            }
            let pause = retry::pause(attempt);
            if deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return response;
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
    async fn once(&self, mut request: Request<Body>, deadline: Option<Instant>) -> Response<Body> {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            // At most 8 digits; a millisecond at least, so that the server's word is about this call.
            let millis = left.as_millis().clamp(1, 99_999_999);
            if let Ok(value) = HeaderValue::from_str(&format!("{millis}m")) {
                request.headers_mut().insert(TIMEOUT, value);
            }
        }
        let mut channel = self.channel.clone();
        let sent = async { channel.ready().await?.call(request).await };
        match sent.await {
            Ok(response) => response,
            Err(error) => failed(&error).into_http(),
        }
    }
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(())) // each attempt waits for the channel itself
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.send(request).await) })
    }
}

fn unavailable(response: &Response<Body>) -> bool {
    response
        .headers()
        .get("grpc-status")
        .is_some_and(|code| code.as_bytes() == b"14")
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

/// A deadline that passed here is the same to the caller as one that passed there.
fn late() -> Status {
    let text = "the time limit of the call passed; the work is stopped and rolled back".to_owned();
    with_reason(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        text,
        HashMap::new(),
    )
}

/// What the channel says, as a status.
fn failed(error: &tonic::transport::Error) -> Status {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut text = String::new();
    while let Some(at) = cause {
        if at.is::<tonic::TimeoutExpired>() {
            return late();
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&at.to_string());
        cause = at.source();
    }
    Status::unavailable(regard_proto::error::clip(format!(
        "the server cannot be reached: {text}"
    )))
}

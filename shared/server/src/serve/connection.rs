//! One connection, over TCP or through memory, from its first byte to its orderly end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use regard_types::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service as _};

use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::edge::Edge;
use crate::service::BoxFuture;
use crate::settings::ServerSettings;

/// Streams at once on one connection; callers wait for more.
const STREAMS: u32 = 1_024;
/// How long a caller may take to say what it wants.
const HEADERS: Duration = Duration::from_secs(10);

/// What all connections of a server share.
pub(super) struct Host {
    pub(super) edge: Arc<Edge>,
    http: auto::Builder<TokioExecutor>,
    age: Option<Duration>,
    /// Asks connections to end when their calls are answered.
    pub(super) leave: CancellationToken,
    /// Ends connections now.
    pub(super) end: CancellationToken,
}

impl Host {
    pub(super) fn new(edge: Arc<Edge>, settings: &ServerSettings) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(settings.keepalive_ms))
            .keep_alive_timeout(Duration::from_millis(settings.keepalive_timeout_ms))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS);
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS);
        let age = (settings.max_connection_age_ms > 0)
            .then(|| Duration::from_millis(settings.max_connection_age_ms));
        Self {
            edge,
            http,
            age,
            leave: CancellationToken::new(),
            end: CancellationToken::new(),
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve<I>(self: Arc<Self>, stream: I, trusted: Option<Arc<Caller>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let edge = Arc::clone(&self.edge);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let call = Call {
                edge: Arc::clone(&edge),
                trusted: trusted.clone(),
            };
            async move { Ok::<_, Infallible>(call.answer(request.map(Body::new)).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut old = pin!(self.old());
        let mut asked = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "connection broke");
                    }
                    return;
                }
                () = &mut old, if !asked => asked = true,
                () = self.leave.cancelled(), if !asked => asked = true,
                () = self.end.cancelled() => return,
            }
            // Only a branch that asks for the end comes here.
            connection.as_mut().graceful_shutdown();
        }
    }

    /// Ends when a connection is old: a tenth more or less than the age, so that they do not all leave at once.
    async fn old(&self) {
        match self.age {
            None => std::future::pending().await,
            Some(age) => {
                let spread = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
                tokio::time::sleep(age.mul_f64(0.9 + 0.2 * spread)).await;
            }
        }
    }
}

/// A call on its way to the edge.
#[derive(Clone)]
struct Call {
    edge: Arc<Edge>,
    trusted: Option<Arc<Caller>>,
}

impl Call {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let web = request.version() != http::Version::HTTP_2
            || request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"));
        if web {
            return match GrpcWebLayer::new().layer(self).call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        self.edge.call(request, self.trusted).await
    }
}

impl tower::Service<Request<Body>> for Call {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move { Ok(call.edge.call(request, call.trusted).await) })
    }
}

//! One connection, over TCP or through memory, from its first byte to its orderly end.

use std::convert::Infallible;
use std::net::IpAddr;
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

use super::guard::Guard;
use super::tls::{PeerCertificate, Tls};
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::edge::Edge;
use crate::service::BoxFuture;
use crate::settings::ServerSettings;

/// How long a caller may take to say what it wants.
const HEADERS: Duration = Duration::from_secs(10);

/// How long the streams of an old connection may take to end, and all calls of one that does not read.
const POLITE: Duration = Duration::from_secs(1);
const OTHERS: Duration = Duration::from_secs(5);

/// What all connections of a server share.
pub(super) struct Host {
    pub(super) edge: Arc<Edge>,
    http: auto::Builder<TokioExecutor>,
    age: Option<Duration>,
    /// How long calls may go on after that.
    age_grace: Option<Duration>,
    /// How long a connection may be without a first call, and without any later.
    unused: Option<(Duration, Duration)>,
    /// How long what is answered may stay unread.
    unread: Option<Duration>,
    /// Cancelled when open server streams shall end.
    pub(super) stopping: CancellationToken,
    /// Ends accepting.
    pub(super) close: CancellationToken,
    /// Asks connections to end when their calls are answered.
    pub(super) leave: CancellationToken,
    /// Ends connections now.
    pub(super) end: CancellationToken,
}

impl Host {
    /// For connections from elsewhere.
    pub(super) fn new(edge: Arc<Edge>, settings: &ServerSettings) -> Self {
        let limits = &settings.limits;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(settings.keepalive_ms))
            .keep_alive_timeout(Duration::from_millis(settings.keepalive_timeout_ms))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(limits.streams_per_connection)
            .max_header_list_size(limits.header_bytes);
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS);
        let age = (settings.max_connection_age_ms > 0)
            .then(|| Duration::from_millis(settings.max_connection_age_ms));
        let age_grace = (settings.max_connection_age_grace_ms > 0)
            .then(|| Duration::from_millis(settings.max_connection_age_grace_ms));
        let unused = (
            Duration::from_millis(limits.first_call_ms),
            Duration::from_millis(limits.idle_ms),
        );
        Self {
            edge,
            http,
            age,
            age_grace,
            unused: Some(unused),
            unread: Some(Duration::from_millis(limits.unread_ms)),
            stopping: CancellationToken::new(),
            close: CancellationToken::new(),
            leave: CancellationToken::new(),
            end: CancellationToken::new(),
        }
    }

    /// For connections through memory: they may stay, used or not.
    pub(super) fn local(edge: Arc<Edge>, settings: &ServerSettings) -> Self {
        Self {
            age: None,
            unused: None,
            unread: None,
            ..Self::new(edge, settings)
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve<I>(
        self: Arc<Self>,
        stream: I,
        (trusted, certificate): (Option<Arc<Caller>>, Option<PeerCertificate>),
        peer: Option<IpAddr>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let edge = Arc::clone(&self.edge);
        let guard = Guard::new(self.stopping.child_token(), peer);
        let calls = Arc::clone(&guard);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let call = Call {
                edge: Arc::clone(&edge),
                trusted: trusted.clone(),
                guard: Arc::clone(&calls),
            };
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            async move { Ok::<_, Infallible>(call.answer(request.map(Body::new)).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let age = self.age.map(spread);
        let mut old = pin!(after(age));
        let mut unused = pin!(self.unused(&guard));
        let mut over = pin!(self.over(age, &guard));
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
                () = &mut unused, if !asked => {
                    asked = true;
                    guard.leave(); // streams of health are no use of it
                }
                () = guard.left(), if !asked => asked = true,
                () = &mut over => return,
                () = self.leave.cancelled(), if !asked => asked = true,
                () = self.end.cancelled() => return,
            }
            // Only a branch that asks for the end comes here.
            connection.as_mut().graceful_shutdown();
        }
    }

    /// Agrees on keys first, then as [`Host::serve`].
    pub(super) async fn serve_tls<I>(self: Arc<Self>, stream: I, tls: Arc<Tls>, peer: IpAddr)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let agreed = tokio::select! {
            agreed = tls.accept(stream) => agreed,
            () = self.leave.cancelled() => return, // nothing was asked yet
            () = self.end.cancelled() => return,
        };
        match agreed {
            Ok((stream, certificate)) => {
                self.serve(stream, (None, certificate), Some(peer)).await;
            }
            Err(error) => {
                metrics::counter!("regard_tls_refused_total").increment(1);
                tracing::debug!(%error, "no TLS with a caller");
            }
        }
    }

    /// Ends when a connection makes no calls.
    async fn unused(&self, guard: &Guard) {
        match self.unused {
            None => std::future::pending().await,
            Some((first, idle)) => guard.unused(first, idle).await,
        }
    }

    /// Ends when an old connection has had its grace, or one does not read its answers; and its calls the time to end.
    async fn over(&self, age: Option<Duration>, guard: &Guard) {
        let both = age.zip(self.age_grace);
        let stalled = async {
            match self.unread {
                None => std::future::pending().await,
                Some(longest) => guard.stalled(longest).await,
            }
        };
        let polite = tokio::select! {
            () = after(both.map(|(age, grace)| age + grace)) => POLITE,
            // Whoever else is behind the connection (a proxy) may read.
            () = stalled => OTHERS,
        };
        guard.leave();
        tokio::time::sleep(polite).await;
    }
}

/// A tenth more or less, so that connections of one moment do not all leave at once.
fn spread(age: Duration) -> Duration {
    let spread = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    age.mul_f64(0.9 + 0.2 * spread)
}

async fn after(time: Option<Duration>) {
    match time {
        None => std::future::pending().await,
        Some(time) => tokio::time::sleep(time).await,
    }
}

/// A call on its way to the edge.
#[derive(Clone)]
struct Call {
    edge: Arc<Edge>,
    trusted: Option<Arc<Caller>>,
    guard: Arc<Guard>,
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
        self.edge
            .call(request, self.trusted, self.guard.call())
            .await
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
        let open = call.guard.call();
        Box::pin(async move { Ok(call.edge.call(request, call.trusted, open).await) })
    }
}

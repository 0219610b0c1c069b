//! A server from its start to its bounded end.

mod accept;
mod bare;
mod connection;
mod guard;
mod health;
mod job;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic_health::server::HealthReporter;

use crate::edge::{Edge, Methods, Unprotected};
use crate::identity::Identity;
use crate::limit::{Doors, Gate, LimitSettings};
use crate::pipe::{Knock, Pipe};
use crate::service::{BoxFuture, Grpc, Service};
use crate::settings::{ServerSettings, SettingsError};
use crate::telemetry;
use accept::Accept;
pub use bare::serve_bare;
use connection::Host;
pub(crate) use guard::{OpenCall, PUBLIC, Unread};
use health::Watched;
use job::Jobs;
use tls::Tls;
pub use tls::{PeerCertificate, TlsError};

/// HTTP/2 windows: batches of some megabytes must not wait for window updates.
pub(crate) const STREAM_WINDOW: u32 = 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings out of bounds.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingsError>),
    /// A service that must not be served.
    #[error(transparent)]
    Unprotected(#[from] Unprotected),
    /// Certificates that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The Redis that replicas share their limits through.
    #[error("limits: {0}")]
    Redis(#[from] regard_cache::RedisError),
    /// An address that cannot be taken.
    #[error("cannot listen on {address}: {source}; is another server running there?")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The pipe is served by another server.
    #[error("the pipe is served already")]
    Pipe,
    /// The descriptors of the contract cannot be read.
    #[error("the descriptors for reflection cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A server that runs. Dropping it ends everything at once; [`Running::stop`] ends it in order.
pub struct Running {
    address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    gate: Arc<Gate>,
    /// Connections from elsewhere.
    far: Accept,
    /// Connections within the process: jobs still need them when nobody else is served any more.
    near: Accept,
    /// Listening.
    doors: JoinSet<()>,
    /// Figures, and what comes through memory.
    own: JoinSet<()>,
    /// Asks services whether they are ready.
    health: JoinSet<()>,
    jobs: Jobs,
    closing: Vec<BoxFuture<()>>,
    reporter: HealthReporter,
    names: Vec<&'static str>,
    stop_delay: Duration,
    grace: Duration,
    hand_back: Duration,
}

/// How long the last connections that were taken in may take to their first bytes.
const SETTLE: Duration = Duration::from_millis(50);
/// How long a stream that is asked to end, and a connection that is cut, may take.
const POLITE: Duration = Duration::from_millis(500);
/// Longest time that services may take to close, such as their databases.
const CLOSE: Duration = Duration::from_secs(10);

impl Running {
    /// Starts to serve.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(
        services: Vec<Service>,
        settings: &ServerSettings,
        identity: Identity,
        pipe: &Pipe,
    ) -> Result<Self, ServeError> {
        settings.check("server").map_err(ServeError::Settings)?;
        let metrics = listen(&settings.metrics_listen).await?;
        if metrics.is_some() {
            telemetry::collect_figures();
        }
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut grpc = Grpc::new().with(health);
        for service in &services {
            grpc.routes.extend(service.grpc.routes.clone());
        }
        if settings.reflection {
            grpc = reflected(grpc)?;
        }
        let methods = Methods::new(&grpc)?;
        let gate = Gate::new(&settings.limits, methods.paces())?;
        let deadline = Duration::from_millis(settings.deadline_ms);
        let directory = services
            .iter()
            .find_map(|service| service.directory.clone());
        let identity = identity.with_directory(directory);
        let edge = Arc::new(Edge::new(methods, identity, Arc::clone(&gate), deadline));
        let tls = settings
            .tls
            .is_set()
            .then(|| Tls::open(&settings.tls))
            .transpose()?;
        let listener = listen(&settings.listen).await?;
        let door = pipe.door().ok_or(ServeError::Pipe)?;
        let local =
            |listener: &Option<TcpListener>| listener.as_ref().and_then(|l| l.local_addr().ok());
        let mut running = Self {
            address: local(&listener),
            metrics_address: local(&metrics),
            gate,
            far: Accept::new(Host::new(Arc::clone(&edge), settings)),
            near: Accept::new(Host::local(edge, settings)),
            doors: JoinSet::new(),
            own: JoinSet::new(),
            health: JoinSet::new(),
            jobs: Jobs::default(),
            closing: Vec::new(),
            reporter,
            names: services
                .iter()
                .flat_map(|s| s.grpc.names().chain([s.name]))
                .collect(),
            stop_delay: Duration::from_millis(settings.stop_delay_ms),
            grace: Duration::from_millis(settings.grace_ms),
            hand_back: Duration::from_millis(settings.hand_back_ms),
        };
        if let Some(listener) = listener {
            running.listen(listener, tls, &settings.limits);
        }
        if let Some(listener) = metrics {
            running.own.spawn(telemetry::serve_figures(listener));
        }
        let ready = Duration::from_millis(settings.ready_ms);
        running.run(services, door, ready);
        Ok(running)
    }

    fn listen(
        &mut self,
        listener: TcpListener,
        tls: Option<(Arc<Tls>, tls::Follow)>,
        limits: &LimitSettings,
    ) {
        let (tls, follow) = tls.unzip();
        if let Some(follow) = follow {
            self.own.spawn(follow.run());
        }
        let accept = self.far.clone().tcp(listener, tls, Doors::new(limits));
        self.doors.spawn(accept);
    }

    fn run(&mut self, services: Vec<Service>, door: mpsc::Receiver<Knock>, ready: Duration) {
        let watched = services.iter().map(Watched::of).collect();
        self.health
            .spawn(health::watch(self.reporter.clone(), watched, ready));
        self.own.spawn(self.near.clone().pipe(door));
        let gate = Arc::clone(&self.gate);
        self.own.spawn(async move {
            loop {
                gate.look();
                gate.tell();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        for service in services {
            for job in service.jobs {
                self.jobs.start(job);
            }
            self.closing.push(service.close);
        }
    }

    /// Where gRPC listens; none without a listener.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the page of figures is.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Ends in order, and in bounded time: NOT_SERVING; the delay for balancers; no new connections, and old ones asked to
    /// leave; calls drained for the grace while jobs still run; watching streams ended and jobs asked to hand back; the
    /// rest cut; services closed. True if nothing had to be cut.
    pub async fn stop(mut self) -> bool {
        // Nobody may say again that it serves.
        self.health.shutdown().await;
        health::leave(&self.reporter, &self.names).await;
        if !self.stop_delay.is_zero() {
            tokio::time::sleep(self.stop_delay).await;
        }
        self.far.host.close.cancel();
        // What was taken in a moment ago gets to its first bytes: asked to leave before them it would end without a word.
        tokio::time::sleep(SETTLE).await;
        self.doors.shutdown().await;
        let grace = tokio::time::Instant::now() + self.grace;
        self.far.host.leave.cancel();
        self.far.connections.close();
        self.calls_end(grace).await;
        let jobs = std::mem::take(&mut self.jobs);
        let hand_back = jobs.stop(self.hand_back);
        self.far.host.stopping.cancel();
        // Streams get a moment to say so, even where the calls have used up the grace.
        let polite = grace.max(tokio::time::Instant::now() + POLITE);
        let (handed_back, far) = tokio::join!(hand_back, self.far.end(polite));
        self.near.host.stopping.cancel();
        self.near.host.leave.cancel();
        self.own.shutdown().await;
        self.near.connections.close();
        let near = self
            .near
            .end(grace.max(tokio::time::Instant::now() + POLITE))
            .await;
        let closing = futures::future::join_all(std::mem::take(&mut self.closing));
        if tokio::time::timeout(CLOSE, closing).await.is_err() {
            tracing::warn!("services did not close in time");
        }
        handed_back && far && near
    }

    /// Waits until no unary call is in work, or until then.
    async fn calls_end(&self, until: tokio::time::Instant) {
        while self.gate.in_work() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for side in [&self.far, &self.near] {
            side.host.stopping.cancel();
            side.host.end.cancel();
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

/// Serves until `stop` ends, then stops in order.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    services: Vec<Service>,
    settings: &ServerSettings,
    identity: Identity,
    pipe: &Pipe,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let running = Running::start(services, settings, identity, pipe).await?;
    if let Some(address) = running.address() {
        tracing::info!(%address, "serving");
    }
    stop.await;
    tracing::info!("stopping");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Ends at SIGTERM or SIGINT.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
                return;
            }
            Err(error) => tracing::warn!(%error, "cannot wait for SIGTERM"),
        }
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "cannot wait for an interrupt: stop the process by other means");
        std::future::pending::<()>().await;
    }
}

async fn listen(address: &str) -> Result<Option<TcpListener>, ServeError> {
    if address.is_empty() {
        return Ok(None);
    }
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| ServeError::Listen {
        address: address.to_owned(),
        source,
    })
}

/// Adds reflection, old and new, of what is served.
fn reflected(grpc: Grpc) -> Result<Grpc, tonic_reflection::server::Error> {
    let names = grpc.names().collect::<Vec<_>>();
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(regard_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        names
            .iter()
            .fold(builder, |builder, name| builder.with_service_name(*name))
    };
    Ok(grpc
        .with(builder().build_v1()?)
        .with(builder().build_v1alpha()?))
}

//! A server from its start to its bounded end.

mod connection;
mod health;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::server::HealthReporter;

use crate::edge::{Edge, Limits, Unprotected};
use crate::figures;
use crate::identity::Identity;
use crate::pipe::{Knock, Pipe};
use crate::service::{Grpc, Job, Service};
use crate::settings::{ServerSettings, SettingsError};
use connection::Host;
use health::Watched;

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
    host: Arc<Host>,
    stopping: CancellationToken,
    connections: TaskTracker,
    /// Accepting, health, figures.
    own: JoinSet<()>,
    jobs: JoinSet<()>,
    reporter: HealthReporter,
    names: Vec<&'static str>,
    stop_delay: Duration,
    grace: Duration,
}

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
            figures::collect_figures();
        }
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut grpc = Grpc::new().with(health);
        for service in &services {
            grpc.routes.extend(service.grpc.routes.clone());
        }
        if settings.reflection {
            grpc = reflected(grpc)?;
        }
        let stopping = CancellationToken::new();
        let limits = Limits {
            deadline: Duration::from_millis(settings.deadline_ms),
            calls: settings.max_calls,
            streams: settings.max_streams,
        };
        let edge = Arc::new(Edge::new(&grpc, identity, limits, stopping.clone())?);
        let listener = listen(&settings.listen).await?;
        let door = pipe.door().ok_or(ServeError::Pipe)?;
        let local =
            |listener: &Option<TcpListener>| listener.as_ref().and_then(|l| l.local_addr().ok());
        let mut running = Self {
            address: local(&listener),
            metrics_address: local(&metrics),
            host: Arc::new(Host::new(edge, settings)),
            stopping,
            connections: TaskTracker::new(),
            own: JoinSet::new(),
            jobs: JoinSet::new(),
            reporter,
            names: services
                .iter()
                .flat_map(|s| s.grpc.names().chain([s.name]))
                .collect(),
            stop_delay: Duration::from_millis(settings.stop_delay_ms),
            grace: Duration::from_millis(settings.grace_ms),
        };
        running.run(
            services,
            listener,
            metrics,
            door,
            Duration::from_millis(settings.ready_ms),
        );
        Ok(running)
    }

    fn run(
        &mut self,
        services: Vec<Service>,
        listener: Option<TcpListener>,
        metrics: Option<TcpListener>,
        door: mpsc::Receiver<Knock>,
        ready: Duration,
    ) {
        let watched = services.iter().map(Watched::of).collect();
        self.own
            .spawn(health::watch(self.reporter.clone(), watched, ready));
        if let Some(listener) = metrics {
            self.own.spawn(figures::serve(listener));
        }
        let accept = Accept {
            host: Arc::clone(&self.host),
            connections: self.connections.clone(),
        };
        if let Some(listener) = listener {
            self.own.spawn(accept.clone().tcp(listener));
        }
        self.own.spawn(accept.pipe(door));
        for job in services.into_iter().flat_map(|service| service.jobs) {
            self.jobs.spawn(run_job(job));
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

    /// Ends in order and in bounded time: NOT_SERVING, the delay for balancers, no new connections, jobs dropped, watching
    /// streams ended, calls drained for the grace, and then the rest cut. True if nothing had to be cut.
    pub async fn stop(mut self) -> bool {
        health::leave(&self.reporter, &self.names).await;
        if !self.stop_delay.is_zero() {
            tokio::time::sleep(self.stop_delay).await;
        }
        self.own.shutdown().await;
        self.jobs.shutdown().await;
        self.stopping.cancel();
        self.host.leave.cancel();
        self.connections.close();
        let drained = tokio::time::timeout(self.grace, self.connections.wait())
            .await
            .is_ok();
        if !drained {
            tracing::warn!(
                connections = self.connections.len(),
                "calls still open after the grace are cut"
            );
            self.host.end.cancel();
            // Dropping a connection takes no time; a task that hangs nevertheless must not keep the process.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.connections.wait()).await;
        }
        drained
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.host.end.cancel();
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

/// Takes connections in.
#[derive(Clone)]
struct Accept {
    host: Arc<Host>,
    connections: TaskTracker,
}

impl Accept {
    async fn tcp(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers must not wait for more to send; a socket that refuses is about to break anyway.
                    let _ = stream.set_nodelay(true);
                    self.take(stream, None);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors, most likely
                }
            }
        }
    }

    async fn pipe(self, mut door: mpsc::Receiver<Knock>) {
        while let Some(Knock { stream, trusted }) = door.recv().await {
            self.take(stream, trusted);
        }
    }

    fn take<I>(&self, stream: I, trusted: Option<Arc<regard_types::Caller>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.connections
            .spawn(Arc::clone(&self.host).serve(stream, trusted));
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

async fn run_job(job: Job) {
    use futures::FutureExt as _;
    if std::panic::AssertUnwindSafe(job.run)
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!(job = job.name, "job panicked and is over");
        metrics::counter!("regard_job_panics_total", "job" => job.name).increment(1);
    }
}

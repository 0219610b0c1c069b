//! What a service hands to the server: its RPCs, its jobs, and how to ask whether it is ready.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use regard_types::{Clock, IdSecret};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;

use crate::identity::Directory;

/// A future without borrowed parts.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What every service of a process gets.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The clock.
    pub clock: Clock,
    /// The secret from which ids follow.
    pub ids: IdSecret,
}

/// A service as the server runs it.
pub struct Service {
    /// Its name: `customer`, `feedback` or `scoring`.
    pub name: &'static str,
    /// Its RPCs.
    pub grpc: Grpc,
    /// What runs by itself while it is served.
    pub jobs: Vec<Job>,
    /// Whether it can answer now; the error says what is away.
    pub ready: Ready,
    /// What is left to do when nothing of it runs any more.
    pub close: BoxFuture<()>,
    /// What it knows of callers: the customer service alone has it.
    pub directory: Option<Arc<dyn Directory>>,
}

/// Asks a service whether it can answer.
pub type Ready = Arc<dyn Fn() -> BoxFuture<Result<(), String>> + Send + Sync>;

impl Service {
    /// A service without jobs that is always ready.
    #[must_use]
    pub fn new(name: &'static str, grpc: Grpc) -> Self {
        Self {
            name,
            grpc,
            jobs: Vec::new(),
            ready: Arc::new(|| Box::pin(async { Ok(()) })),
            close: Box::pin(async {}),
            directory: None,
        }
    }

    /// Adds a job.
    #[must_use]
    pub fn job(mut self, job: Job) -> Self {
        self.jobs.push(job);
        self
    }

    /// Says where API keys, roles and limits are kept: the server's callers are known by it.
    #[must_use]
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Says how to ask whether it is ready.
    #[must_use]
    pub fn ready<F, W>(mut self, ready: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.ready = Arc::new(move || Box::pin(ready()));
        self
    }
}

impl Service {
    /// Says what is left to do, such as closing its database, when its calls and jobs have ended.
    #[must_use]
    pub fn close(mut self, close: impl Future<Output = ()> + Send + 'static) -> Self {
        self.close = Box::pin(close);
        self
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("grpc", &self.grpc)
            .finish_non_exhaustive()
    }
}

/// Work that runs by itself until the server stops; then it is dropped wherever it waits, so its transactions roll back,
/// or, made by [`Job::handing_back`], ends by itself.
pub struct Job {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// Makes the work, which ends soon after the token is cancelled.
    pub(crate) run: Box<dyn FnOnce(CancellationToken) -> BoxFuture<()> + Send>,
}

/// First and longest pause before a job that panicked is started again.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Job {
    /// Work that is done once.
    pub fn new(name: &'static str, run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            name,
            run: Box::new(move |stop| {
                Box::pin(async move {
                    tokio::select! {
                        () = run => {}
                        () = stop.cancelled() => {}
                    }
                })
            }),
        }
    }

    /// Work that goes on: made anew, after a growing pause, whenever it ends or panics.
    pub fn restarting<F, W>(name: &'static str, make: F) -> Self
    where
        F: Fn() -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::new(name, restart(name, make, None))
    }

    /// Work that goes on like [`Job::restarting`], and holds what others wait for: once the token is cancelled it ends
    /// what it has begun, gives back what it holds (a lease), and ends.
    pub fn handing_back<F, W>(name: &'static str, make: F) -> Self
    where
        F: Fn(CancellationToken) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self {
            name,
            run: Box::new(move |stop| {
                let told = stop.clone();
                Box::pin(restart(name, move || make(told.clone()), Some(stop)))
            }),
        }
    }
}

async fn restart<F, W>(name: &'static str, make: F, stop: Option<CancellationToken>)
where
    F: Fn() -> W,
    W: Future<Output = ()>,
{
    let mut pause = RESTART.0;
    loop {
        let started = tokio::time::Instant::now();
        if AssertUnwindSafe(make()).catch_unwind().await.is_err() {
            tracing::error!(job = name, "job panicked");
            metrics::counter!("regard_job_panics_total", "job" => name).increment(1);
        }
        if started.elapsed() > RESTART.1 {
            pause = RESTART.0;
        }
        match &stop {
            None => tokio::time::sleep(pause).await,
            // Asked to stop, it has ended on purpose.
            Some(stop) => tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            },
        }
        pause = (pause * 2).min(RESTART.1);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The RPCs of a service. Add servers through [`crate::limited!`], which sets message limits and compression.
#[derive(Clone, Default)]
pub struct Grpc {
    pub(crate) routes: BTreeMap<&'static str, Arc<dyn Route>>,
}

/// A generated server behind one pointer.
pub(crate) trait Route: Send + Sync {
    fn call(
        &self,
        request: http::Request<Body>,
    ) -> tonic::codegen::BoxFuture<http::Response<Body>, Infallible>;
}

impl<S> Route for S
where
    S: tower::Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future = tonic::codegen::BoxFuture<http::Response<Body>, Infallible>,
        > + Clone
        + Send
        + Sync,
{
    fn call(
        &self,
        request: http::Request<Body>,
    ) -> tonic::codegen::BoxFuture<http::Response<Body>, Infallible> {
        // Generated servers are always ready, and clone a pointer and a few numbers.
        tower::Service::call(&mut self.clone(), request)
    }
}

impl Grpc {
    /// No RPCs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server.
    #[must_use]
    pub fn with<S>(mut self, server: S) -> Self
    where
        S: tower::Service<
                http::Request<Body>,
                Response = http::Response<Body>,
                Error = Infallible,
                Future = tonic::codegen::BoxFuture<http::Response<Body>, Infallible>,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.routes.insert(S::NAME, Arc::new(server));
        self
    }

    /// Full names of the gRPC services.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.routes.keys().copied()
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.keys()).finish()
    }
}

/// A generated server or client with the suite's message limit both ways, and gzip and zstd.
#[macro_export]
macro_rules! limited {
    ($server:expr) => {{
        use $crate::tonic::codec::CompressionEncoding::{Gzip, Zstd};
        $server
            .max_decoding_message_size($crate::MESSAGE_LIMIT)
            .max_encoding_message_size($crate::MESSAGE_LIMIT)
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .send_compressed(Gzip)
            .send_compressed(Zstd)
    }};
}

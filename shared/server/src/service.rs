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
use tonic::body::Body;
use tonic::server::NamedService;

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
        }
    }

    /// Adds a job.
    #[must_use]
    pub fn job(mut self, job: Job) -> Self {
        self.jobs.push(job);
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

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("grpc", &self.grpc)
            .finish_non_exhaustive()
    }
}

/// Work that runs by itself until the server stops; then it is dropped wherever it waits, so its transactions roll back.
pub struct Job {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// The work.
    pub run: BoxFuture<()>,
}

/// First and longest pause before a job that panicked is started again.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Job {
    /// Work that is done once.
    pub fn new(name: &'static str, run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            name,
            run: Box::pin(run),
        }
    }

    /// Work that goes on: made anew, after a growing pause, whenever it ends or panics.
    pub fn restarting<F, W>(name: &'static str, make: F) -> Self
    where
        F: Fn() -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::new(name, async move {
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
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RESTART.1);
            }
        })
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

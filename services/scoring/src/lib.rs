//! Scoring: what the other services' records mean. It follows their change feeds, keeps events, folds them into summaries,
//! and answers with scores and metrics. It knows the other services only through the contract.
#![recursion_limit = "256"]

pub mod core;
pub mod definition;
pub mod erasure;
pub mod event;
mod figures;
pub mod follow;
pub mod group;
pub mod metric;
pub mod migration;
pub mod model;
pub mod operation;
pub mod population;
pub mod roll;
pub mod score;
pub mod summary;
pub mod tenant;

use std::sync::Arc;
use std::time::Duration;

use regard_cache::{Redis, Tiered};
use regard_database::{Database, DatabaseSettings};
use regard_proto::scoring::v1::metric_service_server::MetricServiceServer;
use regard_proto::scoring::v1::model_service_server::ModelServiceServer;
use regard_proto::scoring::v1::operation_service_server::OperationServiceServer;
use regard_proto::scoring::v1::score_service_server::ScoreServiceServer;
use regard_server::{Grpc, Job, Service, Shared, audited, limited};
use regard_types::{Fault, Kind};

use crate::core::Core;
use crate::definition::Book;
use crate::follow::Source;

/// The steps of its schema, in their order.
pub use migration::steps as schema_steps;

/// What the service is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its own database.
    pub database: DatabaseSettings,
    /// The cache.
    pub cache: regard_cache::Settings,
    /// Redis; empty for the cache of the process alone.
    pub redis_url: String,
    /// How long ago a feed may have been applied to its end while the service counts as ready; zero: any time.
    pub ready_lag: Duration,
}

impl Settings {
    /// The defaults for a database, without Redis.
    #[must_use]
    pub fn new(database: DatabaseSettings) -> Self {
        Self {
            database,
            cache: regard_cache::Settings::default(),
            redis_url: String::new(),
            ready_lag: Duration::from_secs(60),
        }
    }
}

/// How long applied positions are noted, so that an answer can be asked for as known at a time.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// How often it is asked whether ids that were replaced can be forgotten.
const FORGET: Duration = Duration::from_secs(5);

/// Opens the service: its store, brought up to date, its definitions, checked, its RPCs and jobs.
///
/// # Errors
/// The store cannot be reached or is not as expected; a shipped definition is unsound; the Redis url is none.
pub async fn open(
    settings: Settings,
    shared: Shared,
    sources: Vec<Source>,
) -> Result<Service, Fault> {
    let core = open_core(&settings, shared).await?;
    let grpc = Grpc::new()
        .with(limited!(ScoreServiceServer::new(score::Scores::new(
            core.clone()
        ))))
        .with(limited!(ModelServiceServer::new(model::Models::new(
            core.clone()
        ))))
        .with(limited!(OperationServiceServer::new(
            operation::Operations::new(core.clone())
        )))
        .with(limited!(MetricServiceServer::new(metric::Metrics::new(
            core.clone()
        ))));
    let (asked, db, lag) = (core.clone(), core.db.clone(), settings.ready_lag);
    let mut service = Service::new("scoring", grpc)
        .ready(move || {
            let core = asked.clone();
            async move {
                core.db.ping().await.map_err(|error| error.to_string())?;
                if lag.is_zero() {
                    return Ok(());
                }
                core.follows_within(lag)
            }
        })
        .close(async move { db.close().await });
    service = audited!(service, scoring, core.db);
    for job in jobs(&core, sources) {
        service = service.job(job);
    }
    Ok(service)
}

/// The core over an open store; for this service and its tests.
///
/// # Errors
/// As [`open`].
pub async fn open_core(settings: &Settings, shared: Shared) -> Result<Arc<Core>, Fault> {
    let book = Book::shipped().map_err(Fault::bug)?;
    let steps = migration::steps();
    let db = Database::open(
        &settings.database,
        regard_types::Service::Scoring,
        steps,
        shared.clock,
        shared.ids,
    )
    .await?;
    let tx = db.system().await?;
    if follow::store::definitions_changed(&tx, book.fingerprint).await? {
        // A release with other definitions: everything is scored again, the ranking included.
        tenant::store::raise_stamps(&tx).await?;
    }
    follow::store::ensure_generation(&tx).await?;
    tx.commit().await?;
    let redis = match settings.redis_url.as_str() {
        "" => None,
        url => Some(
            Redis::open(url, &settings.cache)
                .map_err(|e| Fault::new(Kind::Invalid, "FIELD_INVALID", e.to_string()))?,
        ),
    };
    let shared_cache = redis.is_some();
    Ok(Core::new(
        db,
        book,
        Tiered::new(settings.cache, redis),
        shared_cache,
    ))
}

/// What runs by itself.
pub fn jobs(core: &Arc<Core>, sources: Vec<Source>) -> Vec<Job> {
    let mut jobs = Vec::new();
    // Who is erased is told by the customer service, and what was done for it is reported there.
    let customer = sources
        .iter()
        .find(|source| source.feed == regard_types::Service::Customer)
        .map(|source| source.client.clone());
    for source in sources {
        let core = core.clone();
        jobs.push(Job::handing_back("follow", move |stop| {
            follow::run(core.clone(), source.clone(), stop)
        }));
    }
    let (rolled, operated) = (core.clone(), core.clone());
    jobs.push(Job::handing_back("roll", move |stop| {
        roll::run(rolled.clone(), stop)
    }));
    jobs.push(Job::handing_back("operations", move |stop| {
        operation::run(operated.clone(), stop)
    }));
    let of = |name, run: fn(Arc<Core>) -> regard_server::BoxFuture<()>| {
        let core = core.clone();
        Job::restarting(name, move || run(core.clone()))
    };
    jobs.push(of("cache watch", |core| {
        Box::pin(follow::watch_cache(core))
    }));
    jobs.push(of("checkpoints", |core| Box::pin(checkpoints(core))));
    jobs.push(of("erased ids", |core| Box::pin(forget_ids(core))));
    jobs.extend(customer.map(|customer| regard_erasure::report(&core.db, customer)));
    jobs.push(of("figures", |core| Box::pin(figures::tell(core))));
    jobs
}

/// Forgets which id became which, once that is of no use.
async fn forget_ids(core: Arc<Core>) {
    loop {
        tokio::time::sleep(FORGET).await;
        if let Err(error) = erasure::forget(&core).await {
            tracing::warn!(?error, "ids that were replaced could not be forgotten");
        }
    }
}

/// Notes the applied positions once a minute.
async fn checkpoints(core: Arc<Core>) {
    loop {
        tokio::time::sleep(CHECKPOINT).await;
        let noted = follow::checkpoint(&core).await;
        regard_server::job_ran(core.db.service(), "checkpoints", noted.is_ok());
        if let Err(error) = noted {
            tracing::warn!(?error, "applied positions could not be noted");
        }
    }
}

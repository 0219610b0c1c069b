//! The engines and caches that every storage and cache test runs on.

use std::future::Future;

use tempfile::TempDir;

use crate::postgres::{TestDb, postgres};
use crate::redis::redis;

/// A relational store that the services run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in a temporary folder.
    Sqlite,
    /// A fresh database on the PostgreSQL of this run.
    Postgres,
}

impl Engine {
    /// Every engine.
    pub fn all() -> [Self; 2] {
        [Self::Sqlite, Self::Postgres]
    }
}

/// A fresh, empty store; gone when this value is dropped.
pub struct TestStore {
    /// What it is.
    pub engine: Engine,
    /// What a service takes: `sqlite://…/x.db` (the file does not exist yet) or `postgres://…` with a role that owns
    /// nothing.
    pub url: String,
    /// The owner's, for migrations; empty for SQLite.
    pub migrate_url: String,
    guard: Holds,
}

enum Holds {
    Folder(TempDir),
    Database(TestDb),
}

impl TestStore {
    /// A fresh store of this engine.
    ///
    /// # Panics
    /// When the engine cannot be had; the message says what to install.
    pub async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let folder = match tempfile::Builder::new().prefix("regard-test.").tempdir() {
                    Ok(folder) => folder,
                    Err(e) => panic!("temporary folder: {e}"),
                };
                let url = format!("sqlite://{}/x.db", folder.path().display());
                Self {
                    engine,
                    url,
                    migrate_url: String::new(),
                    guard: Holds::Folder(folder),
                }
            }
            Engine::Postgres => {
                let database = postgres().database().await;
                Self {
                    engine,
                    url: database.url.clone(),
                    migrate_url: database.migrate_url.clone(),
                    guard: Holds::Database(database),
                }
            }
        }
    }

    /// A further fresh store of the same engine, for tests with several services.
    ///
    /// # Panics
    /// As [`TestStore::new`].
    pub async fn another(&self) -> Self {
        Self::new(self.engine).await
    }

    /// Sees every row: the same file, or the superuser's url.
    pub fn admin_url(&self) -> String {
        crate::admin_url(&self.url)
    }

    /// The database behind a PostgreSQL store.
    pub fn database(&self) -> Option<&TestDb> {
        match &self.guard {
            Holds::Folder(_) => None,
            Holds::Database(database) => Some(database),
        }
    }

    /// The folder of a SQLite store.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.guard {
            Holds::Folder(folder) => Some(folder.path()),
            Holds::Database(_) => None,
        }
    }
}

/// A cache that the services run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// In the process.
    Memory,
    /// A fresh database number on the Redis of this run.
    Redis,
}

/// A fresh, empty cache.
#[derive(Clone, Debug)]
pub struct TestCache {
    /// What it is.
    pub kind: CacheKind,
    /// The Redis, when there is one.
    pub redis_url: Option<String>,
}

impl TestCache {
    /// A fresh cache of this kind.
    ///
    /// # Panics
    /// When Redis cannot be had; the message says what to install.
    pub async fn new(kind: CacheKind) -> Self {
        let redis_url = match kind {
            CacheKind::Memory => None,
            // Starting a server blocks; a test's other tasks should not wait for it.
            CacheKind::Redis => match tokio::task::spawn_blocking(redis).await {
                Ok(redis) => Some(redis.url),
                Err(e) => panic!("{e}"),
            },
        };
        Self { kind, redis_url }
    }
}

/// Runs one asynchronous test on two worker threads.
///
/// # Panics
/// When the runtime cannot be made.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(test),
        Err(e) => panic!("runtime: {e}"),
    }
}

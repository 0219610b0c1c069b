//! The two engines, their pools, and how a transaction begins and ends on each.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regard_types::TenantId;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Database as Driver, Postgres, Sqlite};
use sqlx_core::transaction::TransactionManager as _;

use crate::DatabaseSettings;
use crate::error::StoreError;
use crate::hazard::{Doors, Hazard};
use crate::roles::{quoted, system_role};

/// A relational store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file; one writer at a time.
    Sqlite,
    /// A server.
    Postgres,
}

pub(crate) enum Pools {
    Sqlite {
        writer: sqlx::Pool<Sqlite>,
        reader: sqlx::Pool<Sqlite>,
    },
    Postgres {
        pool: sqlx::Pool<Postgres>,
        pooler: bool,
        statement_timeout_ms: u64,
        /// The role that the service works as.
        user: String,
        /// The role that its own work takes, quoted; none without row-level security.
        system: Option<String>,
        doors: Doors,
    },
}

/// A connection inside a transaction. Dropped before `commit`, it rolls back.
pub(crate) struct Open<DB: Driver> {
    pub conn: PoolConnection<DB>,
    open: bool,
    /// A statement outside of a transaction is under way: dropped now, the connection is closed, or its place in the pool
    /// would wait for the statement's end. The server stops it when it finds that nobody is there.
    pub busy: bool,
    /// Told when it was dropped before its end: SQLite's statement stops then.
    gone: Arc<AtomicBool>,
}

/// A connection that has not begun yet: one that is dropped here may be in any state and is closed.
struct Starting<DB: Driver>(Option<PoolConnection<DB>>);

impl<DB: Driver> Drop for Starting<DB> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.as_mut() {
            conn.close_on_drop();
        }
    }
}

impl<DB: Driver> Open<DB>
where
    for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
{
    /// Begins with a text of ours, which may hold further statements after its BEGIN. Connections that died in the pool
    /// (a server that was restarted) are passed over: nothing of theirs was kept.
    pub async fn begin(pool: &sqlx::Pool<DB>, sql: String) -> Result<Self, sqlx::Error> {
        for _ in 0..pool.size() {
            match Self::begin_once(pool, sql.clone()).await {
                Err(error) if died(&error) => {
                    tracing::debug!(%error, "a connection had died, taking the next");
                }
                done => return done,
            }
        }
        Self::begin_once(pool, sql).await
    }

    async fn begin_once(pool: &sqlx::Pool<DB>, sql: String) -> Result<Self, sqlx::Error> {
        use sqlx::SqlSafeStr as _;
        let mut starting = Starting(Some(pool.acquire().await?));
        let mut failed = None;
        if let Some(conn) = starting.0.as_mut() {
            let begun =
                DB::TransactionManager::begin(conn, Some(AssertSqlSafe(sql).into_sql_str())).await;
            if let Err(error) = begun {
                // refused by the server: the connection is sound, but sqlx does not know that a transaction is open
                let answered = matches!(error, sqlx::Error::Database(_));
                let left = answered
                    && sqlx::Executor::execute(&mut **conn, "ROLLBACK")
                        .await
                        .is_ok();
                if !left {
                    return Err(error);
                }
                failed = Some(error);
            }
        }
        match (starting.0.take(), failed) {
            (_, Some(error)) => Err(error),
            (Some(conn), None) => Ok(Self {
                conn,
                open: true,
                busy: false,
                gone: Arc::default(),
            }),
            (None, None) => Err(sqlx::Error::PoolClosed),
        }
    }
}

pub(crate) fn died(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // terminated by an administrator or by a crash elsewhere
        sqlx::Error::Database(e) => matches!(e.code().as_deref(), Some("57P01" | "57P02")),
        _ => false,
    }
}

impl<DB: Driver> Open<DB> {
    /// A connection outside of any transaction.
    pub async fn idle(pool: &sqlx::Pool<DB>) -> Result<Self, sqlx::Error> {
        let conn = pool.acquire().await?;
        Ok(Self {
            conn,
            open: false,
            busy: false,
            gone: Arc::default(),
        })
    }

    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(&mut self.conn).await?;
        self.open = false;
        Ok(())
    }
}

impl<DB: Driver> Drop for Open<DB> {
    fn drop(&mut self) {
        if self.open {
            self.gone.store(true, Ordering::Relaxed);
            // queued here, run when the connection goes back to its pool
            DB::TransactionManager::start_rollback(&mut self.conn);
        } else if self.busy {
            self.conn.close_on_drop();
        }
    }
}

/// Steps of SQLite's machine between two looks whether anybody still waits: some tenths of a millisecond.
const STEPS: i32 = 10_000;

impl Open<Sqlite> {
    /// Stops a statement that runs when nobody waits for it any more: past the time, or when the transaction was dropped.
    /// (PostgreSQL is told the time as it begins, see [`Pools::begin_text`].) Each transaction sets its own.
    pub async fn until(mut self, until: Option<Instant>) -> Result<Self, sqlx::Error> {
        let gone = Arc::clone(&self.gone);
        let mut handle = self.conn.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || {
            !gone.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until)
        });
        drop(handle);
        Ok(self)
    }
}

impl Pools {
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres { .. } => Engine::Postgres,
        }
    }

    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        if settings.url.starts_with("sqlite:") {
            return Self::connect_sqlite(settings).await;
        }
        let options = postgres_options(settings)?;
        let mut pause = Duration::from_millis(50);
        let began = std::time::Instant::now();
        loop {
            match pool::<Postgres>(settings, settings.max_connections)
                .connect_with(options.clone())
                .await
            {
                Ok(pool) => {
                    // in the simple protocol: a pooler may hand on the connection at once
                    let row = sqlx::raw_sql("SELECT current_user::text")
                        .fetch_one(&pool)
                        .await?;
                    let user: String = sqlx::Row::try_get(&row, 0)?;
                    let system = settings.row_security.then(|| quoted(&system_role(&user)));
                    return Ok(Self::Postgres {
                        pool,
                        pooler: settings.pooler,
                        statement_timeout_ms: settings.statement_timeout_ms,
                        user,
                        system,
                        doors: crate::hazard::of(&settings.url),
                    });
                }
                Err(error) => {
                    let error = StoreError::from(error);
                    let waits = matches!(error, StoreError::Down(_) | StoreError::Busy(_));
                    if !waits
                        || began.elapsed() + pause > Duration::from_millis(settings.open_wait_ms)
                    {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the database does not answer yet, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
    }

    async fn connect_sqlite(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(&settings.url)?;
        if settings.url.contains(":memory:") || settings.url.contains("mode=memory") {
            return Err(StoreError::corrupt(
                "SQLite in memory has no second connection; give a file",
            ));
        }
        // NORMAL in WAL mode survives kill -9 of the process (the log is in the page cache of the system); only a
        // crash of the machine can lose the last commits. FULL flushes each commit.
        let synchronous = if settings.sqlite_full_sync {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Normal
        };
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_millis(settings.acquire_ms))
            .foreign_keys(true)
            .statement_cache_capacity(512)
            // what is deleted is overwritten: an erased person leaves nothing in free pages
            .pragma("secure_delete", "on")
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384")
            .disable_statement_logging();
        make_private(options.get_filename());
        let writer = pool::<Sqlite>(settings, 1)
            .connect_with(options.clone())
            .await?;
        let options = options.pragma("query_only", "on");
        let reader = pool::<Sqlite>(settings, settings.max_connections.max(1))
            .connect_with(options)
            .await?;
        Ok(Self::Sqlite { writer, reader })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader } => {
                // readers first: the last connection to close moves the log into the file
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }

    /// What a PostgreSQL transaction begins with, in one trip. Its statements stop when nobody waits for them any more.
    pub fn begin_text(&self, begin: &str, view: View, until: Option<Instant>) -> String {
        let mut sql = begin.to_owned();
        let Self::Postgres {
            pooler,
            statement_timeout_ms,
            system,
            doors,
            ..
        } = self
        else {
            return sql;
        };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1));
        let limit = match (left, *statement_timeout_ms) {
            (Some(left), 0) => Some(left),
            (Some(left), most) if left < most => Some(left),
            // a pooler takes no start-up options
            (_, most) => pooler.then_some(most),
        };
        if let Some(limit) = limit {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {limit}"));
        }
        match view.under(doors.hazard()) {
            View::Nobody => {}
            View::Tenant(tenant) => {
                sql.push_str(&format!("; SET LOCAL regard.tenant = '{}'", tenant.0));
            }
            View::Everyone => {
                if let Some(role) = system {
                    sql.push_str(&format!("; SET LOCAL ROLE {role}"));
                }
            }
        }
        sql
    }
}

/// Whose rows a transaction sees, where the engine can tell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    /// No tenant's: lanes, leases, epochs.
    Nobody,
    /// One tenant's.
    Tenant(TenantId),
    /// Every tenant's, for the service's own work.
    Everyone,
}

impl View {
    /// One tenant's, or all.
    pub fn of(tenant: Option<TenantId>) -> Self {
        tenant.map_or(Self::Everyone, Self::Tenant)
    }

    /// What its statements suffer from: only callers' doors are broken, not the service's own.
    pub fn hazard(self, doors: &Doors) -> Hazard {
        match self {
            Self::Tenant(_) => doors.hazard(),
            Self::Nobody | Self::Everyone => Hazard::None,
        }
    }

    pub fn under(self, hazard: Hazard) -> Self {
        match (self, hazard) {
            (Self::Tenant(_), Hazard::NoTenant) => Self::Nobody,
            (Self::Tenant(_), Hazard::WrongTenant(other)) => Self::Tenant(other),
            (view, _) => view,
        }
    }
}

/// A new SQLite file is for its owner alone; the log beside it takes over its rights. What cannot be made SQLite tells itself.
fn make_private(file: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(file);
}

fn pool<DB: Driver>(settings: &DatabaseSettings, size: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(size)
        .min_connections(0)
        .acquire_timeout(Duration::from_millis(settings.acquire_ms))
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// How often PostgreSQL looks whether the client of a running statement is there still, milliseconds (version 14 and later).
const LOOK_FOR_US: &str = "500";

pub(crate) fn postgres_options(
    settings: &DatabaseSettings,
) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(&settings.url)?
        .application_name("regard")
        .statement_cache_capacity(256)
        .disable_statement_logging();
    if settings.pooler {
        return Ok(options);
    }
    let timeout = settings.statement_timeout_ms.to_string();
    Ok(options.options([
        ("statement_timeout", timeout.as_str()),
        ("client_connection_check_interval", LOOK_FOR_US),
    ]))
}

//! A service's database: its pools, lanes, clock and ids.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use regard_types::{Clock, IdKey, IdSecret, Micros, Service, TenantId};
use sea_orm_migration::MigrationTrait;
use sqlx::{Postgres, Sqlite};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::audit;
use crate::engine::{Engine, Open, Pools, View};
use crate::error::StoreError;
use crate::feed::{Feed, Hub};
use crate::figures::Figures;
use crate::growth::Growth;
use crate::hazard::Doors;
use crate::lane::Lanes;
use crate::roles;
use crate::schema::Schema;
use crate::tx::Tx;
use crate::vault::{self, MasterKeys};

/// How to reach a database and what it may take. [`DatabaseSettings::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `sqlite:///path/file.db` or `postgres://user@host/name`.
    pub url: String,
    /// Connections (readers on SQLite, which has one writer besides). Default 20: the 16 lanes and some readers.
    pub max_connections: u32,
    /// How long a caller waits for a connection or a lane, milliseconds. Default 2,000.
    pub acquire_ms: u64,
    /// The longest that one statement may run on PostgreSQL, milliseconds; 0 for no limit. Default 30,000.
    pub statement_timeout_ms: u64,
    /// Whether opening brings the schema up to date; if not, an outdated schema is an error. Default true.
    pub migrate: bool,
    /// Whether a transaction pooler such as `PgBouncer` stands between. Default false.
    pub pooler: bool,
    /// How long opening waits for a server that does not answer yet, milliseconds. Default 30,000.
    pub open_wait_ms: u64,
    /// Whether SQLite flushes every commit to the disk. Without, commits survive the death of the process but not
    /// always that of the machine. Default false.
    pub sqlite_full_sync: bool,
    /// How often a lane's position is told to a watcher when nothing happens, milliseconds. Default 1,000.
    pub heartbeat_ms: u64,
    /// How long closing waits for open transactions, milliseconds. Default 5,000.
    pub close_ms: u64,
    /// The master key under which personal data are sealed; none for a service that holds none. Default none.
    pub master: Option<MasterKeys>,
    /// PostgreSQL: how the owner of the tables connects, for migrations; directly, not through a pooler. Empty: as `url`.
    pub migrate_url: String,
    /// PostgreSQL: whether row-level security stands behind the doors. It needs a `url` whose role owns nothing and cannot
    /// bypass it. Default true.
    pub row_security: bool,
    /// How long audit entries stay, days; 0: for ever. Default 0.
    pub keep_audit_days: u32,
}

impl DatabaseSettings {
    /// The defaults for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 20,
            acquire_ms: 2_000,
            statement_timeout_ms: 30_000,
            migrate: true,
            pooler: false,
            open_wait_ms: 30_000,
            sqlite_full_sync: false,
            heartbeat_ms: 1_000,
            close_ms: 5_000,
            master: None,
            migrate_url: String::new(),
            row_security: true,
            keep_audit_days: 0,
        }
    }
}

/// A service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub service: Service,
    pub pools: Pools,
    pub clock: Clock,
    pub lanes: Arc<Lanes>,
    pub alone: Arc<Semaphore>,
    pub settings: DatabaseSettings,
    pub hub: Hub,
    pub growth: Growth,
    pub figures: Figures,
    pub vault: Option<Arc<vault::State>>,
    pub doors: Doors,
    pub audit_key: audit::Key,
    secret: IdSecret,
    keys: RwLock<HashMap<TenantId, IdKey>>,
}

/// Tenants whose keys are kept; more only cost deriving them again.
const KEYS: usize = 10_000;

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({}, {:?})", self.0.service, self.engine())
    }
}

impl Database {
    /// Opens a service's database: waits for the server, brings the schema up to date (under a lock: replicas may
    /// start at once), makes the feed's first epoch.
    ///
    /// # Errors
    /// [`StoreError::Down`] if the server does not answer in time; [`StoreError::Corrupt`] for a bad URL, a failed
    /// migration, or an outdated schema where `migrate` is off.
    pub async fn open(
        settings: &DatabaseSettings,
        service: Service,
        migrations: Vec<Box<dyn MigrationTrait>>,
        clock: Clock,
        secret: IdSecret,
    ) -> Result<Self, StoreError> {
        let pools = Pools::connect(settings).await?;
        let schema = Schema::of(migrations);
        if settings.migrate {
            schema.update(&pools, settings).await?;
        } else {
            schema.demand(&pools, settings).await?;
        }
        check(&pools, settings.row_security).await?;
        let tx = begin(&pools, View::Nobody).await?;
        let (lanes, epoch) = prepare(&tx, clock.now()).await?;
        tx.commit().await?;
        let wait = Duration::from_millis(settings.acquire_ms);
        let db = Self(Arc::new(Shared {
            service,
            pools,
            clock,
            lanes: Lanes::new(lanes, wait),
            alone: Arc::new(Semaphore::new(crate::door::ALONE)),
            settings: settings.clone(),
            hub: Hub::new(epoch),
            growth: Growth::default(),
            figures: Figures::new(service),
            vault: settings.master.clone().map(vault::State::new).map(Arc::new),
            doors: crate::hazard::of(&settings.url),
            audit_key: audit::Key::new(&secret, service),
            secret,
            keys: RwLock::default(),
        }));
        if settings.master.is_some() {
            db.vault()?.check().await?;
        }
        Ok(db)
    }

    /// Brings the schema up to date, as opening does with `migrate`, and no more; the names of the steps that were applied.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn migrate(
        settings: &DatabaseSettings,
        migrations: Vec<Box<dyn MigrationTrait>>,
    ) -> Result<Vec<String>, StoreError> {
        let pools = Pools::connect(settings).await?;
        let applied = Schema::of(migrations).update(&pools, settings).await;
        pools.close().await;
        applied
    }

    /// The names of the schema steps that the database lacks.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn pending(
        settings: &DatabaseSettings,
        migrations: Vec<Box<dyn MigrationTrait>>,
    ) -> Result<Vec<String>, StoreError> {
        let pools = Pools::connect(settings).await?;
        let pending = Schema::of(migrations).pending(&pools, settings).await;
        pools.close().await;
        pending
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.0.pools.engine()
    }

    /// The service that it belongs to.
    #[must_use]
    pub fn service(&self) -> Service {
        self.0.service
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.0.clock.now()
    }

    /// The id secret.
    #[must_use]
    pub fn secret(&self) -> &IdSecret {
        &self.0.secret
    }

    /// A tenant's id key.
    #[must_use]
    pub fn ids(&self, tenant: TenantId) -> IdKey {
        if let Some(key) = self
            .0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tenant)
        {
            return key.clone();
        }
        let key = self.0.secret.tenant(tenant);
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS {
            keys.clear();
        }
        keys.insert(tenant, key.clone());
        key
    }

    /// The feed's epoch as last seen.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.0.hub.epoch()
    }

    /// The change feed.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(self.clone())
    }

    /// Connections (open, idle), writer and readers together; for metrics and tests.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        match &self.0.pools {
            Pools::Sqlite { writer, reader } => (
                writer.size() + reader.size(),
                writer.num_idle() + reader.num_idle(),
            ),
            Pools::Postgres { pool, .. } => (pool.size(), pool.num_idle()),
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let tx = begin_read(&self.0.pools, View::Nobody).await?;
        tx.fetch_one("SELECT 1", vec![]).await?;
        Ok(())
    }

    /// Ends watchers and closes all connections (on SQLite this moves the log into the file). Call it at exit. Open
    /// transactions are waited for up to `close_ms`.
    pub async fn close(&self) {
        self.0.hub.close();
        let wait = Duration::from_millis(self.0.settings.close_ms);
        if tokio::time::timeout(wait, self.0.pools.close())
            .await
            .is_err()
        {
            tracing::warn!("transactions were still open when the database was closed");
        }
    }
}

/// A transaction that may write, without the frame of the doors.
pub(crate) async fn begin(pools: &Pools, view: View) -> Result<Tx, StoreError> {
    begin_until(pools, view, None).await
}

/// The same; its statements stop at that time.
pub(crate) async fn begin_until(
    pools: &Pools,
    view: View,
    until: Option<Instant>,
) -> Result<Tx, StoreError> {
    Ok(match pools {
        Pools::Sqlite { writer, .. } => {
            let open = Open::<Sqlite>::begin(writer, "BEGIN IMMEDIATE".to_owned()).await?;
            Tx::sqlite(open.until(until).await?)
        }
        Pools::Postgres {
            pool,
            pooler,
            doors,
            ..
        } => Tx::postgres(
            Open::<Postgres>::begin(pool, pools.begin_text("BEGIN", view, until)).await?,
            *pooler,
            view.hazard(doors),
        ),
    })
}

/// A transaction that reads one snapshot.
pub(crate) async fn begin_read(pools: &Pools, view: View) -> Result<Tx, StoreError> {
    begin_read_until(pools, view, None).await
}

/// The same; its statements stop at that time.
pub(crate) async fn begin_read_until(
    pools: &Pools,
    view: View,
    until: Option<Instant>,
) -> Result<Tx, StoreError> {
    Ok(match pools {
        Pools::Sqlite { reader, .. } => {
            let open = Open::<Sqlite>::begin(reader, "BEGIN".to_owned()).await?;
            Tx::sqlite(open.until(until).await?)
        }
        Pools::Postgres {
            pool,
            pooler,
            doors,
            ..
        } => {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let text = pools.begin_text(begin, view, until);
            Tx::postgres(
                Open::<Postgres>::begin(pool, text).await?,
                *pooler,
                view.hazard(doors),
            )
        }
    })
}

/// Whether the wall stands as the settings say.
async fn check(pools: &Pools, row_security: bool) -> Result<(), StoreError> {
    let Pools::Postgres { user, .. } = pools else {
        return Ok(());
    };
    let tx = begin_read(pools, View::Nobody).await?;
    let sql = roles::question(&roles::system_role(user));
    let row = tx
        .fetch_one(sql, vec![])
        .await?
        .ok_or(StoreError::Missing)?;
    roles::judge(&row, row_security)
}

/// The number of lanes, and the epoch (the first one is made here).
async fn prepare(tx: &Tx, now: Micros) -> Result<(u16, Uuid), StoreError> {
    let row = tx
        .fetch_one("SELECT count(*) FROM lane", vec![])
        .await?
        .ok_or(StoreError::Missing)?;
    let lanes = u16::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?;
    let first = "INSERT INTO feed (ordinal, epoch, created) SELECT 1, $1, $2 WHERE NOT EXISTS (SELECT 1 FROM feed) \
                 ON CONFLICT (ordinal) DO NOTHING";
    tx.run(first, vec![Uuid::new_v4().into(), now.0.into()])
        .await?;
    let row = tx
        .fetch_one(crate::feed::EPOCH, vec![])
        .await?
        .ok_or(StoreError::Missing)?;
    Ok((lanes, row.get(0)?))
}

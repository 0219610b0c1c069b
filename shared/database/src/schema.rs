//! The schema of a service's database: which steps it lacks, and their application under a lock.

use std::sync::Arc;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, TransactionTrait as _};
use sea_orm_migration::migrator::MigratorTraitSelf;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use sqlx::Postgres;
use sqlx::pool::PoolOptions;

use crate::DatabaseSettings;
use crate::engine::{Pools, postgres_options};
use crate::error::StoreError;
use crate::migration::frame;
use crate::{roles, vault};

/// All schema steps of a service, the frame's first.
pub(crate) struct Schema(Vec<Arc<dyn MigrationTrait>>);

/// "regard" as a number: the key of the migrations' lock.
const LOCK: i64 = 0x7265_6761_7264;

impl Schema {
    /// The frame's steps, then a service's own.
    pub fn of(migrations: Vec<Box<dyn MigrationTrait>>) -> Self {
        let all = frame().into_iter().chain([vault::step()]).chain(migrations);
        Self(all.map(Arc::from).collect())
    }

    /// Applies what is missing, in one transaction under a lock: replicas may start at once. The names of what was
    /// applied.
    pub async fn update(
        &self,
        pools: &Pools,
        settings: &DatabaseSettings,
    ) -> Result<Vec<String>, StoreError> {
        let owner = match settings.migrate_url.as_str() {
            "" => &settings.url,
            owner => owner,
        };
        let conn = connect(pools, settings, owner).await?;
        let mode = matches!(pools, Pools::Sqlite { .. })
            .then_some(sea_orm::SqliteTransactionMode::Immediate);
        let options = sea_orm::TransactionOptions {
            sqlite_transaction_mode: mode,
            ..Default::default()
        };
        let tx = conn.begin_with_options(options).await?;
        if matches!(pools, Pools::Postgres { .. }) {
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
                .await?;
        }
        let pending = self.get_pending_migrations(&tx).await?;
        let names = pending.iter().map(|step| step.name().to_owned()).collect();
        self.up(&tx, None).await?;
        if let Pools::Postgres { user, .. } = pools {
            roles::arrange(&tx, user, settings.row_security).await?;
        }
        tx.commit().await?;
        disconnect(pools, conn).await?;
        Ok(names)
    }

    /// The names of the steps that the database lacks.
    pub async fn pending(
        &self,
        pools: &Pools,
        settings: &DatabaseSettings,
    ) -> Result<Vec<String>, StoreError> {
        let conn = connect(pools, settings, &settings.url).await?;
        // a missing table means that nothing was applied
        let sql = "SELECT version FROM seaql_migrations";
        let statement = sea_orm::Statement::from_string(conn.get_database_backend(), sql);
        let rows = conn.query_all_raw(statement).await.unwrap_or_default();
        let applied: Vec<String> = rows
            .iter()
            .filter_map(|row| row.try_get_by_index(0).ok())
            .collect();
        disconnect(pools, conn).await?;
        let names = self.0.iter().map(|step| step.name().to_owned());
        Ok(names.filter(|name| !applied.contains(name)).collect())
    }

    /// Refuses a database that lacks steps.
    pub async fn demand(
        &self,
        pools: &Pools,
        settings: &DatabaseSettings,
    ) -> Result<(), StoreError> {
        let pending = self.pending(pools, settings).await?;
        let Some(first) = pending.first() else {
            return Ok(());
        };
        let n = pending.len();
        let message = format!("the schema lacks {n} steps, first {first}; run `regard migrate`");
        Err(StoreError::corrupt(message))
    }
}

/// On PostgreSQL a connection of its own: migrations have another role and no statement timeout.
async fn connect(
    pools: &Pools,
    settings: &DatabaseSettings,
    url: &str,
) -> Result<DatabaseConnection, StoreError> {
    let Pools::Sqlite { writer, .. } = pools else {
        let direct = DatabaseSettings {
            url: url.to_owned(),
            statement_timeout_ms: 0,
            ..settings.clone()
        };
        let pool = PoolOptions::<Postgres>::new().max_connections(1);
        let pool = pool.connect_with(postgres_options(&direct)?).await?;
        return Ok(sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(
            pool,
        ));
    };
    Ok(sea_orm::SqlxSqliteConnector::from_sqlx_sqlite_pool(
        writer.clone(),
    ))
}

/// SQLite's connection is the pool's own, and stays.
async fn disconnect(pools: &Pools, conn: DatabaseConnection) -> Result<(), StoreError> {
    if matches!(pools, Pools::Postgres { .. }) {
        conn.close().await?;
    }
    Ok(())
}

#[async_trait::async_trait]
impl MigratorTraitSelf for Schema {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        self.0
            .iter()
            .map(|step| Box::new(Again(step.clone())) as Box<dyn MigrationTrait>)
            .collect()
    }
}

/// A step that is asked for more than once.
struct Again(Arc<dyn MigrationTrait>);

impl MigrationName for Again {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Again {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.up(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        self.0.use_transaction()
    }
}

//! What a store can answer; both engines map into it, causes kept.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use regard_types::{Fault, Kind};
use sea_orm::{DbErr, RuntimeErr};

/// The cause within the engine.
pub type Cause = Box<dyn Error + Send + Sync>;

/// An answer of a store that is no success.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row.
    #[error("no such row")]
    Missing,
    /// A unique key of this table is taken. (Behind row-level security PostgreSQL does not tell which: the row that has it
    /// may be another tenant's.)
    #[error("already taken: {0}")]
    Taken(String),
    /// A newer version is stored.
    #[error("a newer version is stored")]
    Stale,
    /// A lock, a serialisation or a place in the pool was lost; trying again may help.
    #[error("the store is busy")]
    Busy(#[source] Cause),
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Down(#[source] Cause),
    /// A fault of ours or of the data: never expected.
    #[error("the store or its data are not as expected")]
    Corrupt(#[source] Cause),
    /// A time limit passed and the work was stopped.
    #[error("the store's time limit passed")]
    Late,
}

impl StoreError {
    /// Something that cannot be.
    pub fn corrupt(what: impl Into<Cause>) -> Self {
        Self::Corrupt(what.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match classify(&error) {
            Class::Taken(key) => Self::Taken(key),
            Class::Missing => Self::Missing,
            Class::Late => Self::Late,
            Class::Busy => Self::Busy(error.into()),
            Class::Down => Self::Down(error.into()),
            Class::Corrupt => Self::Corrupt(error.into()),
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let class = match &error {
            DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e))
            | DbErr::Conn(RuntimeErr::SqlxError(e)) => classify(e),
            DbErr::RecordNotFound(_) => Class::Missing,
            DbErr::RecordNotUpdated => return Self::Stale,
            DbErr::ConnectionAcquire(_) => Class::Busy,
            _ => Class::Corrupt,
        };
        match class {
            Class::Taken(key) => Self::Taken(key),
            Class::Missing => Self::Missing,
            Class::Late => Self::Late,
            Class::Busy => Self::Busy(error.into()),
            Class::Down => Self::Down(error.into()),
            Class::Corrupt => Self::Corrupt(error.into()),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing => Fault::new(
                Kind::NotFound,
                "RECORD_UNKNOWN",
                "no such record in this tenant",
            ),
            StoreError::Taken(key) => Fault::new(
                Kind::Exists,
                "RECORD_EXISTS",
                "a record with this key is stored already",
            )
            .caused_by(key),
            StoreError::Stale => Fault::stale(),
            StoreError::Busy(cause) => Fault::busy().caused_by(cause),
            StoreError::Down(cause) => Fault::down("the database").caused_by(cause),
            StoreError::Corrupt(cause) => Fault::bug(cause),
            StoreError::Late => Fault::late(),
        }
    }
}

enum Class {
    Taken(String),
    Missing,
    Busy,
    Down,
    Corrupt,
    Late,
}

fn classify(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::RowNotFound => Class::Missing,
        sqlx::Error::PoolTimedOut => Class::Busy,
        error if crate::tx::is_overdue(error) => Class::Late,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Class::Down,
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            let postgres = e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
            match postgres {
                Some(pg) => classify_postgres(&code, pg),
                None => classify_sqlite(&code, e.message()),
            }
        }
        _ => Class::Corrupt,
    }
}

fn classify_postgres(code: &str, error: &sqlx::postgres::PgDatabaseError) -> Class {
    match code {
        "23505" => Class::Taken(error.table().unwrap_or_default().to_owned()),
        "40001" | "40P01" | "55P03" => Class::Busy,
        "57014" => Class::Late,
        "57P01" | "57P02" | "57P03" | "25006" => Class::Down,
        _ if code.starts_with("08") || code.starts_with("53") => Class::Down,
        _ => Class::Corrupt,
    }
}

fn classify_sqlite(code: &str, message: &str) -> Class {
    let Ok(code) = code.parse::<u32>() else {
        return Class::Corrupt;
    };
    match code {
        1555 | 2067 => Class::Taken(sqlite_table(message)),
        _ => match code & 0xff {
            5 | 6 => Class::Busy,
            9 => Class::Late,
            10 | 13 | 14 => Class::Down,
            _ => Class::Corrupt,
        },
    }
}

/// The table of `UNIQUE constraint failed: t.a, t.b`.
fn sqlite_table(message: &str) -> String {
    let list = message.rsplit(": ").next().unwrap_or_default();
    list.split('.').next().unwrap_or_default().to_owned()
}

/// Repeats work that ended in [`StoreError::Busy`], up to four times in all with growing, jittered pauses (5 to 80 ms).
///
/// # Errors
/// The last error.
pub async fn retry_busy<T, F, W>(mut work: W) -> Result<T, StoreError>
where
    W: FnMut() -> F,
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = 5;
    for _ in 0..3 {
        match work().await {
            Err(StoreError::Busy(cause)) => {
                tracing::debug!(%cause, "the store is busy, trying again");
                tokio::time::sleep(Duration::from_millis(pause + rand::random_range(0..=pause)))
                    .await;
                pause *= 2;
            }
            done => return done,
        }
    }
    work().await
}

#[cfg(test)]
mod tests {
    #[test]
    fn sqlite_tables_read_like_postgres_ones() {
        let table = super::sqlite_table("UNIQUE constraint failed: t.tenant, t.id");
        assert_eq!(table, "t");
    }
}

//! Leaving nothing of deleted rows on the disk.

use sqlx::{Row as _, Sqlite};

use crate::Database;
use crate::engine::Pools;
use crate::error::StoreError;

/// Files up to this size are written anew (about a second, during which writers wait); larger ones are left to the
/// operator's `VACUUM` at a quiet hour. What was deleted is overwritten in either case.
const REWRITE: i64 = 256 * 1024 * 1024;

impl Database {
    /// On SQLite, writes the file anew without its free pages and empties the log, which may hold pages of before; true
    /// once the log is empty (readers that are at work keep it: try again). On PostgreSQL, where vacuuming is the
    /// owner's, nothing is to be done.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn compact(&self) -> Result<bool, StoreError> {
        let Pools::Sqlite { writer, .. } = &self.0.pools else {
            return Ok(true);
        };
        let mut conn = writer.acquire().await?;
        // The last transaction's: this is none, and takes its time.
        conn.lock_handle().await?.remove_progress_handler();
        let size = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
        let row = sqlx::query::<Sqlite>(size).fetch_one(&mut *conn).await?;
        if row.try_get::<i64, _>(0)? <= REWRITE {
            sqlx::raw_sql("VACUUM").execute(&mut *conn).await?;
        } else {
            tracing::warn!(
                "the database is too large to be written anew while it is served; VACUUM it at a quiet hour"
            );
        }
        let row = sqlx::query::<Sqlite>("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut *conn)
            .await?;
        // busy, pages in the log, pages moved
        Ok(row.try_get::<i64, _>(0)? == 0)
    }
}

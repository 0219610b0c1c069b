//! Statistics of young tables on PostgreSQL. Its own job looks once a minute; until then it takes a tenant to be half a
//! percent of a table, and joins of a bulk load read everything again and again. So a table that has grown by many rows is
//! analysed at once, then each time it has doubled.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::Database;
use crate::engine::Pools;
use crate::tx::safe;

/// Rows until the first look.
const FIRST: u64 = 2_000;
/// Rows beyond which the server's own job is soon enough.
const ENOUGH: u64 = 5_000_000;

#[derive(Default)]
pub(crate) struct Growth(Mutex<HashMap<&'static str, (u64, u64)>>);

impl Growth {
    /// Tables that are due now.
    fn due(&self, grown: Vec<(&'static str, u64)>) -> Vec<&'static str> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (table, rows) in grown {
            let (seen, next) = tables.entry(table).or_insert((0, FIRST));
            *seen += rows;
            if *seen >= *next && *seen < ENOUGH {
                *next = *seen * 2;
                due.push(table);
            }
        }
        due
    }
}

impl Database {
    /// Rows that a committed transaction added.
    pub(crate) fn grew(&self, grown: Vec<(&'static str, u64)>) {
        let Pools::Postgres { pool, .. } = &self.0.pools else {
            return;
        };
        for table in self.0.growth.due(grown) {
            let pool = pool.clone();
            tokio::spawn(async move {
                let sql = format!("SELECT regard_analyze('{table}')");
                let done = sqlx::raw_sql(safe(sql.into())).execute(&pool).await;
                if let Err(error) = done {
                    tracing::debug!(%error, table, "a table could not be analysed");
                }
            });
        }
    }
}

//! Many rows in few statements: UNNEST of arrays on PostgreSQL, multi-row VALUES on SQLite, the same call for both.

mod column;
pub(crate) mod postgres;
mod sqlite;

use crate::error::StoreError;
use crate::row::Row;
use crate::tx::{Inner, Tx};

pub use column::ColumnData;

/// What to do where a unique key is taken.
#[derive(Debug, Clone, Copy)]
pub enum Conflict<'a> {
    /// Fail with [`StoreError::Taken`].
    Fail,
    /// Leave the stored row.
    Ignore {
        /// Columns of the unique key.
        key: &'a [&'a str],
    },
    /// Take the new values. A batch must not name one key twice.
    Update {
        /// Columns of the unique key.
        key: &'a [&'a str],
        /// Columns to take.
        set: &'a [&'a str],
    },
    /// Take the new values where a condition holds (`t.` is not needed: the table's name is the stored row, `excluded`
    /// the new one, as in `excluded.version > score.version`).
    UpdateWhere {
        /// Columns of the unique key.
        key: &'a [&'a str],
        /// Columns to take.
        set: &'a [&'a str],
        /// The condition, portable SQL.
        condition: &'a str,
    },
}

impl Conflict<'_> {
    fn text(&self) -> String {
        let update = |key: &[&str], set: &[&str]| {
            let set: Vec<_> = set.iter().map(|c| format!("{c} = excluded.{c}")).collect();
            format!(
                " ON CONFLICT ({}) DO UPDATE SET {}",
                key.join(", "),
                set.join(", ")
            )
        };
        match self {
            Self::Fail => String::new(),
            Self::Ignore { key } => format!(" ON CONFLICT ({}) DO NOTHING", key.join(", ")),
            Self::Update { key, set } => update(key, set),
            Self::UpdateWhere {
                key,
                set,
                condition,
            } => format!("{} WHERE {condition}", update(key, set)),
        }
    }
}

/// Columns with their data; all of one length, constants apart.
pub type Columns<'a> = [(&'static str, ColumnData<'a>)];

/// The number of rows that all columns agree on.
fn rows(columns: &Columns<'_>) -> Result<usize, StoreError> {
    let mut rows = None;
    for (name, data) in columns {
        match (data.len(), rows) {
            (Some(n), Some(have)) if n != have => {
                return Err(StoreError::corrupt(format!(
                    "bulk column {name} has {n} rows, others have {have}"
                )));
            }
            (Some(n), None) => rows = Some(n),
            _ => {}
        }
    }
    rows.ok_or_else(|| StoreError::corrupt("a bulk statement needs a column that is no constant"))
}

impl Tx {
    /// Inserts many rows; the number of rows inserted or updated. Values are bound, never written into the text.
    /// For several writers sort the rows by key first, or two batches may wait for each other.
    ///
    /// # Errors
    /// [`StoreError::Taken`] and what else the engine answers.
    pub async fn bulk_insert(
        &self,
        table: &'static str,
        columns: &Columns<'_>,
        conflict: Conflict<'_>,
    ) -> Result<u64, StoreError> {
        let rows = rows(columns)?;
        self.grew(table, rows);
        let conflict = conflict.text();
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                sqlite::insert(&mut open.conn, table, columns, rows, &conflict, None).await
            }
            Inner::Postgres(open) => {
                postgres::insert(
                    &mut open.conn,
                    self.persistent(),
                    table,
                    columns,
                    rows,
                    &conflict,
                    None,
                )
                .await
            }
        };
        Ok(self.touched(self.note(result)?.0))
    }

    /// As [`Tx::bulk_insert`]; gives the named columns of each row that was inserted or updated, in no order.
    ///
    /// # Errors
    /// As [`Tx::bulk_insert`].
    pub async fn bulk_insert_returning(
        &self,
        table: &'static str,
        columns: &Columns<'_>,
        conflict: Conflict<'_>,
        returning: &str,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = rows(columns)?;
        self.grew(table, rows);
        let conflict = conflict.text();
        let returning = Some(returning);
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                sqlite::insert(&mut open.conn, table, columns, rows, &conflict, returning).await
            }
            Inner::Postgres(open) => {
                postgres::insert(
                    &mut open.conn,
                    self.persistent(),
                    table,
                    columns,
                    rows,
                    &conflict,
                    returning,
                )
                .await
            }
        };
        let rows = self.note(result)?.1;
        self.touched(rows.len() as u64);
        Ok(rows)
    }

    /// Updates many rows by key, each with its own values; the number of rows found. Key columns are compared by
    /// equality (NULL matches nothing): name the version among them to update only what was read.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn bulk_update(
        &self,
        table: &'static str,
        key: &Columns<'_>,
        set: &Columns<'_>,
    ) -> Result<u64, StoreError> {
        let rows = rows(key)?;
        if set
            .iter()
            .any(|(_, data)| data.len().is_some_and(|n| n != rows))
        {
            return Err(StoreError::corrupt(
                "bulk update: keys and values differ in number",
            ));
        }
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => sqlite::update(&mut open.conn, table, key, set, rows).await,
            Inner::Postgres(open) => {
                postgres::update(&mut open.conn, self.persistent(), table, key, set, rows).await
            }
        };
        Ok(self.touched(self.note(result)?))
    }
}

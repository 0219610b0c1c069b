//! A transaction on either engine. It implements sea-orm's `ConnectionTrait`, so entities and query builders run in it,
//! and offers plain statements and bulk forms. `AssertSqlSafe` stays in this crate: statements are texts of ours, values
//! are always bound.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Value,
    Values,
};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Postgres, Sqlite};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::engine::{Engine, Open, died};
use crate::error::StoreError;
use crate::figures::Opened;
use crate::hazard::{Hazard, forget_tenant};
use crate::row::Row;

/// An open transaction. Statements run one after another; dropped, it rolls back.
pub struct Tx {
    engine: Engine,
    persistent: bool,
    /// Statements forget their tenant: only where a test broke the door.
    forgetful: bool,
    pub(crate) inner: Mutex<Inner>,
    /// A statement failed. PostgreSQL answers COMMIT with a silent rollback then, so commit is refused on both engines.
    failed: AtomicBool,
    grown: std::sync::Mutex<Vec<(&'static str, u64)>>,
    /// Tells how long it was open, where it came by a door.
    pub(crate) opened: Option<Opened>,
    wrote: AtomicBool,
    /// Each statement is a transaction of its own.
    apart: Option<Apart>,
}

/// Statements apart: in whose tenant, until when, and where another connection is if this one has died.
struct Apart {
    tenant: Option<String>,
    until: Option<Instant>,
    pool: sqlx::Pool<Postgres>,
}

pub(crate) enum Inner {
    Sqlite(Open<Sqlite>),
    Postgres(Open<Postgres>),
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({:?})", self.engine)
    }
}

/// A text of ours as sqlx wants it, without a copy where it is static.
pub(crate) fn safe(sql: Cow<'static, str>) -> sqlx::SqlStr {
    use sqlx::SqlSafeStr as _;
    match sql {
        Cow::Borrowed(sql) => sql.into_sql_str(),
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    }
}

impl Tx {
    pub(crate) fn sqlite(open: Open<Sqlite>) -> Self {
        let inner = Mutex::new(Inner::Sqlite(open));
        Self {
            engine: Engine::Sqlite,
            persistent: true,
            forgetful: false,
            inner,
            failed: AtomicBool::new(false),
            grown: std::sync::Mutex::default(),
            opened: None,
            wrote: AtomicBool::new(false),
            apart: None,
        }
    }

    pub(crate) fn postgres(open: Open<Postgres>, pooler: bool, hazard: Hazard) -> Self {
        let inner = Mutex::new(Inner::Postgres(open));
        Self {
            engine: Engine::Postgres,
            persistent: !pooler,
            forgetful: hazard == Hazard::ForgottenTenant,
            inner,
            failed: AtomicBool::new(false),
            grown: std::sync::Mutex::default(),
            opened: None,
            wrote: AtomicBool::new(false),
            apart: None,
        }
    }

    /// Statements on PostgreSQL that each set their tenant (none: nothing stands behind the door) and end by themselves.
    pub(crate) async fn apart(
        pool: &sqlx::Pool<Postgres>,
        tenant: Option<String>,
        until: Option<Instant>,
        hazard: Hazard,
    ) -> Result<Self, StoreError> {
        let open = Open::<Postgres>::idle(pool).await?;
        let pool = pool.clone();
        Ok(Self {
            apart: Some(Apart {
                tenant,
                until,
                pool,
            }),
            ..Self::postgres(open, false, hazard)
        })
    }

    /// A statement that reads, as it is sent. Apart, it sets its tenant before anything else in it is looked at: a row needs
    /// the setting's row first, and OFFSET 0 keeps the planner from turning that around.
    fn read_text(&self, sql: Cow<'static, str>, values: &mut Values) -> sqlx::SqlStr {
        let Some(tenant) = self.apart.as_ref().and_then(|apart| apart.tenant.clone()) else {
            return self.text(sql);
        };
        values.0.push(tenant.into());
        self.text(set_first(&sql, values.0.len()).into())
    }

    /// The values of a statement, once, or again and again where the statement may be sent again.
    fn given(&self, values: &mut Values) -> SqlxValues {
        SqlxValues(match &self.apart {
            Some(_) => values.clone(),
            None => Values(std::mem::take(&mut values.0)),
        })
    }

    /// After a failure: whether the connection had died and there is another one to ask.
    async fn another(
        &self,
        error: &sqlx::Error,
        tries: &mut u32,
        open: &mut Open<Postgres>,
    ) -> bool {
        let Some(apart) = &self.apart else {
            return false;
        };
        if !died(error) || is_overdue(error) || *tries > apart.pool.options().get_max_connections()
        {
            return false;
        }
        *tries += 1;
        match Open::idle(&apart.pool).await {
            Ok(next) => {
                *open = next;
                true
            }
            Err(_) => false,
        }
    }

    /// Apart, a statement is waited for until its time is over; in a transaction the server knows the time.
    async fn in_time<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match self.apart.as_ref().and_then(|apart| apart.until) {
            None => statement.await,
            Some(until) => tokio::time::timeout_at(until.into(), statement)
                .await
                .unwrap_or_else(|_| Err(overdue())),
        }
    }

    fn text(&self, sql: Cow<'static, str>) -> sqlx::SqlStr {
        if self.forgetful {
            return safe(forget_tenant(&sql).into());
        }
        safe(sql)
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether statements stay prepared (not behind a pooler).
    pub(crate) fn persistent(&self) -> bool {
        self.persistent
    }

    pub(crate) fn note<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::corrupt(
                "a statement failed and its transaction was to be committed all the same",
            ));
        }
        match self.inner.into_inner() {
            Inner::Sqlite(open) => open.commit().await?,
            Inner::Postgres(open) => open.commit().await?,
        }
        Ok(())
    }

    async fn rows(
        &self,
        sql: sqlx::SqlStr,
        values: Values,
    ) -> Result<Vec<QueryResult>, sqlx::Error> {
        let mut values = values;
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                let query = sqlx::query_with::<Sqlite, _>(sql, SqlxValues(values));
                query
                    .fetch_all(&mut *open.conn)
                    .await
                    .map(|rows| rows.into_iter().map(Into::into).collect())
            }
            Inner::Postgres(open) => {
                let mut tries = 0;
                loop {
                    let now = self.given(&mut values);
                    let query = sqlx::query_with::<Postgres, _>(sql.clone(), now);
                    let query = query.persistent(self.persistent);
                    open.busy = self.apart.is_some();
                    let done = self.in_time(query.fetch_all(&mut *open.conn)).await;
                    open.busy = stays_busy(&done);
                    match done {
                        Err(error) if self.another(&error, &mut tries, open).await => {}
                        done => break done.map(|rows| rows.into_iter().map(Into::into).collect()),
                    }
                }
            }
        };
        self.note(result)
    }

    async fn row(
        &self,
        sql: sqlx::SqlStr,
        values: Values,
    ) -> Result<Option<QueryResult>, sqlx::Error> {
        let mut values = values;
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                let query = sqlx::query_with::<Sqlite, _>(sql, SqlxValues(values));
                query
                    .fetch_optional(&mut *open.conn)
                    .await
                    .map(|row| row.map(Into::into))
            }
            Inner::Postgres(open) => {
                let mut tries = 0;
                loop {
                    let now = self.given(&mut values);
                    let query = sqlx::query_with::<Postgres, _>(sql.clone(), now);
                    let query = query.persistent(self.persistent);
                    open.busy = self.apart.is_some();
                    let done = self.in_time(query.fetch_optional(&mut *open.conn)).await;
                    open.busy = stays_busy(&done);
                    match done {
                        Err(error) if self.another(&error, &mut tries, open).await => {}
                        done => break done.map(|row| row.map(Into::into)),
                    }
                }
            }
        };
        self.note(result)
    }

    async fn exec(&self, sql: sqlx::SqlStr, values: Values) -> Result<ExecResult, sqlx::Error> {
        if self.apart.is_some() {
            return Err(sqlx::Error::Protocol(
                "a door for single reads was to write".to_owned(),
            ));
        }
        let values = SqlxValues(values);
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => sqlx::query_with::<Sqlite, _>(sql, values)
                .execute(&mut *open.conn)
                .await
                .map(Into::into),
            Inner::Postgres(open) => {
                let query =
                    sqlx::query_with::<Postgres, _>(sql, values).persistent(self.persistent);
                query.execute(&mut *open.conn).await.map(Into::into)
            }
        };
        let done: ExecResult = self.note(result)?;
        self.touched(done.rows_affected());
        Ok(done)
    }

    /// All rows of a statement with places `$1`, `$2`, … (the same text on both engines).
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn fetch(
        &self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut values = Values(values);
        let sql = self.read_text(sql.into(), &mut values);
        let rows = self.rows(sql, values).await?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// The first row of a statement, if any.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn fetch_one(
        &self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        let mut values = Values(values);
        let sql = self.read_text(sql.into(), &mut values);
        Ok(self.row(sql, values).await?.map(Row))
    }

    /// Runs a statement; the number of rows it touched.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn run(
        &self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let done = self.exec(self.text(sql.into()), Values(values)).await?;
        Ok(done.rows_affected())
    }

    /// All rows of a statement over many ids: `{in}` in the text stands for the test against them, as in
    /// `SELECT id, name FROM customer WHERE tenant = $1 AND id {in}`. One prepared statement whatever their number, and
    /// one probe of the index an id, whatever the engine believes about the table. The ids are bound after `values`; rows
    /// come in no order, so the text must not sort or limit (it may group by the id, and lock rows: in
    /// the order of ids). INSERT … SELECT, UPDATE and DELETE work as well. Each id counts once.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn fetch_in(
        &self,
        sql: &str,
        values: Vec<Value>,
        ids: &[Uuid],
    ) -> Result<Vec<Row>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let place = values.len() + 1;
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                let sql = sql.replace(
                    "{in}",
                    &format!("IN (SELECT unhex(value) FROM json_each(${place}))"),
                );
                let mut args =
                    sqlx::IntoArguments::<Sqlite>::into_arguments(SqlxValues(Values(values)));
                sqlx::Arguments::add(&mut args, json_ids(&ids)).map_err(StoreError::Corrupt)?;
                let query = sqlx::query_with::<Sqlite, _>(safe(sql.into()), args);
                query
                    .fetch_all(&mut *open.conn)
                    .await
                    .map(|rows| rows.into_iter().map(|r| Row(r.into())).collect())
            }
            Inner::Postgres(open) => {
                let mut sql = postgres_in(sql, place);
                let tenant = self.apart.as_ref().and_then(|apart| apart.tenant.as_ref());
                if tenant.is_some() {
                    sql = set_first(&sql, place + 1);
                }
                let sql = self.text(sql.into());
                let (mut values, mut tries) = (Values(values), 0);
                loop {
                    let now = self.given(&mut values);
                    let mut args = sqlx::IntoArguments::<Postgres>::into_arguments(now);
                    sqlx::Arguments::add(&mut args, ids.as_slice()).map_err(StoreError::Corrupt)?;
                    if let Some(tenant) = tenant {
                        sqlx::Arguments::add(&mut args, tenant).map_err(StoreError::Corrupt)?;
                    }
                    let query = sqlx::query_with::<Postgres, _>(sql.clone(), args);
                    let query = query.persistent(self.persistent);
                    open.busy = self.apart.is_some();
                    let done = self.in_time(query.fetch_all(&mut *open.conn)).await;
                    open.busy = stays_busy(&done);
                    match done {
                        Err(error) if self.another(&error, &mut tries, open).await => {}
                        done => {
                            break done
                                .map(|rows| rows.into_iter().map(|r| Row(r.into())).collect());
                        }
                    }
                }
            }
        };
        Ok(self.note(result)?)
    }

    /// Notes that rows were written, however many.
    pub(crate) fn touched(&self, rows: u64) -> u64 {
        if rows > 0 {
            self.wrote.store(true, Ordering::Relaxed);
        }
        rows
    }

    /// Whether rows were written by a statement that is executed or a bulk form; `UPDATE … RETURNING` that is fetched does
    /// not count.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote.load(Ordering::Relaxed)
    }

    /// Notes rows that a table gained, for the statistics.
    pub(crate) fn grew(&self, table: &'static str, rows: usize) {
        if self.engine == Engine::Postgres && rows > 0 {
            self.grown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((table, rows as u64));
        }
    }

    pub(crate) fn grown(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut *self.grown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`Tx::run`] over many ids, with `{in}` as in [`Tx::fetch_in`]: `INSERT INTO x_history SELECT … FROM x WHERE
    /// tenant = $1 AND id {in}`. For rows that this transaction has read or locked by the same ids.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn run_in(
        &self,
        sql: &str,
        values: Vec<Value>,
        ids: &[Uuid],
    ) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let place = values.len() + 1;
        let result = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => {
                let sql = sql.replace(
                    "{in}",
                    &format!("IN (SELECT unhex(value) FROM json_each(${place}))"),
                );
                let mut args =
                    sqlx::IntoArguments::<Sqlite>::into_arguments(SqlxValues(Values(values)));
                sqlx::Arguments::add(&mut args, json_ids(ids)).map_err(StoreError::Corrupt)?;
                let query = sqlx::query_with::<Sqlite, _>(safe(sql.into()), args);
                query
                    .execute(&mut *open.conn)
                    .await
                    .map(|done| done.rows_affected())
            }
            Inner::Postgres(open) => {
                let sql = sql.replace("{in}", &format!("IN (SELECT unnest(${place}::uuid[]))"));
                let mut args =
                    sqlx::IntoArguments::<Postgres>::into_arguments(SqlxValues(Values(values)));
                sqlx::Arguments::add(&mut args, ids).map_err(StoreError::Corrupt)?;
                let query = sqlx::query_with::<Postgres, _>(self.text(sql.into()), args)
                    .persistent(self.persistent);
                query
                    .execute(&mut *open.conn)
                    .await
                    .map(|done| done.rows_affected())
            }
        };
        Ok(self.touched(self.note(result)?))
    }
}

/// Nobody waits for the statement any more.
fn overdue() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Whether an error is [`overdue`].
pub(crate) fn is_overdue(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// A statement that was given up runs on.
fn stays_busy<T>(done: &Result<T, sqlx::Error>) -> bool {
    done.as_ref().is_err_and(is_overdue)
}

/// `= ANY` reads a whole tenant by its index while a young table has no statistics; OFFSET 0 keeps the planner from
/// turning the probes into such a join. Only a SELECT can be asked in this way.
fn postgres_in(sql: &str, place: usize) -> String {
    if !sql.trim_start().starts_with("SELECT") {
        return sql.replace("{in}", &format!("= ANY(${place})"));
    }
    let sql = sql.replace("{in}", "= regard_key.id");
    format!(
        "SELECT regard_row.* FROM unnest(${place}::uuid[]) regard_key(id) \
         CROSS JOIN LATERAL ({sql} OFFSET 0) regard_row"
    )
}

/// The one-statement form: the tenant is set, then the statement is looked at.
fn set_first(sql: &str, place: usize) -> String {
    format!(
        "SELECT regard_read.* FROM (SELECT set_config('regard.tenant', ${place}, true) AS tenant) regard_set \
         CROSS JOIN LATERAL (SELECT regard_asked.* FROM ({sql}) regard_asked \
         WHERE regard_set.tenant IS NOT NULL OFFSET 0) regard_read"
    )
}

/// A JSON array of hexadecimal texts.
fn json_ids(ids: &[Uuid]) -> String {
    let mut text = String::with_capacity(ids.len() * 35 + 2);
    text.push('[');
    let mut buffer = Uuid::encode_buffer();
    for (i, id) in ids.iter().enumerate() {
        text.push_str(if i == 0 { "\"" } else { ",\"" });
        text.push_str(id.simple().encode_lower(&mut buffer));
        text.push('"');
    }
    text.push(']');
    text
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        match self.engine {
            Engine::Sqlite => DbBackend::Sqlite,
            Engine::Postgres => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        let values = stmt.values.unwrap_or(Values(Vec::new()));
        self.exec(self.text(stmt.sql.into()), values)
            .await
            .map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let result: Result<ExecResult, _> = match &mut *self.inner.lock().await {
            Inner::Sqlite(open) => sqlx::Executor::execute(&mut *open.conn, sql)
                .await
                .map(Into::into),
            Inner::Postgres(open) => sqlx::Executor::execute(&mut *open.conn, sql)
                .await
                .map(Into::into),
        };
        let done = self.note(result).map_err(exec_error)?;
        self.touched(done.rows_affected());
        Ok(done)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut values = stmt.values.unwrap_or(Values(Vec::new()));
        let sql = self.read_text(stmt.sql.into(), &mut values);
        self.row(sql, values).await.map_err(query_error)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut values = stmt.values.unwrap_or(Values(Vec::new()));
        let sql = self.read_text(stmt.sql.into(), &mut values);
        self.rows(sql, values).await.map_err(query_error)
    }
}

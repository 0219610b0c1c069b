//! Current rows and their history twins: the same columns, the twin keyed by version as well.

use regard_database::{Engine, Place, StoreError, Tx};
use regard_types::{RecordId, TenantId, Uuid};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait as _, EntityTrait, FromQueryResult, Iterable as _, QueryResult};

/// An entity with a history twin; both have `tenant`, `id` and `version`.
pub(crate) trait Kept: EntityTrait {
    /// The table of current rows.
    const TABLE: &'static str;
    /// The table of former versions.
    const HISTORY: &'static str;
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Current,
    Former,
}

impl Part {
    fn table<E: Kept>(self) -> Alias {
        Alias::new(match self {
            Self::Current => E::TABLE,
            Self::Former => E::HISTORY,
        })
    }
}

fn select<E: Kept>(part: Part) -> SelectStatement {
    Query::select()
        .columns(E::Column::iter())
        .from(part.table::<E>())
        .to_owned()
}

fn is(column: &'static str, value: impl Into<Expr>) -> Expr {
    Expr::col(Alias::new(column)).eq(value)
}

async fn models<E: Kept>(
    tx: &Tx,
    statement: &SelectStatement,
) -> Result<Vec<E::Model>, StoreError> {
    let rows = tx.query_all(statement).await?;
    rows.iter()
        .map(|row| E::Model::from_query_result(row, "").map_err(StoreError::from))
        .collect()
}

/// The current row; with `lock` nobody else changes it until this transaction ends.
pub(crate) async fn current<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    lock: bool,
) -> Result<Option<E::Model>, StoreError> {
    let mut statement = select::<E>(Part::Current);
    statement
        .and_where(is("tenant", tenant.0))
        .and_where(is("id", id.0));
    // SQLite has one writer, and no row locks.
    if lock && tx.engine() == Engine::Postgres {
        statement.lock_exclusive();
    }
    Ok(models::<E>(tx, &statement).await?.pop())
}

/// One version of a row, current or former.
pub(crate) async fn version<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    version: i64,
) -> Result<Option<E::Model>, StoreError> {
    for part in [Part::Current, Part::Former] {
        let mut statement = select::<E>(part);
        statement
            .and_where(is("tenant", tenant.0))
            .and_where(is("id", id.0))
            .and_where(is("version", version));
        if let Some(model) = models::<E>(tx, &statement).await?.pop() {
            return Ok(Some(model));
        }
    }
    Ok(None)
}

/// Copies a current row into its history, before it is overwritten.
pub(crate) async fn keep<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
) -> Result<(), StoreError> {
    let mut rows = select::<E>(Part::Current);
    rows.and_where(is("tenant", tenant.0))
        .and_where(is("id", id.0));
    let mut insert = Query::insert();
    insert
        .into_table(Part::Former.table::<E>())
        .columns(E::Column::iter());
    insert.select_from(rows).map_err(StoreError::corrupt)?;
    match tx.execute(&insert).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// Rows of one of the tables by (tenant, id, version), of one tenant or of all, after a key; each with its tenant and place.
pub(crate) async fn page<E: Kept>(
    tx: &Tx,
    part: Part,
    tenant: Option<TenantId>,
    after: Option<(Uuid, Uuid, i64)>,
    limit: u64,
) -> Result<Vec<(TenantId, Place, E::Model)>, StoreError> {
    let mut statement = select::<E>(part);
    if let Some(tenant) = tenant {
        statement.and_where(is("tenant", tenant.0));
    }
    let columns = ["tenant", "id", "version"];
    if let Some((tenant, id, version)) = after {
        let key = Expr::tuple(columns.map(|c| Expr::col(Alias::new(c))));
        let values: [Expr; 3] = [Expr::val(tenant), Expr::val(id), Expr::val(version)];
        statement.and_where(key.gt(Expr::tuple(values)));
    }
    for column in columns {
        statement.order_by(Alias::new(column), Order::Asc);
    }
    statement.limit(limit);
    let rows = tx.query_all(&statement).await?;
    let read = |row: &QueryResult| {
        let place = Place {
            lane: u16::try_from(row.try_get::<i64>("", "lane")?).map_err(StoreError::corrupt)?,
            position: row.try_get::<i64>("", "position")?.cast_unsigned(),
        };
        let tenant = TenantId(row.try_get("", "tenant")?);
        Ok((tenant, place, E::Model::from_query_result(row, "")?))
    };
    rows.iter().map(read).collect()
}

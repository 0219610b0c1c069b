//! Records of which every version is kept: the current rows in one table, former versions in its twin with the same
//! columns, keyed by version as well. And both of them as a snapshot reads them.

use regard_types::{TenantId, Uuid};
use sea_orm::sea_query::{Alias, Expr};
use sea_orm::{
    ActiveModelTrait, EntityTrait, ExprTrait as _, FromQueryResult as _, IdenStatic as _,
    Iterable as _, QueryFilter as _,
};

use crate::door::Place;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::feed::snapshot::Key;
use crate::row::Row;
use crate::tx::Tx;
use sea_orm::Value;

/// An entity with a history twin; both have `tenant`, `id`, `version`, `lane` and `position`.
pub trait Kept: EntityTrait {
    /// The table of current rows.
    const TABLE: &'static str;
    /// The table of former versions.
    const HISTORY: &'static str;
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Current rows, by tenant and id.
    Current,
    /// Former versions, by tenant, id and version.
    Former,
}

impl Part {
    fn table<E: Kept>(self) -> &'static str {
        match self {
            Self::Current => E::TABLE,
            Self::Former => E::HISTORY,
        }
    }

    fn key(self) -> &'static [&'static str] {
        match self {
            Self::Current => &["tenant", "id"],
            Self::Former => &["tenant", "id", "version"],
        }
    }
}

/// Whether rows that are read are locked until the end of the transaction (SQLite has one writer anyway).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// They are not.
    No,
    /// Nobody changes them.
    Shared,
    /// Nobody else changes them, or counts on their staying as they are.
    Yes,
}

impl Lock {
    /// What follows the statement. Rows are locked in the order of their ids, so that no two writers wait for each other.
    #[must_use]
    pub fn tail(self, engine: Engine) -> &'static str {
        match (self, engine) {
            (Self::Shared, Engine::Postgres) => " FOR SHARE",
            (Self::Yes, Engine::Postgres) => " FOR UPDATE",
            (_, Engine::Sqlite) | (Self::No, _) => "",
        }
    }
}

fn columns<E: Kept>() -> String {
    let names: Vec<_> = E::Column::iter().map(|column| column.as_str()).collect();
    names.join(", ")
}

fn select<E: Kept>(part: Part) -> String {
    format!("SELECT {} FROM {}", columns::<E>(), part.table::<E>())
}

fn model<E: Kept>(row: &Row) -> Result<E::Model, StoreError> {
    Ok(E::Model::from_query_result(row.inner(), "")?)
}

/// The current row.
///
/// # Errors
/// As the engine answers.
pub async fn current<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    lock: Lock,
) -> Result<Option<E::Model>, StoreError> {
    let (select, tail) = (select::<E>(Part::Current), lock.tail(tx.engine()));
    let sql = format!("{select} WHERE tenant = $1 AND id = $2{tail}");
    let row = tx.fetch_one(sql, vec![tenant.0.into(), id.into()]).await?;
    row.as_ref().map(model::<E>).transpose()
}

/// The rows of these records in one of the tables, in no order; unknown ones are left out.
///
/// # Errors
/// As the engine answers.
pub async fn several<E: Kept>(
    tx: &Tx,
    part: Part,
    tenant: TenantId,
    ids: &[Uuid],
    lock: Lock,
) -> Result<Vec<E::Model>, StoreError> {
    let (select, tail) = (select::<E>(part), lock.tail(tx.engine()));
    let sql = format!("{select} WHERE tenant = $1 AND id {{in}}{tail}");
    let rows = tx.fetch_in(&sql, vec![tenant.0.into()], ids).await?;
    rows.iter().map(model::<E>).collect()
}

/// One version of a row, current or former.
///
/// # Errors
/// As the engine answers.
pub async fn version<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    version: i64,
) -> Result<Option<E::Model>, StoreError> {
    for part in [Part::Current, Part::Former] {
        let select = select::<E>(part);
        let sql = format!("{select} WHERE tenant = $1 AND id = $2 AND version = $3");
        let values = vec![tenant.0.into(), id.into(), version.into()];
        if let Some(row) = tx.fetch_one(sql, values).await? {
            return model::<E>(&row).map(Some);
        }
    }
    Ok(None)
}

/// Copies current rows (different ones) into their history, before they are overwritten.
///
/// # Errors
/// [`StoreError::Stale`] if one is not there; else as the engine answers.
pub async fn keep<E: Kept>(tx: &Tx, tenant: TenantId, ids: &[Uuid]) -> Result<(), StoreError> {
    let (columns, select) = (columns::<E>(), select::<E>(Part::Current));
    let history = E::HISTORY;
    let sql = format!("INSERT INTO {history} ({columns}) {select} WHERE tenant = $1 AND id {{in}}");
    match tx.run_in(&sql, vec![tenant.0.into()], ids).await? {
        kept if kept == ids.len() as u64 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// Writes the next version of a row; the one before goes to the history.
///
/// # Errors
/// [`StoreError::Stale`] if another version than the one before is stored; else as the engine answers.
pub async fn revise<E: Kept>(
    tx: &Tx,
    tenant: TenantId,
    (id, version): (Uuid, i64),
    row: impl ActiveModelTrait<Entity = E>,
) -> Result<(), StoreError> {
    keep::<E>(tx, tenant, &[id]).await?;
    let is = |column: &'static str, value: Expr| Expr::col(Alias::new(column)).eq(value);
    let done = E::update_many()
        .set(row)
        .filter(is("tenant", Expr::val(tenant.0)))
        .filter(is("id", Expr::val(id)))
        .filter(is("version", Expr::val(version - 1)))
        .exec(tx)
        .await?;
    match done.rows_affected {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// A row as a snapshot reads it, with its place in the snapshot and in the feed.
#[derive(Debug)]
pub struct Paged<M> {
    /// Where a snapshot goes on after it.
    pub key: Key,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its version lies in the feed.
    pub place: Place,
    /// The row.
    pub model: M,
}

/// A page of a snapshot: rows of one of the tables by its key, of one tenant or of all, after a key.
///
/// # Errors
/// [`StoreError::Corrupt`] for a key that no page gave; else as the engine answers.
pub async fn page<E: Kept>(
    tx: &Tx,
    part: Part,
    tenant: Option<TenantId>,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Paged<E::Model>>, StoreError> {
    let (mut sql, mut values) = (select::<E>(part), Vec::<Value>::new());
    let mut tests: Vec<String> = Vec::new();
    if let Some(tenant) = tenant {
        values.push(tenant.0.into());
        tests.push("tenant = $1".to_owned());
    }
    let key = part.key().join(", ");
    if let Some(after) = after {
        let (tenant, id, version) = read_key(after)?;
        let after = [Value::from(tenant), id.into(), version.into()];
        let places = (values.len() + 1..).take(part.key().len());
        let places: Vec<_> = places.map(|n| format!("${n}")).collect();
        values.extend(after.into_iter().take(part.key().len()));
        tests.push(format!("({key}) > ({})", places.join(", ")));
    }
    if !tests.is_empty() {
        sql = format!("{sql} WHERE {}", tests.join(" AND "));
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!("{sql} ORDER BY {key} LIMIT ${}", values.len());
    let rows = tx.fetch(sql, values).await?;
    rows.iter().map(paged::<E>).collect()
}

fn paged<E: Kept>(row: &Row) -> Result<Paged<E::Model>, StoreError> {
    let inner = row.inner();
    let (tenant, id): (Uuid, Uuid) = (inner.try_get("", "tenant")?, inner.try_get("", "id")?);
    let (lane, position): (i64, i64) = (inner.try_get("", "lane")?, inner.try_get("", "position")?);
    Ok(Paged {
        key: key(tenant, id, inner.try_get("", "version")?),
        tenant: TenantId(tenant),
        place: Place {
            lane: u16::try_from(lane).map_err(StoreError::corrupt)?,
            position: position.cast_unsigned(),
        },
        model: model::<E>(row)?,
    })
}

/// Tenant, id and version of a row: 16, 16 and 8 bytes.
fn key(tenant: Uuid, id: Uuid, version: i64) -> Key {
    let parts: [&[u8]; 3] = [tenant.as_bytes(), id.as_bytes(), &version.to_be_bytes()];
    parts.concat()
}

fn read_key(key: &Key) -> Result<(Uuid, Uuid, i64), StoreError> {
    let parts = || {
        let (tenant, rest) = key.split_first_chunk::<16>()?;
        let (id, version) = rest.split_first_chunk::<16>()?;
        let version = i64::from_be_bytes(version.try_into().ok()?);
        Some((Uuid::from_bytes(*tenant), Uuid::from_bytes(*id), version))
    };
    // Callers pass tokens on as they came: another key is no row of ours.
    parts().ok_or_else(|| StoreError::corrupt("a resume token with a key that is none"))
}

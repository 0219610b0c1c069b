//! The tables of API keys and roles.

use std::collections::BTreeMap;

use regard_database::{ColumnData, Conflict, Engine, Row, StoreError, Tx, Value};
use regard_types::record::Head;
use regard_types::{CallerLimits, Micros, RecordId, TenantId, Uuid};

use super::domain::{ApiKey, Role};

const KEY: &str =
    "id, version, created, updated, name, roles, prefix, digest, expires, revoked, creator";

fn words(text: &str) -> Vec<String> {
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn read_key(row: &Row) -> Result<ApiKey, StoreError> {
    let time = |at: Option<i64>| at.map(Micros);
    Ok(ApiKey {
        id: RecordId(row.get(0)?),
        head: Head {
            version: row.get(1)?,
            created: Micros(row.get(2)?),
            updated: Micros(row.get(3)?),
        },
        name: row.get(4)?,
        roles: words(&row.get::<String>(5)?),
        prefix: row.get(6)?,
        digest: row.digest(7)?,
        expires: time(row.get(8)?),
        revoked: time(row.get(9)?),
        creator: row.get(10)?,
    })
}

/// Locks a row until the end (SQLite has one writer anyway).
fn locked(tx: &Tx) -> &'static str {
    match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    }
}

/// A key; locked, where it is to be changed.
pub async fn key(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    lock: bool,
) -> Result<Option<ApiKey>, StoreError> {
    let tail = if lock { locked(tx) } else { "" };
    let sql = format!("SELECT {KEY} FROM api_key WHERE tenant = $1 AND id = $2{tail}");
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), id.0.into()])
        .await?;
    row.map(|row| read_key(&row)).transpose()
}

/// Keys by id, from after one.
pub async fn keys(
    tx: &Tx,
    tenant: TenantId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    let sql =
        format!("SELECT {KEY} FROM api_key WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![
        tenant.0.into(),
        after.unwrap_or(Uuid::nil()).into(),
        limit.into(),
    ];
    let rows = tx.fetch(sql, values).await?;
    rows.iter().map(read_key).collect()
}

/// The key of a prefix, of whatever tenant, with its tenant.
pub async fn by_prefix(tx: &Tx, prefix: &str) -> Result<Option<(TenantId, ApiKey)>, StoreError> {
    let sql = format!("SELECT {KEY}, tenant FROM api_key WHERE prefix = $1");
    let row = tx.fetch_one(sql, vec![prefix.into()]).await?;
    row.map(|row| Ok((TenantId(row.get(11)?), read_key(&row)?)))
        .transpose()
}

/// Stores a new key.
pub async fn insert_key(tx: &Tx, tenant: TenantId, key: &ApiKey) -> Result<(), StoreError> {
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![key.id.0].into()),
        ("version", ColumnData::OneI64(key.head.version)),
        ("created", ColumnData::OneI64(key.head.created.0)),
        ("updated", ColumnData::OneI64(key.head.updated.0)),
        ("name", ColumnData::OneText(&key.name)),
        ("roles", vec![key.roles.join(" ")].into()),
        ("prefix", ColumnData::OneText(&key.prefix)),
        ("digest", vec![key.digest.to_vec()].into()),
        ("expires", vec![key.expires.map(|at| at.0)].into()),
        ("revoked", vec![key.revoked.map(|at| at.0)].into()),
        ("creator", ColumnData::OneText(&key.creator)),
    ];
    tx.bulk_insert("api_key", &columns, Conflict::Fail).await?;
    Ok(())
}

/// Stores that a key was revoked.
pub async fn revoke(tx: &Tx, tenant: TenantId, key: &ApiKey) -> Result<(), StoreError> {
    let at = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![key.id.0].into()),
        ("version", ColumnData::OneI64(key.head.version - 1)),
    ];
    let set = [
        ("version", ColumnData::OneI64(key.head.version)),
        ("updated", ColumnData::OneI64(key.head.updated.0)),
        ("revoked", vec![key.revoked.map(|at| at.0)].into()),
    ];
    match tx.bulk_update("api_key", &at, &set).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

const ROLE: &str = "id, version, created, updated, name, title, permissions, ended";
const ROLE_ALL: &str = "tenant, id, version, created, updated, name, title, permissions, ended";

fn read_role(row: &Row) -> Result<Role, StoreError> {
    Ok(Role {
        id: RecordId(row.get(0)?),
        head: Head {
            version: row.get(1)?,
            created: Micros(row.get(2)?),
            updated: Micros(row.get(3)?),
        },
        name: row.get(4)?,
        title: row.get(5)?,
        permissions: words(&row.get::<String>(6)?),
        ended: row.flag(7)?,
    })
}

/// A role, deleted ones too; locked, where it is to be changed.
pub async fn role(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    lock: bool,
) -> Result<Option<Role>, StoreError> {
    let tail = if lock { locked(tx) } else { "" };
    let sql = format!("SELECT {ROLE} FROM access_role WHERE tenant = $1 AND id = $2{tail}");
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), id.0.into()])
        .await?;
    row.map(|row| read_role(&row)).transpose()
}

/// A version of a role.
pub async fn role_version(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    version: i64,
) -> Result<Role, StoreError> {
    if let Some(role) = role(tx, tenant, id, false).await?
        && role.head.version == version
    {
        return Ok(role);
    }
    let sql = format!(
        "SELECT {ROLE} FROM access_role_history WHERE tenant = $1 AND id = $2 AND version = $3"
    );
    let values: Vec<Value> = vec![tenant.0.into(), id.0.into(), version.into()];
    let row = tx.fetch_one(sql, values).await?;
    read_role(&row.ok_or(StoreError::Missing)?)
}

/// The roles of a tenant that are not deleted.
pub async fn roles(tx: &Tx, tenant: TenantId) -> Result<Vec<Role>, StoreError> {
    let sql = format!("SELECT {ROLE} FROM access_role WHERE tenant = $1 AND ended = 0");
    let rows = tx.fetch(sql, vec![tenant.0.into()]).await?;
    rows.iter().map(read_role).collect()
}

/// Their permissions by name.
pub async fn granted(
    tx: &Tx,
    tenant: TenantId,
) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let roles = roles(tx, tenant).await?.into_iter();
    Ok(roles.map(|role| (role.name, role.permissions)).collect())
}

/// Writes a version of a role; the former one moves to the history.
pub async fn write_role(tx: &Tx, tenant: TenantId, role: &Role) -> Result<(), StoreError> {
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![role.id.0].into()),
        ("created", ColumnData::OneI64(role.head.created.0)),
        ("name", ColumnData::OneText(&role.name)),
    ];
    let set = [
        ("version", ColumnData::OneI64(role.head.version)),
        ("updated", ColumnData::OneI64(role.head.updated.0)),
        ("title", ColumnData::OneText(&role.title)),
        ("permissions", vec![role.permissions.join(" ")].into()),
        ("ended", vec![role.ended].into()),
    ];
    if role.head.version == 1 {
        let all: Vec<_> = columns.into_iter().chain(set).collect();
        tx.bulk_insert("access_role", &all, Conflict::Fail).await?;
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO access_role_history ({ROLE_ALL}) SELECT {ROLE_ALL} FROM access_role WHERE tenant = $1 AND id = $2"
    );
    tx.run(sql, vec![tenant.0.into(), role.id.0.into()]).await?;
    let at = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![role.id.0].into()),
        ("version", ColumnData::OneI64(role.head.version - 1)),
    ];
    match tx.bulk_update("access_role", &at, &set).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// A tenant's name and limits.
pub async fn tenant(
    tx: &Tx,
    tenant: TenantId,
) -> Result<Option<(String, CallerLimits)>, StoreError> {
    let sql = "SELECT name, requests_per_second, burst FROM tenant WHERE tenant = $1 AND id = $1";
    let Some(row) = tx.fetch_one(sql, vec![tenant.0.into()]).await? else {
        return Ok(None);
    };
    let number = |value: i64| u32::try_from(value).map_err(StoreError::corrupt);
    let limits = CallerLimits {
        per_second: number(row.get(1)?)?,
        burst: number(row.get(2)?)?,
    };
    Ok(Some((row.get(0)?, limits)))
}

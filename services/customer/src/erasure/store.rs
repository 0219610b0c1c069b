//! The tables of erasures.

use std::collections::HashMap;

use prost::Message as _;
use regard_database::{ColumnData, Conflict, Engine, Positions, Row, StoreError, Tx};
use regard_erasure::{ErasureMeasures, ErasurePart, FeedCursor, Pair};
use regard_types::{Micros, TenantId, Uuid};

use super::domain::{Erasure, SERVICES, State};

const COLUMNS: &str = "id, reason, created, completed";

fn read(row: &Row) -> Result<Erasure, StoreError> {
    Ok(Erasure {
        id: row.get(0)?,
        reason: row.get(1)?,
        created: Micros(row.get(2)?),
        completed: row.get::<Option<i64>>(3)?.map(Micros),
        parts: Vec::new(),
    })
}

/// Where the lanes stand in this transaction's eyes.
pub async fn heads(tx: &Tx) -> Result<Vec<FeedCursor>, StoreError> {
    let sql = "SELECT lane, head, nonce FROM lane ORDER BY lane";
    let one = |row: &Row| {
        Ok(FeedCursor {
            lane: u32::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?,
            position: row.get::<i64>(1)?.cast_unsigned(),
            nonce: row.get::<i64>(2)?.cast_unsigned(),
        })
    };
    tx.fetch(sql, vec![]).await?.iter().map(one).collect()
}

/// Heads as they are stored.
pub fn to_bytes(heads: &[FeedCursor]) -> Vec<u8> {
    ErasureMeasures {
        heads: heads.to_vec(),
        ..ErasureMeasures::default()
    }
    .encode_to_vec()
}

/// Heads as they were stored.
pub fn of_bytes(bytes: &[u8]) -> Result<Vec<FeedCursor>, StoreError> {
    let measures = ErasureMeasures::decode(bytes).map_err(StoreError::corrupt)?;
    Ok(measures.heads)
}

/// Inserts an erasure, and which customer became which.
pub async fn insert(
    tx: &Tx,
    tenant: TenantId,
    erasure: &Erasure,
    customers: &[Pair],
    (at, heads): (Positions, &[FeedCursor]),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO erasure (tenant, id, lane, position, created, reason, completed, heads) VALUES ($1, $2, $3, $4, $5, $6, NULL, $7)";
    let values = vec![
        tenant.0.into(),
        erasure.id.into(),
        i64::from(at.lane).into(),
        at.stored(0).into(),
        erasure.created.0.into(),
        erasure.reason.clone().into(),
        to_bytes(heads).into(),
    ];
    tx.run(sql, values).await?;
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("erasure", ColumnData::OneUuid(erasure.id)),
        (
            "old",
            customers
                .iter()
                .map(|p| p.old)
                .collect::<Vec<Uuid>>()
                .into(),
        ),
        (
            "new",
            customers
                .iter()
                .map(|p| p.new)
                .collect::<Vec<Uuid>>()
                .into(),
        ),
    ];
    tx.bulk_insert("erasure_pair", &columns, Conflict::Fail)
        .await?;
    Ok(())
}

/// Which customer became which, by old id; empty once every service knows.
pub async fn pairs(tx: &Tx, tenant: TenantId, erasure: Uuid) -> Result<Vec<Pair>, StoreError> {
    let sql = "SELECT old, new FROM erasure_pair WHERE tenant = $1 AND erasure = $2 ORDER BY old";
    let one = |row: &Row| {
        Ok(Pair {
            old: row.get(0)?,
            new: row.get(1)?,
        })
    };
    let rows = tx.fetch(sql, vec![tenant.0.into(), erasure.into()]).await?;
    rows.iter().map(one).collect()
}

/// An erasure with what was reported.
pub async fn get(tx: &Tx, tenant: TenantId, id: Uuid) -> Result<Option<Erasure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE tenant = $1 AND id = $2");
    let row = tx.fetch_one(sql, vec![tenant.0.into(), id.into()]).await?;
    let mut found: Vec<Erasure> = row.iter().map(read).collect::<Result<_, _>>()?;
    add_parts(tx, tenant, &mut found).await?;
    Ok(found.pop())
}

/// A page of erasures, the latest first, after (created, id).
pub async fn page(
    tx: &Tx,
    tenant: TenantId,
    state: Option<State>,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Erasure>, StoreError> {
    let mut values = vec![tenant.0.into(), limit.into()];
    let state = match state {
        None => "",
        Some(State::Running) => " AND completed IS NULL",
        Some(State::Complete) => " AND completed IS NOT NULL",
    };
    let mut from = "";
    if let Some((created, id)) = after {
        values.extend([created.into(), id.into()]);
        from = " AND (created, id) < ($3, $4)";
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM erasure WHERE tenant = $1{state}{from} ORDER BY created DESC, id DESC LIMIT $2"
    );
    let rows = tx.fetch(sql, values).await?;
    let mut found: Vec<Erasure> = rows.iter().map(read).collect::<Result<_, _>>()?;
    add_parts(tx, tenant, &mut found).await?;
    Ok(found)
}

async fn add_parts(tx: &Tx, tenant: TenantId, found: &mut [Erasure]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = found.iter().map(|erasure| erasure.id).collect();
    let sql = "SELECT erasure, part FROM erasure_part WHERE tenant = $1 AND erasure {in}";
    let mut parts: HashMap<Uuid, Vec<ErasurePart>> = HashMap::new();
    for row in tx.fetch_in(sql, vec![tenant.0.into()], &ids).await? {
        let bytes: Vec<u8> = row.get(1)?;
        let part = ErasurePart::decode(bytes.as_slice()).map_err(StoreError::corrupt)?;
        parts.entry(row.get(0)?).or_default().push(part);
    }
    for erasure in found {
        erasure.parts = parts.remove(&erasure.id).unwrap_or_default();
        erasure.parts.sort_by(|a, b| a.service.cmp(&b.service));
    }
    Ok(())
}

/// The tenant of an erasure, for a service that reports for every tenant.
pub async fn tenant_of(tx: &Tx, id: Uuid) -> Result<Option<TenantId>, StoreError> {
    let sql = "SELECT tenant FROM erasure WHERE id = $1";
    let row = tx.fetch_one(sql, vec![id.into()]).await?;
    row.map(|row| Ok(TenantId(row.get(0)?))).transpose()
}

/// Takes what a service reported; its first report stands. With the last one the erasure is complete, and nobody needs to
/// know any more which customer became which.
pub async fn accept(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    part: &ErasurePart,
    now: Micros,
) -> Result<(), StoreError> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    };
    let key = || vec![tenant.0.into(), id.into()];
    let sql = format!("SELECT 1 FROM erasure WHERE tenant = $1 AND id = $2{lock}");
    tx.fetch_one(sql, key()).await?.ok_or(StoreError::Missing)?;
    let sql = "INSERT INTO erasure_part (tenant, erasure, service, part) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, erasure, service) DO NOTHING";
    let values = [
        key(),
        vec![part.service.clone().into(), part.encode_to_vec().into()],
    ];
    tx.run(sql, values.concat()).await?;
    let sql = "SELECT count(*) FROM erasure_part WHERE tenant = $1 AND erasure = $2";
    let row = tx.fetch_one(sql, key()).await?.ok_or(StoreError::Missing)?;
    if usize::try_from(row.get::<i64>(0)?).ok() != Some(SERVICES.len()) {
        return Ok(());
    }
    let sql =
        "UPDATE erasure SET completed = $3 WHERE tenant = $1 AND id = $2 AND completed IS NULL";
    tx.run(sql, [key(), vec![now.0.into()]].concat()).await?;
    tx.run(
        "DELETE FROM erasure_pair WHERE tenant = $1 AND erasure = $2",
        key(),
    )
    .await?;
    Ok(())
}

//! The tables of merge edges.

use std::collections::HashMap;

use regard_database::feed::ChangeRow;
use regard_database::{ColumnData, Conflict, Place, Row, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{CustomerId, Micros, TenantId, Uuid};

use super::domain::Edge;
use crate::measures::change_row;

pub const COLUMNS: &str =
    "tenant, id, version, lane, position, created, updated, into_id, evidence, ended";

/// More steps than any chain of merges can have in practice; a longer walk means that the edges form a ring.
const STEPS: usize = 10_000;

const EDGE: &str = "version, created, updated, into_id, evidence, ended";

fn read(from: CustomerId, row: &Row) -> Result<Edge, StoreError> {
    Ok(Edge {
        from,
        into: CustomerId(row.get(3)?),
        evidence: row.get(4)?,
        ended: row.flag(5)?,
        head: Head {
            version: row.get(0)?,
            created: Micros(row.get(1)?),
            updated: Micros(row.get(2)?),
        },
    })
}

/// The edge of a customer, ended ones too.
pub async fn edge(tx: &Tx, tenant: TenantId, from: CustomerId) -> Result<Option<Edge>, StoreError> {
    let sql = format!("SELECT {EDGE} FROM merge_edge WHERE tenant = $1 AND id = $2");
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), from.0.into()])
        .await?;
    row.map(|row| read(from, &row)).transpose()
}

/// A version of the edge of a customer.
pub async fn version(
    tx: &Tx,
    tenant: TenantId,
    from: CustomerId,
    version: i64,
) -> Result<Edge, StoreError> {
    match edge(tx, tenant, from).await? {
        Some(edge) if edge.head.version == version => return Ok(edge),
        _ => {}
    }
    let sql = format!(
        "SELECT {EDGE} FROM merge_edge_history WHERE tenant = $1 AND id = $2 AND version = $3"
    );
    let values = vec![tenant.0.into(), from.0.into(), version.into()];
    let row = tx.fetch_one(sql, values).await?;
    read(from, &row.ok_or(StoreError::Missing)?)
}

/// The customer that each of these stands for now; those that stand for themselves are left out.
pub async fn roots(
    tx: &Tx,
    tenant: TenantId,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, CustomerId>, StoreError> {
    let sql = "SELECT id, into_id FROM merge_edge WHERE tenant = $1 AND ended = 0 AND id {in}";
    let mut into: HashMap<Uuid, Uuid> = HashMap::new();
    let mut ask: Vec<Uuid> = customers.iter().map(|c| c.0).collect();
    // One statement a level; chains are short, and most customers are not merged at all.
    for _ in 0..STEPS {
        let mut next = Vec::new();
        for row in tx.fetch_in(sql, vec![tenant.0.into()], &ask).await? {
            let (from, to): (Uuid, Uuid) = (row.get(0)?, row.get(1)?);
            if into.insert(from, to).is_none() && !into.contains_key(&to) {
                next.push(to);
            }
        }
        next.sort();
        next.dedup();
        if next.is_empty() {
            break;
        }
        ask = next;
    }
    let mut out = HashMap::new();
    for customer in customers {
        let (mut at, mut steps) = (customer.0, 0);
        while let Some(to) = into.get(&at) {
            at = *to;
            steps += 1;
            if steps > STEPS {
                return Err(StoreError::corrupt("the merge edges form a ring"));
            }
        }
        if at != customer.0 {
            out.insert(*customer, CustomerId(at));
        }
    }
    Ok(out)
}

/// Writes a version of an edge; the former one moves to the history.
pub async fn write(tx: &Tx, tenant: TenantId, edge: &Edge, place: Place) -> Result<(), StoreError> {
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![edge.from.0].into()),
        ("created", ColumnData::OneI64(edge.head.created.0)),
    ];
    let set = [
        ("version", ColumnData::OneI64(edge.head.version)),
        ("lane", ColumnData::OneI64(i64::from(place.lane))),
        ("position", ColumnData::OneI64(place.position.cast_signed())),
        ("updated", ColumnData::OneI64(edge.head.updated.0)),
        ("into_id", ColumnData::OneUuid(edge.into.0)),
        ("evidence", ColumnData::OneText(&edge.evidence)),
        ("ended", vec![edge.ended].into()),
    ];
    if edge.head.version == 1 {
        let all: Vec<_> = columns.into_iter().chain(set).collect();
        tx.bulk_insert("merge_edge", &all, Conflict::Fail).await?;
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO merge_edge_history ({COLUMNS}) SELECT {COLUMNS} FROM merge_edge WHERE tenant = $1 AND id = $2"
    );
    tx.run(sql, vec![tenant.0.into(), edge.from.0.into()])
        .await?;
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![edge.from.0].into()),
        ("version", ColumnData::OneI64(edge.head.version - 1)),
    ];
    match tx.bulk_update("merge_edge", &key, &set).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// A row of the current table or the history, as the change that wrote it.
pub fn change(row: &Row) -> Result<ChangeRow, StoreError> {
    // tenant, id, version, lane, position, created, updated, into_id, evidence, ended
    let edge = Edge {
        from: CustomerId(row.get(1)?),
        into: CustomerId(row.get(7)?),
        evidence: row.get(8)?,
        ended: row.flag(9)?,
        head: Head {
            version: row.get(2)?,
            created: Micros(row.get(5)?),
            updated: Micros(row.get(6)?),
        },
    };
    change_row((row.get(0)?, row.get(3)?, row.get(4)?), &edge)
}

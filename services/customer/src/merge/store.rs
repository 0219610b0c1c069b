//! The tables of merge edges.

use std::collections::HashMap;

use regard_database::feed::ChangeRow;
use regard_database::history::{self, Kept, Lock, Paged};
use regard_database::{ColumnData, Conflict, Place, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{CustomerId, Micros, TenantId, Uuid};
use sea_orm::entity::prelude::*;

use super::domain::Edge;
use crate::measures::change_row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "merge_edge")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub version: i64,
    pub lane: i64,
    pub position: i64,
    pub created: i64,
    pub updated: i64,
    pub into_id: Uuid,
    pub evidence: String,
    pub ended: i16,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "merge_edge";
    const HISTORY: &'static str = "merge_edge_history";
}

/// More steps than any chain of merges can have in practice; a longer walk means that the edges form a ring.
const STEPS: usize = 10_000;

impl From<Model> for Edge {
    fn from(row: Model) -> Self {
        Edge {
            from: CustomerId(row.id),
            into: CustomerId(row.into_id),
            evidence: row.evidence,
            ended: row.ended != 0,
            head: Head {
                version: row.version,
                created: Micros(row.created),
                updated: Micros(row.updated),
            },
        }
    }
}

/// The edge of a customer, ended ones too.
pub async fn edge(tx: &Tx, tenant: TenantId, from: CustomerId) -> Result<Option<Edge>, StoreError> {
    let row = history::current::<Entity>(tx, tenant, from.0, Lock::No).await?;
    Ok(row.map(Edge::from))
}

/// A version of the edge of a customer.
pub async fn version(
    tx: &Tx,
    tenant: TenantId,
    from: CustomerId,
    version: i64,
) -> Result<Edge, StoreError> {
    let row = history::version::<Entity>(tx, tenant, from.0, version).await?;
    Ok(row.ok_or(StoreError::Missing)?.into())
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
    history::keep::<Entity>(tx, tenant, &[edge.from.0]).await?;
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
pub fn change(row: Paged<Model>) -> Result<ChangeRow, StoreError> {
    change_row((row.tenant, row.place), &Edge::from(row.model))
}

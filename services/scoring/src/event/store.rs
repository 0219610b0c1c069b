//! The event table.

use regard_database::{ColumnData, Conflict, Row, StoreError, Tx};
use regard_types::{Channel, CustomerId, Micros, RecordId, TenantId, Uuid};

use super::domain::{Event, Kind};

/// The columns that [`read`] expects, in its order.
const COLUMNS: &str = "customer, kind, record, version, part, lane, position, occurred, recorded, live, anonymous, value, aux, link, metric, dimension, question, channel";

/// Adds events; those that are stored already change nothing, so that twice is once.
///
/// # Errors
/// What the engine answers.
pub async fn insert(
    tx: &Tx,
    tenant: TenantId,
    load: i64,
    events: &[Event],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let uuids = |f: fn(&Event) -> Uuid| ColumnData::from(events.iter().map(f).collect::<Vec<_>>());
    let numbers = |f: fn(&Event) -> i64| ColumnData::from(events.iter().map(f).collect::<Vec<_>>());
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("load", ColumnData::OneI64(load)),
        ("customer", uuids(|e| e.customer.0)),
        ("kind", numbers(|e| i64::from(e.kind.number()))),
        ("record", uuids(|e| e.record.0)),
        ("version", numbers(|e| e.version)),
        ("part", numbers(|e| i64::from(e.part))),
        ("lane", numbers(|e| i64::from(e.lane))),
        (
            "position",
            numbers(|e| i64::try_from(e.position).unwrap_or(i64::MAX)),
        ),
        ("occurred", numbers(|e| e.occurred.0)),
        ("recorded", numbers(|e| e.recorded.0)),
        (
            "live",
            ColumnData::Flag(events.iter().map(|e| e.live).collect()),
        ),
        (
            "anonymous",
            ColumnData::Flag(events.iter().map(|e| e.anonymous).collect()),
        ),
        ("value", numbers(|e| e.value)),
        ("aux", numbers(|e| e.aux)),
        (
            "link",
            ColumnData::from(events.iter().map(|e| e.link).collect::<Vec<_>>()),
        ),
        (
            "metric",
            ColumnData::Str(events.iter().map(|e| e.metric.as_str()).collect()),
        ),
        (
            "dimension",
            ColumnData::Str(events.iter().map(|e| e.dimension.as_str()).collect()),
        ),
        (
            "question",
            ColumnData::Str(events.iter().map(|e| e.question.as_str()).collect()),
        ),
        (
            "channel",
            ColumnData::OptStr(
                events
                    .iter()
                    .map(|e| e.channel.map(Channel::as_str))
                    .collect(),
            ),
        ),
    ];
    let key = [
        "tenant", "customer", "kind", "record", "version", "part", "load",
    ];
    tx.bulk_insert("event", &columns, Conflict::Ignore { key: &key })
        .await?;
    Ok(())
}

/// The events of some arrival ids, in no order.
///
/// # Errors
/// What the engine answers.
pub async fn of_customers(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    arrivals: &[Uuid],
) -> Result<Vec<Event>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE tenant = $1 AND load IN ($2, $3) AND customer {{in}}"
    );
    let rows = tx
        .fetch_in(
            &sql,
            vec![
                tenant.0.into(),
                loads.customer.into(),
                loads.feedback.into(),
            ],
            arrivals,
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The loads that count, one a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loads {
    /// Of the customer service's feed.
    pub customer: i64,
    /// Of the feedback service's feed.
    pub feedback: i64,
}

/// The live merge edges, by the latest version of each, that leave or reach some customers: (from, into, record).
///
/// # Errors
/// What the engine answers.
pub async fn merges_of(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    customers: &[Uuid],
) -> Result<Vec<Edge>, StoreError> {
    let mut edges = Vec::new();
    for column in ["customer", "link"] {
        let sql = format!(
            "SELECT customer, link, record, version, live FROM event WHERE tenant = $1 AND load = $2 AND kind = 4 AND {column} {{in}}"
        );
        for row in tx
            .fetch_in(
                &sql,
                vec![tenant.0.into(), loads.customer.into()],
                customers,
            )
            .await?
        {
            edges.push(Edge {
                from: row.get(0)?,
                into: row.get(1)?,
                record: row.get(2)?,
                version: row.get(3)?,
                live: row.flag(4)?,
            });
        }
    }
    Ok(edges)
}

/// One version of a merge edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The customer that was merged.
    pub from: Uuid,
    /// The customer that it is part of.
    pub into: Uuid,
    /// The edge's record.
    pub record: Uuid,
    /// The version.
    pub version: i64,
    /// False once undone.
    pub live: bool,
}

/// Reads a row of [`COLUMNS`].
fn read(row: &Row) -> Result<Event, StoreError> {
    let kind: i64 = row.get(1)?;
    let kind = i32::try_from(kind)
        .ok()
        .and_then(Kind::of)
        .ok_or_else(|| StoreError::corrupt("an event of no known kind"))?;
    let channel: Option<String> = row.get(17)?;
    Ok(Event {
        customer: CustomerId(row.get(0)?),
        kind,
        record: RecordId(row.get(2)?),
        version: row.get(3)?,
        part: i32::try_from(row.get::<i64>(4)?).unwrap_or(0),
        lane: u16::try_from(row.get::<i64>(5)?).unwrap_or(0),
        position: u64::try_from(row.get::<i64>(6)?).unwrap_or(0),
        occurred: Micros(row.get(7)?),
        recorded: Micros(row.get(8)?),
        live: row.flag(9)?,
        anonymous: row.flag(10)?,
        value: row.get(11)?,
        aux: row.get(12)?,
        link: row.get(13)?,
        metric: row.get(14)?,
        dimension: row.get(15)?,
        question: row.get(16)?,
        channel: channel.and_then(|c| Channel::parse(&c).ok()),
    })
}

/// The merge edges of all tenants in a load: tenant, customer, and what it was merged into.
///
/// # Errors
/// What the engine answers.
pub async fn edges(tx: &Tx, load: i64) -> Result<Vec<(TenantId, Uuid, Option<Uuid>)>, StoreError> {
    let sql = "SELECT tenant, customer, link FROM event WHERE kind = 4 AND load = $1";
    let rows = tx.fetch(sql, vec![load.into()]).await?;
    let edge = |row: &Row| Ok((TenantId(row.get(0)?), row.get(1)?, row.get(2)?));
    rows.iter().map(edge).collect()
}

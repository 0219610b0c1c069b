//! The tables of ids that were replaced: which became which, and until when that must be known.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use regard_database::{ColumnData, Conflict, StoreError, Table, Tx};
use regard_erasure::{ErasureMeasures, FeedCursor, Pair};
use regard_types::{CustomerId, RecordId, Service, TenantId, Uuid};

use crate::event::{Event, Kind};

/// What a feed tells of an erasure, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Erased {
    /// The erasure.
    pub erasure: Uuid,
    /// Whether it is the last part.
    pub last: bool,
    /// All customers of the person.
    pub customers: Vec<Pair>,
    /// Records of the person.
    pub records: Vec<Pair>,
    /// Where the feed's lanes stood.
    pub heads: Vec<FeedCursor>,
}

/// The tables.
#[must_use]
pub fn tables() -> [Table; 2] {
    [
        Table::new("relabel")
            .uuid("tenant")
            .uuid("old")
            .uuid("new")
            .uuid("erasure")
            .primary(&["tenant", "old"])
            .index("relabel_erasure", &["tenant", "erasure"]),
        // By feed: where its lanes stood when it told of the erasure.
        Table::new("erasure_heads")
            .uuid("tenant")
            .uuid("erasure")
            .word("feed", &["customer", "feedback"])
            .bytes("heads")
            .primary(&["tenant", "erasure", "feed"]),
    ]
}

/// Notes which ids were replaced, and where the feed stood.
///
/// # Errors
/// What the engine answers.
pub async fn note(
    tx: &Tx,
    feed: Service,
    tenant: TenantId,
    erased: &Erased,
) -> Result<(), StoreError> {
    let mut pairs: Vec<Pair> = erased
        .customers
        .iter()
        .chain(&erased.records)
        .copied()
        .collect();
    pairs.sort_unstable();
    pairs.dedup_by_key(|pair| pair.old);
    if !pairs.is_empty() {
        let columns = [
            ("tenant", ColumnData::OneUuid(tenant.0)),
            (
                "old",
                pairs.iter().map(|p| p.old).collect::<Vec<_>>().into(),
            ),
            (
                "new",
                pairs.iter().map(|p| p.new).collect::<Vec<_>>().into(),
            ),
            ("erasure", ColumnData::OneUuid(erased.erasure)),
        ];
        let conflict = Conflict::Ignore {
            key: &["tenant", "old"],
        };
        tx.bulk_insert("relabel", &columns, conflict).await?;
    }
    let heads = ErasureMeasures {
        heads: erased.heads.clone(),
        ..ErasureMeasures::default()
    };
    let sql = "INSERT INTO erasure_heads (tenant, erasure, feed, heads) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, erasure, feed) DO NOTHING";
    let values = vec![
        tenant.0.into(),
        erased.erasure.into(),
        feed.as_str().into(),
        heads.encode_to_vec().into(),
    ];
    tx.run(sql, values).await?;
    Ok(())
}

/// What became of some ids; those that were not replaced are left out.
///
/// # Errors
/// What the engine answers.
pub async fn news(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    let sql = "SELECT old, new FROM relabel WHERE tenant = $1 AND old {in}";
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], ids).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Events as they are stored: under the ids that count now.
///
/// # Errors
/// What the engine answers.
pub async fn mapped<'a>(
    tx: &Tx,
    tenant: TenantId,
    events: &'a [Event],
) -> Result<Cow<'a, [Event]>, StoreError> {
    let sql = "SELECT 1 FROM relabel WHERE tenant = $1 LIMIT 1";
    if tx.fetch_one(sql, vec![tenant.0.into()]).await?.is_none() {
        return Ok(Cow::Borrowed(events));
    }
    let ids: BTreeSet<Uuid> = events
        .iter()
        .flat_map(|e| [Some(e.customer.0), Some(e.record.0), link(e)])
        .flatten()
        .collect();
    let news = news(tx, tenant, &ids.into_iter().collect::<Vec<_>>()).await?;
    if news.is_empty() {
        return Ok(Cow::Borrowed(events));
    }
    let new = |id: Uuid| news.get(&id).copied().unwrap_or(id);
    let map = |e: &Event| Event {
        customer: CustomerId(new(e.customer.0)),
        record: RecordId(new(e.record.0)),
        link: e.link.map(|id| link(e).map_or(id, new)),
        ..e.clone()
    };
    Ok(Cow::Owned(events.iter().map(map).collect()))
}

/// The link of an event that leads to a customer or a record of one.
fn link(e: &Event) -> Option<Uuid> {
    e.link
        .filter(|_| matches!(e.kind, Kind::Refund | Kind::Merge))
}

/// Moves the stored events of some arrival ids, and the merge edges that lead to them, to the ids that count now, whatever load
/// they belong to; the number of events moved. One that lies there already stays.
///
/// # Errors
/// What the engine answers.
pub async fn move_events(tx: &Tx, tenant: TenantId, arrivals: &[Uuid]) -> Result<u64, StoreError> {
    let old = "SELECT old FROM relabel WHERE tenant = $1";
    let mut moved = 0;
    for (of, gone) in [
        ("e.customer {in}", "customer {in}"),
        ("e.kind = 4 AND e.link {in}", "kind = 4 AND link {in}"),
    ] {
        // Where only the link moves, the row itself is the one in the way.
        let insert = format!(
            "INSERT INTO event (tenant, customer, kind, record, version, part, load, lane, position, occurred, recorded, live, \
             anonymous, value, aux, link, metric, dimension, question, channel) \
             SELECT e.tenant, coalesce(c.new, e.customer), e.kind, coalesce(r.new, e.record), e.version, e.part, e.load, e.lane, \
             e.position, e.occurred, e.recorded, e.live, e.anonymous, e.value, e.aux, coalesce(l.new, e.link), e.metric, \
             e.dimension, e.question, e.channel FROM event e \
             LEFT JOIN relabel c ON c.tenant = e.tenant AND c.old = e.customer \
             LEFT JOIN relabel r ON r.tenant = e.tenant AND r.old = e.record \
             LEFT JOIN relabel l ON l.tenant = e.tenant AND l.old = e.link AND e.kind IN (3, 4) \
             WHERE e.tenant = $1 AND (c.new IS NOT NULL OR r.new IS NOT NULL OR l.new IS NOT NULL) AND {of} \
             ON CONFLICT (tenant, customer, kind, record, version, part, load) DO UPDATE SET link = excluded.link"
        );
        moved += tx.run_in(&insert, vec![tenant.0.into()], arrivals).await?;
        let delete = format!(
            "DELETE FROM event WHERE tenant = $1 AND (customer IN ({old}) OR record IN ({old})) AND {gone}"
        );
        tx.run_in(&delete, vec![tenant.0.into()], arrivals).await?;
    }
    Ok(moved)
}

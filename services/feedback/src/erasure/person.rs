//! What this service holds of a person, and how it loses its name. The transaction is alone with the tenant.

use std::collections::HashMap;

use regard_database::history::Kept;
use regard_database::{Change, ColumnData, Database, StoreError, System, Tx};
use regard_erasure::{Counts, Feeds, KIND, Pair, bury, fresh, note};
use regard_types::{Fault, IdKey, RecordId, TenantId, Uuid};

use super::feed::parts;
use super::store::heads;
use crate::{complaint, feedback_item, response};

/// A kind of record, its tables, and whether its rows carry a digest of their content.
struct Kind {
    name: &'static str,
    tables: [&'static str; 2],
    digest: bool,
}

const fn kind<E: Kept>(name: &'static str, digest: bool) -> Kind {
    Kind {
        name,
        tables: [E::TABLE, E::HISTORY],
        digest,
    }
}

const KINDS: [Kind; 3] = [
    kind::<response::Entity>(response::KIND, true),
    kind::<feedback_item::Entity>(feedback_item::KIND, false),
    kind::<complaint::Entity>(complaint::KIND, false),
];

/// Removes what the person said, gives the records the new ids, and tells of it.
pub(super) async fn erase(
    db: &Database,
    tx: &mut System,
    (tenant, erasure): (TenantId, Uuid),
    customers: &[Pair],
) -> Result<(), Fault> {
    let ids = db.ids(tenant);
    let new: HashMap<Uuid, Uuid> = customers.iter().map(|pair| (pair.old, pair.new)).collect();
    let mut found = Vec::new();
    for kind in &KINDS {
        found.push(records(tx, tenant, kind, customers).await?);
    }
    let records: Vec<Pair> = found.iter().flatten().map(|(record, _)| *record).collect();
    let count = parts(customers, &records, &[]).len();
    let at = tx
        .reserve(u32::try_from(count).map_err(Fault::bug)?)
        .await?;
    // Nobody else writes for this tenant now: all that names an old id lies before these places.
    let heads = heads(tx).await?;
    let mut counts = Counts::default();
    for (kind, records) in KINDS.iter().zip(&found) {
        forget(tx, tenant, kind, records, &mut counts).await?;
        relabel(tx, tenant, (kind, &ids), records, &new, &mut counts).await?;
    }
    let graves = customers.iter().flat_map(|pair| [pair.old, pair.new]);
    let graves: Vec<Uuid> = graves.chain(records.iter().map(|pair| pair.old)).collect();
    bury(tx, tenant, &ids, erasure, &graves).await?;
    let feeds = (Feeds::CUSTOMER, Feeds::CUSTOMER);
    note(tx, (tenant, erasure), &counts, feeds, tx.now()).await?;
    let told = parts(customers, &records, &heads);
    let now = tx.now();
    for ((version, position), measures) in (1..).zip(at.first..).zip(told) {
        let change = Change {
            kind: KIND,
            record: RecordId(erasure),
            version,
            customer: None,
            occurred_at: now,
            measures,
            position,
        };
        tx.change(tenant, change);
    }
    Ok(())
}

/// A record's new id, and whose it was.
type Found = (Pair, Uuid);

async fn records(
    tx: &Tx,
    tenant: TenantId,
    kind: &Kind,
    customers: &[Pair],
) -> Result<Vec<Found>, StoreError> {
    let old: Vec<Uuid> = customers.iter().map(|pair| pair.old).collect();
    let table = kind.tables[0];
    let sql = format!("SELECT id, customer FROM {table} WHERE tenant = $1 AND customer {{in}}");
    let mut owner: HashMap<Uuid, Uuid> = HashMap::new();
    for row in tx.fetch_in(&sql, vec![tenant.0.into()], &old).await? {
        owner.insert(row.get(0)?, row.get(1)?);
    }
    let pairs = fresh(&owner.keys().copied().collect::<Vec<_>>())?;
    let with_owner = |pair: Pair| owner.get(&pair.old).map(|customer| (pair, *customer));
    Ok(pairs.into_iter().filter_map(with_owner).collect())
}

async fn forget(
    tx: &Tx,
    tenant: TenantId,
    kind: &Kind,
    records: &[Found],
    counts: &mut Counts,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM record_text WHERE tenant = $1 AND kind = $2 AND id {in}";
    let old: Vec<Uuid> = records.iter().map(|(pair, _)| pair.old).collect();
    let gone = tx
        .run_in(sql, vec![tenant.0.into(), kind.name.into()], &old)
        .await?;
    counts.removed("record_text", gone);
    Ok(())
}

async fn relabel(
    tx: &Tx,
    tenant: TenantId,
    (kind, ids): (&Kind, &IdKey),
    records: &[Found],
    customers: &HashMap<Uuid, Uuid>,
    counts: &mut Counts,
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let uuids = |of: &dyn Fn(&Found) -> Uuid| {
        ColumnData::from(records.iter().map(of).collect::<Vec<Uuid>>())
    };
    let none = || ColumnData::from(vec![None::<&str>; records.len()]);
    let customer = |(_, old): &Found| customers.get(old).copied().unwrap_or(*old);
    let mut set = vec![
        ("id", uuids(&|(pair, _)| pair.new)),
        ("customer", uuids(&customer)),
        ("source", none()),
        ("external_id", none()),
    ];
    if kind.digest {
        // The digest of a content holds what was said: that of nothing takes its place.
        let digest = |(pair, _): &Found| ids.digest("erased content", pair.new.as_bytes());
        let digests: Vec<Vec<u8>> = records.iter().map(|r| digest(r).to_vec()).collect();
        set.push(("digest", digests.into()));
    }
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", uuids(&|(pair, _)| pair.old)),
    ];
    for table in kind.tables {
        counts.relabelled(table, tx.bulk_update(table, &key, &set).await?);
    }
    Ok(())
}

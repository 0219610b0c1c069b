//! Forgetting which id became which, once no row can come any more that names an old one.

use std::collections::BTreeMap;

use prost::Message as _;
use regard_database::{StoreError, Tx};
use regard_proto::common::v1::{ErasureMeasures, FeedCursor};
use regard_types::{Fault, Service, TenantId, Uuid};

use crate::core::Core;
use crate::follow;

/// Erasures of one round.
const ROUND: i64 = 1_000;

/// Forgets the mappings of erasures that both feeds have told of and whose places every lane of both has passed; how many.
///
/// # Errors
/// What the engine answers.
pub async fn forget(core: &Core) -> Result<u64, Fault> {
    let tx = core.db.read_system().await?;
    let passed = passed(&tx).await?;
    drop(tx);
    for (tenant, erasure) in &passed {
        let tx = core.db.system().await?;
        for table in ["relabel", "erasure_heads"] {
            let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND erasure = $2");
            tx.run(sql, vec![tenant.0.into(), (*erasure).into()])
                .await?;
        }
        tx.commit().await?;
    }
    Ok(passed.len() as u64)
}

/// Where the lanes of a feed stood.
type Told = (Service, Vec<FeedCursor>);

async fn passed(tx: &Tx) -> Result<Vec<(TenantId, Uuid)>, StoreError> {
    let sql =
        "SELECT tenant, erasure, feed, heads FROM erasure_heads ORDER BY tenant, erasure LIMIT $1";
    let mut told: BTreeMap<(TenantId, Uuid), Vec<Told>> = BTreeMap::new();
    for row in tx.fetch(sql, vec![ROUND.into()]).await? {
        let feed: String = row.get(2)?;
        let feed =
            Service::parse(&feed).ok_or_else(|| StoreError::corrupt("heads of no known feed"))?;
        let bytes: Vec<u8> = row.get(3)?;
        let heads = ErasureMeasures::decode(bytes.as_slice()).map_err(StoreError::corrupt)?;
        let of = (TenantId(row.get(0)?), row.get(1)?);
        told.entry(of).or_default().push((feed, heads.heads));
    }
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let loads = follow::store::loads(tx).await?;
    let places = |cursors: Vec<follow::store::Cursor>| -> BTreeMap<u32, u64> {
        cursors
            .iter()
            .map(|c| (u32::from(c.lane), c.position))
            .collect()
    };
    let customer = places(follow::store::cursors(tx, loads.customer).await?);
    let feedback = places(follow::store::cursors(tx, loads.feedback).await?);
    let past = |(feed, heads): &Told| {
        let at = match feed {
            Service::Feedback => &feedback,
            Service::Customer | Service::Scoring => &customer,
        };
        heads
            .iter()
            .all(|head| at.get(&head.lane).copied().unwrap_or(0) >= head.position)
    };
    let done = told
        .into_iter()
        .filter(|(_, feeds)| feeds.len() == 2 && feeds.iter().all(past));
    Ok(done.map(|(of, _)| of).collect())
}

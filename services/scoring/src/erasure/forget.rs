//! Forgetting which id became which, once no row can come any more that names an old one.

use std::collections::BTreeMap;

use prost::Message as _;
use regard_database::{Database, StoreError, Tx};
use regard_proto::common::v1::{ErasureMeasures, FeedCursor};
use regard_types::{Fault, Service, TenantId, Uuid};

use crate::core::Core;
use crate::follow;

/// Rows that are read at once; an erasure has two at most.
const PAGE: usize = 1_000;

/// Forgets the mappings of erasures that both feeds have told of and whose places every lane of both has passed; how many.
///
/// # Errors
/// What the engine answers.
pub async fn forget(core: &Core) -> Result<u64, Fault> {
    forget_by(&core.db, PAGE).await
}

async fn forget_by(db: &Database, rows: usize) -> Result<u64, Fault> {
    let mut forgotten = 0;
    let mut after = None;
    loop {
        let tx = db.read_system().await?;
        let page = page(&tx, after, rows).await?;
        drop(tx);
        for (tenant, erasure) in &page.passed {
            let tx = db.system().await?;
            for table in ["relabel", "erasure_heads"] {
                let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND erasure = $2");
                tx.run(sql, vec![tenant.0.into(), (*erasure).into()])
                    .await?;
            }
            tx.commit().await?;
            forgotten += 1;
        }
        // Those that have not passed stay behind: the next ones may have.
        after = page.next;
        if after.is_none() {
            return Ok(forgotten);
        }
    }
}

/// An erasure of a tenant.
type Key = (TenantId, Uuid);

struct Page {
    passed: Vec<Key>,
    /// The last erasure that was looked at, if there are more.
    next: Option<Key>,
}

/// Where the lanes of a feed stood.
type Told = (Service, Vec<FeedCursor>);

async fn page(tx: &Tx, after: Option<Key>, rows: usize) -> Result<Page, StoreError> {
    let limit = i64::try_from(rows).unwrap_or(i64::MAX);
    let mut values = vec![limit.into()];
    let mut from = "";
    if let Some((tenant, erasure)) = after {
        values.extend([tenant.0.into(), erasure.into()]);
        from = " WHERE (tenant, erasure) > ($2, $3)";
    }
    let sql = format!(
        "SELECT tenant, erasure, feed, heads FROM erasure_heads{from} ORDER BY tenant, erasure, feed LIMIT $1"
    );
    let found = tx.fetch(sql, values).await?;
    let mut told: BTreeMap<Key, Vec<Told>> = BTreeMap::new();
    for row in &found {
        let feed: String = row.get(2)?;
        let feed =
            Service::parse(&feed).ok_or_else(|| StoreError::corrupt("heads of no known feed"))?;
        let bytes: Vec<u8> = row.get(3)?;
        let heads = ErasureMeasures::decode(bytes.as_slice()).map_err(StoreError::corrupt)?;
        let of = (TenantId(row.get(0)?), row.get(1)?);
        told.entry(of).or_default().push((feed, heads.heads));
    }
    let mut next = None;
    if found.len() == rows {
        // The other row of the last one may be on the next page.
        if told.len() > 1 {
            told.pop_last();
        }
        next = told.keys().next_back().copied();
    }
    if told.is_empty() {
        return Ok(Page {
            passed: Vec::new(),
            next,
        });
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
    Ok(Page {
        passed: done.map(|(of, _)| of).collect(),
        next,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_database::DatabaseSettings;
    use regard_testkit::TestStore;
    use regard_types::{Clock, IdSecret};

    use super::*;

    regard_testkit::on_both_engines!(erasures_that_have_not_passed_keep_no_other_waiting);

    async fn erasures_that_have_not_passed_keep_no_other_waiting(store: TestStore) {
        let settings = DatabaseSettings {
            migrate_url: store.migrate_url.clone(),
            ..DatabaseSettings::new(&store.url)
        };
        let (steps, secret) = (crate::schema_steps(), IdSecret([7; 32]));
        let db = Database::open(&settings, Service::Scoring, steps, Clock::System, secret);
        let db = db.await.unwrap();
        let tx = db.system().await.unwrap();
        // The last one alone has passed: its feeds stood at their beginning.
        for erasure in 1..=9_u128 {
            let heads = ErasureMeasures {
                heads: vec![FeedCursor {
                    lane: 0,
                    position: if erasure == 9 { 0 } else { 100 },
                    nonce: 1,
                }],
                ..ErasureMeasures::default()
            };
            for feed in ["customer", "feedback"] {
                let sql = "INSERT INTO erasure_heads (tenant, erasure, feed, heads) VALUES ($1, $2, $3, $4)";
                let values = vec![
                    Uuid::from_u128(7).into(),
                    Uuid::from_u128(erasure).into(),
                    feed.into(),
                    heads.encode_to_vec().into(),
                ];
                tx.run(sql, values).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
        for rows in [3, 4, 1_000] {
            let forgotten = forget_by(&db, rows).await.unwrap();
            assert_eq!(forgotten, u64::from(rows == 3), "by {rows}");
        }
        let tx = db.read_system().await.unwrap();
        let sql = "SELECT count(*) FROM erasure_heads";
        let left: i64 = tx
            .fetch_one(sql, vec![])
            .await
            .unwrap()
            .unwrap()
            .get(0)
            .unwrap();
        assert_eq!(left, 2 * 8);
        drop(tx);
        db.close().await;
    }
}

//! Erasures in the feed and in its snapshot.

use async_trait::async_trait;
use prost::Message as _;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source, pair_key, read_pair};
use regard_database::{StoreError, Tx, Value};
use regard_erasure::{KIND, Pair};
use regard_proto::common::v1::FeedCursor;
use regard_proto::customer::v1::{Measures, measures::Record};
use regard_types::{Micros, RecordId, TenantId, Uuid};

use super::store;

/// What the feed tells of an erasure, in as many parts as its records need.
pub fn parts(customers: &[Pair], records: &[Pair], heads: &[FeedCursor]) -> Vec<Vec<u8>> {
    let told = |erasure| {
        let record = Some(Record::Erasure(erasure));
        Measures { record }.encode_to_vec()
    };
    let parts = regard_erasure::parts(customers, records, heads);
    parts.into_iter().map(told).collect()
}

/// The erasures that some service has not reported yet: who reads a snapshot instead of the feed must not miss them.
pub struct Erasures;

#[async_trait]
impl Source for Erasures {
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, ChangeRow)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values: Vec<Value> = vec![limit.into()];
        let mut tests = String::new();
        if let Some(tenant) = tenant {
            values.push(tenant.0.into());
            tests.push_str(" AND tenant = $2");
        }
        if let Some(after) = after {
            let (tenant, id) = read_pair(after)?;
            let n = values.len() + 1;
            values.extend([tenant.into(), id.into()]);
            tests.push_str(&format!(" AND (tenant, id) > (${n}, ${})", n + 1));
        }
        let sql = format!(
            "SELECT tenant, id, lane, position, created, heads FROM erasure WHERE completed IS NULL{tests} ORDER BY tenant, id LIMIT $1"
        );
        let mut out = Vec::new();
        for row in tx.fetch(sql, values).await? {
            let (tenant, id) = (TenantId(row.get(0)?), row.get::<Uuid>(1)?);
            let heads = store::of_bytes(&row.get::<Vec<u8>>(5)?)?;
            let customers = store::pairs(tx, tenant, id).await?;
            let measures = parts(&customers, &[], &heads).pop().unwrap_or_default();
            let at = Micros(row.get(4)?);
            let change = ChangeRow {
                lane: u16::try_from(row.get::<i64>(2)?).map_err(StoreError::corrupt)?,
                position: row.get::<i64>(3)?.cast_unsigned(),
                nonce: 0,
                tenant,
                kind: KIND.to_owned(),
                record: RecordId(id),
                version: 1,
                customer: None,
                occurred_at: at,
                recorded_at: at,
                measures,
                trace: None,
            };
            out.push((pair_key(tenant, id), change));
        }
        Ok(out)
    }
}

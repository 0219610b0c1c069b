//! Erasures in this service's own feed and in its snapshot.

use async_trait::async_trait;
use prost::Message as _;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source, pair_key, read_pair};
use regard_database::{StoreError, Tx, Value};
use regard_erasure::{KIND, Pair};
use regard_proto::common::v1::FeedCursor;
use regard_proto::feedback::v1::{Measures, measures::Record};
use regard_types::{Micros, RecordId, TenantId, Uuid};

/// What the feed tells of an erasure, in as many parts as its records need.
pub(super) fn parts(customers: &[Pair], records: &[Pair], heads: &[FeedCursor]) -> Vec<Vec<u8>> {
    let told = |erasure| {
        let record = Some(Record::Erasure(erasure));
        Measures { record }.encode_to_vec()
    };
    let parts = regard_erasure::parts(customers, records, heads);
    parts.into_iter().map(told).collect()
}

/// The erasures that were done here. Who reads a snapshot finds no old id in it, but must know that they were done.
pub(crate) struct Erasures;

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
        let mut tests = vec!["1 = 1".to_owned()];
        if let Some(tenant) = tenant {
            values.push(tenant.0.into());
            tests.push("tenant = $2".to_owned());
        }
        if let Some(after) = after {
            let (tenant, id) = read_pair(after)?;
            let n = values.len() + 1;
            values.extend([tenant.into(), id.into()]);
            tests.push(format!("(tenant, erasure) > (${n}, ${})", n + 1));
        }
        let sql = format!(
            "SELECT tenant, erasure, erased FROM erasure_task WHERE {} ORDER BY tenant, erasure LIMIT $1",
            tests.join(" AND ")
        );
        let mut out = Vec::new();
        for row in tx.fetch(sql, values).await? {
            let (tenant, id) = (TenantId(row.get(0)?), row.get::<Uuid>(1)?);
            let at = Micros(row.get(2)?);
            let change = ChangeRow {
                lane: 0,
                position: 0,
                nonce: 0,
                tenant,
                kind: KIND.to_owned(),
                record: RecordId(id),
                version: 1,
                customer: None,
                occurred_at: at,
                recorded_at: at,
                measures: parts(&[], &[], &[]).pop().unwrap_or_default(),
                trace: None,
            };
            out.push((pair_key(tenant, id), change));
        }
        Ok(out)
    }
}

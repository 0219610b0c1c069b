//! Erasures in this service's own feed and in its snapshot.

use async_trait::async_trait;
use prost::Message as _;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source};
use regard_database::{StoreError, Tx, Value};
use regard_erasure::{Pair, to_wire};
use regard_proto::common::v1::{ErasureMeasures, FeedCursor};
use regard_proto::feedback::v1::{Measures, measures::Record};
use regard_types::{Micros, RecordId, TenantId, Uuid};

/// The kind in the feed.
pub(super) const KIND: &str = "erasure";
/// Records of one change: a change must fit into a message beside others.
const RECORDS: usize = 5_000;

/// What the feed tells of an erasure, in as many parts as its records need.
pub(super) fn parts(customers: &[Pair], records: &[Pair], heads: &[FeedCursor]) -> Vec<Vec<u8>> {
    let mut chunks: Vec<&[Pair]> = records.chunks(RECORDS).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let one = |(part, records): (u32, &[Pair])| {
        let erasure = ErasureMeasures {
            part,
            parts,
            customers: to_wire(customers),
            records: to_wire(records),
            heads: heads.to_vec(),
        };
        Measures {
            record: Some(Record::Erasure(erasure)),
        }
        .encode_to_vec()
    };
    (1..).zip(chunks).map(one).collect()
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
            let (tenant, id) = read_key(after)?;
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
            let key: [&[u8]; 2] = [tenant.0.as_bytes(), id.as_bytes()];
            out.push((key.concat(), change));
        }
        Ok(out)
    }
}

fn read_key(key: &Key) -> Result<(Uuid, Uuid), StoreError> {
    let read = || {
        let (tenant, id) = key.split_first_chunk::<16>()?;
        Some((
            Uuid::from_bytes(*tenant),
            Uuid::from_bytes(id.try_into().ok()?),
        ))
    };
    read().ok_or_else(|| StoreError::corrupt("a resume token with a key that is none"))
}

//! A scan of the answers to one metric's questions.

use std::collections::HashMap;

use regard_database::{StoreError, Tx};
use regard_types::{Channel, Micros, RecordId, TenantId, Uuid};

use crate::event::domain::unpack_scale;
use crate::event::store::Loads;
use crate::group;

const PAGE: i64 = 10_000;

/// An answer that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The customer after merges, or the record of an anonymous answer.
    pub customer: Uuid,
    /// The answer.
    pub value: i64,
    /// Lowest and highest of the scale.
    pub scale: (i32, i32),
    /// What it is about.
    pub dimension: String,
    /// How it reached us.
    pub channel: Option<Channel>,
}

/// Answers that count from one instant to another (excluded): each customer's latest to each question, every anonymous one, of
/// the latest version of their response.
///
/// # Errors
/// What the engine answers.
pub async fn between(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    metric: &str,
    from: Micros,
    to: Micros,
) -> Result<Vec<Answered>, StoreError> {
    let merged = group::store::merged(tx, tenant).await?;
    // A response keeps its customer for good, so that the later version lies beside the earlier one.
    let sql = format!(
        "SELECT e.customer, e.record, e.part, e.occurred, e.anonymous, e.value, e.aux, e.link, e.dimension, e.question, e.channel FROM event e \
         WHERE e.tenant = $1 AND e.metric = $2 AND e.kind = 5 AND e.load = $3 AND e.live = 1 AND e.occurred < $4 AND e.occurred >= $5 \
         AND (e.occurred > $5 OR e.record > $6 OR (e.record = $6 AND e.part > $7)) \
         AND NOT EXISTS (SELECT 1 FROM event n WHERE n.tenant = e.tenant AND n.customer = e.customer AND n.kind = 5 \
         AND n.record = e.record AND n.version > e.version AND n.load = e.load) \
         ORDER BY e.occurred, e.record, e.part LIMIT {PAGE}"
    );
    let mut latest: HashMap<(Uuid, Uuid, String), Answered> = HashMap::new();
    let mut out = Vec::new();
    let mut after = (from.0, Uuid::nil(), -1_i64);
    loop {
        let values = vec![
            tenant.0.into(),
            metric.to_owned().into(),
            loads.feedback.into(),
            to.0.into(),
            after.0.into(),
            after.1.into(),
            after.2.into(),
        ];
        let rows = tx.fetch(sql.clone(), values).await?;
        for row in &rows {
            let arrival: Uuid = row.get(0)?;
            let record = RecordId(row.get(1)?);
            after = (row.get(3)?, record.0, row.get(2)?);
            let channel: Option<String> = row.get(10)?;
            let answer = Answered {
                customer: merged.get(&arrival).copied().unwrap_or(arrival),
                value: row.get(5)?,
                scale: unpack_scale(row.get(6)?),
                dimension: row.get(8)?,
                channel: channel.and_then(|c| Channel::parse(&c).ok()),
            };
            if row.flag(4)? {
                out.push(Answered {
                    customer: record.0,
                    ..answer
                });
                continue;
            }
            let survey: Option<Uuid> = row.get(7)?;
            // In order of time, then of record ids, as the fold decides between two answers of one instant.
            latest.insert(
                (answer.customer, survey.unwrap_or(Uuid::nil()), row.get(9)?),
                answer,
            );
        }
        if i64::try_from(rows.len()).unwrap_or(0) < PAGE {
            break;
        }
    }
    out.extend(latest.into_values());
    Ok(out)
}

/// The names of all metrics that answers were given to, at most `limit`.
///
/// # Errors
/// What the engine answers.
pub async fn metrics(tx: &Tx, tenant: TenantId, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = Vec::new();
    while names.len() < limit {
        // From one name to the next by the index, however many answers there are.
        let sql = "SELECT min(metric) FROM event WHERE tenant = $1 AND kind = 5 AND metric > $2";
        let last = names.last().cloned().unwrap_or_default();
        let row = tx
            .fetch_one(sql, vec![tenant.0.into(), last.into()])
            .await?;
        let Some(name) = row
            .map(|row| row.get::<Option<String>>(0))
            .transpose()?
            .flatten()
        else {
            break;
        };
        names.push(name);
    }
    Ok(names)
}

/// Whether any answer was ever given to the metric.
///
/// # Errors
/// What the engine answers.
pub async fn exists(tx: &Tx, tenant: TenantId, metric: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM event WHERE tenant = $1 AND kind = 5 AND metric = $2 LIMIT 1";
    Ok(tx
        .fetch_one(sql, vec![tenant.0.into(), metric.to_owned().into()])
        .await?
        .is_some())
}

//! Scores as they lie in the summary row and in the ranking.

use prost::Message as _;
use regard_database::{ColumnData, Conflict, StoreError, Tx};
use regard_models::Grade;
use regard_types::{Day, Micros, TenantId, Uuid};

use super::domain::{ScoreSet, ScoreValue};
use crate::definition::Book;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredSet {
    #[prost(int64, tag = "1")]
    version: i64,
    #[prost(sint32, tag = "2")]
    as_of: i32,
    #[prost(int64, tag = "3")]
    day_version: i64,
    #[prost(int64, optional, tag = "4")]
    valid_until: Option<i64>,
    #[prost(message, repeated, tag = "5")]
    values: Vec<StoredValue>,
    #[prost(bytes = "vec", tag = "6")]
    customer: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(string, tag = "3")]
    band: String,
    #[prost(double, repeated, tag = "4")]
    interval: Vec<f64>,
    #[prost(uint32, tag = "5")]
    grade: u32,
    #[prost(string, repeated, tag = "6")]
    reasons: Vec<String>,
    #[prost(bytes = "vec", tag = "7")]
    model: Vec<u8>,
    #[prost(int64, tag = "8")]
    n: i64,
}

/// A score set as bytes, for the table and the cache.
#[must_use]
pub fn encode(book: &Book, customer: Uuid, set: &ScoreSet) -> Vec<u8> {
    let value = |v: &ScoreValue| StoredValue {
        name: book.scores.get(v.definition).map(|d| d.name.clone()).unwrap_or_default(),
        value: v.value,
        band: v.band.clone(),
        interval: v.interval.map(|(low, high, level)| vec![low, high, level]).unwrap_or_default(),
        grade: v.grade as u32,
        reasons: v.reasons.clone(),
        model: v.model.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        n: v.n,
    };
    let stored = StoredSet {
        version: set.version,
        as_of: set.as_of.0,
        day_version: set.day_version,
        valid_until: set.valid_until.map(|t| t.0),
        values: set.values.iter().map(value).collect(),
        customer: customer.as_bytes().to_vec(),
    };
    stored.encode_to_vec()
}

/// A score set and its customer from bytes; scores that the book no longer has are left out.
///
/// # Errors
/// [`StoreError::Corrupt`] for bytes that [`encode`] did not write.
pub fn decode(book: &Book, bytes: &[u8]) -> Result<(Uuid, ScoreSet), StoreError> {
    let stored = StoredSet::decode(bytes).map_err(StoreError::corrupt)?;
    let customer = Uuid::from_slice(&stored.customer).map_err(StoreError::corrupt)?;
    let mut values = Vec::with_capacity(stored.values.len());
    for v in stored.values {
        let Some(definition) = book.score(&v.name) else { continue };
        values.push(ScoreValue {
            definition,
            value: v.value,
            band: v.band,
            interval: match v.interval.as_slice() {
                [low, high, level] => Some((*low, *high, *level)),
                _ => None,
            },
            grade: grade(v.grade),
            reasons: v.reasons,
            model: Uuid::from_slice(&v.model).ok(),
            n: v.n,
        });
    }
    let set = ScoreSet {
        version: stored.version,
        as_of: Day(stored.as_of),
        day_version: stored.day_version,
        valid_until: stored.valid_until.map(Micros),
        values,
    };
    Ok((customer, set))
}

fn grade(number: u32) -> Grade {
    match number {
        0 => Grade::A,
        1 => Grade::B,
        2 => Grade::C,
        3 => Grade::D,
        _ => Grade::E,
    }
}

/// Writes the ranking of some customers: values of today's scores; a score without a value leaves it.
///
/// # Errors
/// What the engine answers.
pub async fn rank(tx: &Tx, book: &Book, tenant: TenantId, sets: &[(Uuid, &ScoreSet)], known: bool) -> Result<(), StoreError> {
    for (place, definition) in book.scores.iter().enumerate() {
        let of = |set: &ScoreSet| set.values.iter().find(|v| v.definition == place).and_then(|v| v.value);
        let (mut customers, mut values, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (customer, set) in sets {
            match of(set) {
                Some(value) => {
                    customers.push(*customer);
                    values.push(value);
                }
                None => gone.push(*customer),
            }
        }
        if !customers.is_empty() {
            let columns = [
                ("tenant", ColumnData::OneUuid(tenant.0)),
                ("score", ColumnData::OneText(&definition.name)),
                ("customer", customers.into()),
                ("value", values.into()),
            ];
            let conflict = Conflict::UpdateWhere {
                key: &["tenant", "score", "customer"],
                set: &["value"],
                condition: "score_rank.value <> excluded.value",
            };
            tx.bulk_insert("score_rank", &columns, conflict).await?;
        }
        if known && !gone.is_empty() {
            let name = definition.name.clone();
            tx.fetch_in("DELETE FROM score_rank WHERE tenant = $1 AND score = $2 AND customer {in}", vec![tenant.0.into(), name.into()], &gone).await?;
        }
    }
    Ok(())
}

/// A page of the ranking, the highest first: (customer, value). `after` is the last pair of the page before.
///
/// # Errors
/// What the engine answers.
pub async fn ranking(
    tx: &Tx,
    tenant: TenantId,
    score: &str,
    range: (Option<f64>, Option<f64>),
    after: Option<(f64, Uuid)>,
    limit: i64,
) -> Result<Vec<(Uuid, f64)>, StoreError> {
    let mut sql = String::from("SELECT customer, value FROM score_rank WHERE tenant = $1 AND score = $2");
    let mut values: Vec<regard_database::Value> = vec![tenant.0.into(), score.to_owned().into()];
    let mut place = |sql: &mut String, text: &str, value: regard_database::Value| {
        values.push(value);
        sql.push_str(&text.replace("{}", &format!("${}", values.len())));
    };
    if let Some(low) = range.0 {
        place(&mut sql, " AND value >= {}", low.into());
    }
    if let Some(high) = range.1 {
        place(&mut sql, " AND value <= {}", high.into());
    }
    if let Some((value, customer)) = after {
        // Two conditions, so that both engines see the range of the index.
        place(&mut sql, " AND value <= {}", value.into());
        place(&mut sql, " AND (value < {}", value.into());
        place(&mut sql, " OR customer > {})", customer.into());
    }
    place(&mut sql, " ORDER BY value DESC, customer LIMIT {}", limit.into());
    let rows = tx.fetch(sql, values).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

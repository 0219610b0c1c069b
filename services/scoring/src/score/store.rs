//! Scores as they lie in the summary row and in the ranking.

use prost::Message as _;
use regard_database::{ColumnData, Conflict, Row, StoreError, Tx, Value};
use regard_models::Grade;
use regard_types::{Day, Micros, TenantId, Uuid};

use super::domain::{ScoreSet, ScoreValue};
use crate::definition::Book;

/// A set as bytes: a definition by its place in the book that the fingerprint names, ids as numbers, so that a hit in the
/// cache decodes with hardly an allocation.
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
    #[prost(fixed64, tag = "6")]
    customer_high: u64,
    #[prost(fixed64, tag = "7")]
    customer_low: u64,
    #[prost(fixed64, tag = "8")]
    book: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredValue {
    #[prost(uint32, tag = "1")]
    definition: u32,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(string, tag = "3")]
    band: String,
    #[prost(double, tag = "4")]
    low: f64,
    #[prost(double, tag = "5")]
    high: f64,
    /// 0 where there is no interval.
    #[prost(double, tag = "6")]
    level: f64,
    #[prost(uint32, tag = "7")]
    grade: u32,
    #[prost(string, repeated, tag = "8")]
    reasons: Vec<String>,
    /// Both 0 where there is no model.
    #[prost(fixed64, tag = "9")]
    model_high: u64,
    #[prost(fixed64, tag = "10")]
    model_low: u64,
    #[prost(int64, tag = "11")]
    n: i64,
}

/// A score set as bytes, for the table and the cache.
#[must_use]
pub fn encode(book: &Book, customer: Uuid, set: &ScoreSet) -> Vec<u8> {
    let value = |v: &ScoreValue| {
        let (low, high, level) = v.interval.unwrap_or_default();
        let (model_high, model_low) = v.model.unwrap_or_default().as_u64_pair();
        StoredValue {
            definition: u32::try_from(v.definition).unwrap_or(u32::MAX),
            value: v.value,
            band: v.band.clone(),
            low,
            high,
            level,
            grade: v.grade as u32,
            reasons: v.reasons.clone(),
            model_high,
            model_low,
            n: v.n,
        }
    };
    let (customer_high, customer_low) = customer.as_u64_pair();
    let stored = StoredSet {
        version: set.version,
        as_of: set.as_of.0,
        day_version: set.day_version,
        valid_until: set.valid_until.map(|t| t.0),
        values: set.values.iter().map(value).collect(),
        customer_high,
        customer_low,
        book: book.fingerprint,
    };
    stored.encode_to_vec()
}

/// A score set and its customer from bytes; None if nothing was scored yet, or by other definitions than the book's.
///
/// # Errors
/// [`StoreError::Corrupt`] for bytes that [`encode`] did not write.
pub fn decode(book: &Book, bytes: &[u8]) -> Result<Option<(Uuid, ScoreSet)>, StoreError> {
    let stored = StoredSet::decode(bytes).map_err(StoreError::corrupt)?;
    if stored.book != book.fingerprint {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(stored.values.len());
    for v in stored.values {
        let model = Uuid::from_u64_pair(v.model_high, v.model_low);
        values.push(ScoreValue {
            definition: usize::try_from(v.definition).map_err(StoreError::corrupt)?,
            value: v.value,
            band: v.band,
            interval: (v.level > 0.0).then_some((v.low, v.high, v.level)),
            grade: grade(v.grade),
            reasons: v.reasons,
            model: (!model.is_nil()).then_some(model),
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
    Ok(Some((
        Uuid::from_u64_pair(stored.customer_high, stored.customer_low),
        set,
    )))
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

/// A customer's current scores as they lie in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScores {
    /// The id that was asked for.
    pub asked: Uuid,
    /// The version of the row.
    pub version: i64,
    /// The set, encoded.
    pub scores: Vec<u8>,
}

/// The current scores of the customers that arrivals belong to, in no order; unknown arrivals are left out.
///
/// # Errors
/// What the engine answers.
pub async fn of_arrivals(
    tx: &Tx,
    tenant: TenantId,
    arrivals: &[Uuid],
) -> Result<Vec<StoredScores>, StoreError> {
    let sql = "SELECT a.arrival, s.version, s.scores FROM alias a JOIN summary s ON s.tenant = a.tenant AND s.customer = a.canonical \
               WHERE a.tenant = $1 AND a.arrival {in}";
    read_scores(&tx.fetch_in(sql, vec![tenant.0.into()], arrivals).await?)
}

/// The current scores of customers, in no order.
///
/// # Errors
/// What the engine answers.
pub async fn of_customers(
    tx: &Tx,
    tenant: TenantId,
    customers: &[Uuid],
) -> Result<Vec<StoredScores>, StoreError> {
    let sql = "SELECT customer, version, scores FROM summary WHERE tenant = $1 AND customer {in}";
    read_scores(&tx.fetch_in(sql, vec![tenant.0.into()], customers).await?)
}

fn read_scores(rows: &[Row]) -> Result<Vec<StoredScores>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(StoredScores {
                asked: row.get(0)?,
                version: row.get(1)?,
                scores: row.get(2)?,
            })
        })
        .collect()
}

/// The serving models that were fitted to data after a day: (id, the last day of their data).
///
/// # Errors
/// What the engine answers.
pub async fn models_after(
    tx: &Tx,
    tenant: TenantId,
    day: Day,
) -> Result<Vec<(Uuid, Day)>, StoreError> {
    let sql = "SELECT id, as_of FROM model WHERE tenant = $1 AND serving = 1 AND as_of > $2";
    let rows = tx
        .fetch(sql, vec![tenant.0.into(), i64::from(day.0).into()])
        .await?;
    let one = |row: &Row| {
        Ok((
            row.get(0)?,
            Day(i32::try_from(row.get::<i64>(1)?).map_err(StoreError::corrupt)?),
        ))
    };
    rows.iter().map(one).collect()
}

/// Writes the ranking of some customers: values of today's scores; a score without a value leaves it.
///
/// # Errors
/// What the engine answers.
pub async fn rank(
    tx: &Tx,
    book: &Book,
    tenant: TenantId,
    sets: &[(Uuid, &ScoreSet)],
    known: bool,
) -> Result<(), StoreError> {
    for (place, definition) in book.scores.iter().enumerate() {
        let of = |set: &ScoreSet| {
            set.values
                .iter()
                .find(|v| v.definition == place)
                .and_then(|v| v.value)
        };
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
            tx.fetch_in(
                "DELETE FROM score_rank WHERE tenant = $1 AND score = $2 AND customer {in}",
                vec![tenant.0.into(), name.into()],
                &gone,
            )
            .await?;
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
    let (sql, values) = ranking_query(tenant, score, range, after, limit);
    let rows = tx.fetch(sql, values).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// The statement of [`ranking`] with its values.
#[must_use]
pub fn ranking_query(
    tenant: TenantId,
    score: &str,
    range: (Option<f64>, Option<f64>),
    after: Option<(f64, Uuid)>,
    limit: i64,
) -> (String, Vec<Value>) {
    let mut sql =
        String::from("SELECT customer, value FROM score_rank WHERE tenant = $1 AND score = $2");
    let mut values: Vec<Value> = vec![tenant.0.into(), score.to_owned().into()];
    let mut place = |sql: &mut String, text: &str, value: Value| {
        values.push(value);
        sql.push_str(&text.replace("{}", &format!("${}", values.len())));
    };
    if let Some(low) = range.0 {
        place(&mut sql, " AND value >= {}", low.into());
    }
    // One upper bound: the engines take the range of the index from one of several only.
    let high = match (range.1, after) {
        (Some(high), Some((value, _))) => Some(high.min(value)),
        (high, after) => high.or(after.map(|(value, _)| value)),
    };
    if let Some(high) = high {
        place(&mut sql, " AND value <= {}", high.into());
    }
    if let Some((value, customer)) = after {
        place(&mut sql, " AND (value < {}", value.into());
        place(&mut sql, " OR customer > {})", customer.into());
    }
    place(
        &mut sql,
        " ORDER BY value DESC, customer LIMIT {}",
        limit.into(),
    );
    (sql, values)
}

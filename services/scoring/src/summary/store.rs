//! The summary table: a customer's summary and current scores in one row, so that both always agree.

use prost::Message as _;
use regard_database::{ColumnData, Conflict, Engine, Row, StoreError, Tx};
use regard_types::{Day, Micros, TenantId, Uuid};

use super::domain::{AnswerFact, Summary};

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryRow {
    /// The customer.
    pub customer: Uuid,
    /// Counts every fold and rescore; never falls.
    pub version: i64,
    /// The tenant's stamp that the row belongs to; another one means: fold again.
    pub stamp: i64,
    /// The tenant's model version that the scores were computed with.
    pub models: i64,
    /// The day that both are about; None before the first fold.
    pub as_of: Option<Day>,
    /// Until when the scores hold.
    pub valid_until: Option<Micros>,
    /// The summary.
    pub summary: Summary,
    /// The scores, encoded by the score store.
    pub scores: Vec<u8>,
}

const COLUMNS: &str = "customer, version, stamp, models, as_of, next_day, valid_until, first_day, last_day, purchase_days, orders, units, gross, refunded, refunded_unlinked, repeat_net, complaints, complaints_open, since, answers, scores";

/// Makes missing rows, empty. They are never deleted.
///
/// # Errors
/// What the engine answers.
pub async fn ensure(tx: &Tx, tenant: TenantId, customers: &[Uuid]) -> Result<(), StoreError> {
    if customers.is_empty() {
        return Ok(());
    }
    let zero = || ColumnData::OneI64(0);
    let none = || ColumnData::OptBytes(vec![Some(Vec::new()); customers.len()].into());
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("customer", customers.into()),
        ("version", zero()),
        ("stamp", ColumnData::OneI64(-1)),
        ("models", ColumnData::OneI64(-1)),
        ("purchase_days", zero()),
        ("orders", zero()),
        ("units", zero()),
        ("gross", zero()),
        ("refunded", zero()),
        ("refunded_unlinked", zero()),
        ("repeat_net", zero()),
        ("complaints", zero()),
        ("complaints_open", zero()),
        ("answers", none()),
        ("scores", none()),
    ];
    tx.bulk_insert(
        "summary",
        &columns,
        Conflict::Ignore {
            key: &["tenant", "customer"],
        },
    )
    .await?;
    Ok(())
}

/// Locks rows in the order of their ids (the probe goes through them sorted), until the transaction ends; (customer, version) of
/// each. SQLite has one writer anyway.
///
/// # Errors
/// What the engine answers.
pub async fn lock(
    tx: &Tx,
    tenant: TenantId,
    customers: &[Uuid],
) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    };
    let sql = format!(
        "SELECT customer, version FROM summary WHERE tenant = $1 AND customer {{in}}{lock}"
    );
    let rows = tx.fetch_in(&sql, vec![tenant.0.into()], customers).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Rows of some customers, in no order; those without a row are left out.
///
/// # Errors
/// What the engine answers.
pub async fn get(
    tx: &Tx,
    tenant: TenantId,
    customers: &[Uuid],
) -> Result<Vec<SummaryRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM summary WHERE tenant = $1 AND customer {{in}}");
    let rows = tx.fetch_in(&sql, vec![tenant.0.into()], customers).await?;
    rows.iter().map(read).collect()
}

/// A page of all customers of a tenant, by id.
///
/// # Errors
/// What the engine answers.
pub async fn page(
    tx: &Tx,
    tenant: TenantId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<SummaryRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM summary WHERE tenant = $1 AND customer > $2 ORDER BY customer LIMIT $3"
    );
    let rows = tx
        .fetch(sql, vec![tenant.0.into(), after.into(), limit.into()])
        .await?;
    rows.iter().map(read).collect()
}

/// Writes rows that exist.
///
/// # Errors
/// What the engine answers.
pub async fn put(tx: &Tx, tenant: TenantId, rows: &[SummaryRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let number =
        |f: fn(&SummaryRow) -> i64| ColumnData::from(rows.iter().map(f).collect::<Vec<_>>());
    let day = |f: fn(&SummaryRow) -> Option<Day>| {
        ColumnData::from(
            rows.iter()
                .map(|r| f(r).map(|d| i64::from(d.0)))
                .collect::<Vec<_>>(),
        )
    };
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        (
            "customer",
            rows.iter().map(|r| r.customer).collect::<Vec<_>>().into(),
        ),
    ];
    let set = [
        ("version", number(|r| r.version)),
        ("stamp", number(|r| r.stamp)),
        ("models", number(|r| r.models)),
        ("as_of", day(|r| r.as_of)),
        ("next_day", day(|r| r.summary.next_day)),
        (
            "valid_until",
            rows.iter()
                .map(|r| r.valid_until.map(|t| t.0))
                .collect::<Vec<_>>()
                .into(),
        ),
        ("first_day", day(|r| r.summary.first_day)),
        ("last_day", day(|r| r.summary.last_day)),
        ("purchase_days", number(|r| r.summary.purchase_days)),
        ("orders", number(|r| r.summary.orders)),
        ("units", number(|r| r.summary.units)),
        ("gross", number(|r| r.summary.gross)),
        ("refunded", number(|r| r.summary.refunded)),
        ("refunded_unlinked", number(|r| r.summary.refunded_unlinked)),
        ("repeat_net", number(|r| r.summary.repeat_net)),
        ("complaints", number(|r| r.summary.complaints)),
        ("complaints_open", number(|r| r.summary.complaints_open)),
        ("since", day(|r| r.summary.since)),
        (
            "answers",
            rows.iter()
                .map(|r| encode_answers(&r.summary.answers))
                .collect::<Vec<_>>()
                .into(),
        ),
        (
            "scores",
            rows.iter()
                .map(|r| r.scores.clone())
                .collect::<Vec<_>>()
                .into(),
        ),
    ];
    let touched = tx.bulk_update("summary", &key, &set).await?;
    if touched != rows.len() as u64 {
        return Err(StoreError::corrupt(
            "a summary row is missing that was made before",
        ));
    }
    Ok(())
}

fn read(row: &Row) -> Result<SummaryRow, StoreError> {
    let day = |column| -> Result<Option<Day>, StoreError> {
        let number: Option<i64> = row.get(column)?;
        Ok(number.and_then(|n| i32::try_from(n).ok()).map(Day))
    };
    Ok(SummaryRow {
        customer: row.get(0)?,
        version: row.get(1)?,
        stamp: row.get(2)?,
        models: row.get(3)?,
        as_of: day(4)?,
        valid_until: row.get::<Option<i64>>(6)?.map(Micros),
        summary: Summary {
            next_day: day(5)?,
            first_day: day(7)?,
            last_day: day(8)?,
            purchase_days: row.get(9)?,
            orders: row.get(10)?,
            units: row.get(11)?,
            gross: row.get(12)?,
            refunded: row.get(13)?,
            refunded_unlinked: row.get(14)?,
            repeat_net: row.get(15)?,
            complaints: row.get(16)?,
            complaints_open: row.get(17)?,
            since: day(18)?,
            answers: decode_answers(&row.get::<Vec<u8>>(19)?)?,
        },
        scores: row.get(20)?,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAnswers {
    #[prost(message, repeated, tag = "1")]
    answers: Vec<StoredAnswer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAnswer {
    #[prost(bytes = "vec", tag = "1")]
    survey: Vec<u8>,
    #[prost(string, tag = "2")]
    question: String,
    #[prost(string, tag = "3")]
    metric: String,
    #[prost(string, tag = "4")]
    dimension: String,
    #[prost(sint32, tag = "5")]
    day: i32,
    #[prost(sint32, tag = "6")]
    value: i32,
    #[prost(sint32, tag = "7")]
    scale_min: i32,
    #[prost(sint32, tag = "8")]
    scale_max: i32,
}

fn encode_answers(answers: &[AnswerFact]) -> Vec<u8> {
    if answers.is_empty() {
        return Vec::new();
    }
    let stored = answers.iter().map(|a| StoredAnswer {
        survey: a.survey.as_bytes().to_vec(),
        question: a.question.clone(),
        metric: a.metric.clone(),
        dimension: a.dimension.clone(),
        day: a.day.0,
        value: a.value,
        scale_min: a.scale_min,
        scale_max: a.scale_max,
    });
    StoredAnswers {
        answers: stored.collect(),
    }
    .encode_to_vec()
}

fn decode_answers(bytes: &[u8]) -> Result<Vec<AnswerFact>, StoreError> {
    let stored = StoredAnswers::decode(bytes).map_err(StoreError::corrupt)?;
    let one = |a: StoredAnswer| {
        Ok(AnswerFact {
            survey: Uuid::from_slice(&a.survey).map_err(StoreError::corrupt)?,
            question: a.question,
            metric: a.metric,
            dimension: a.dimension,
            day: Day(a.day),
            value: a.value,
            scale_min: a.scale_min,
            scale_max: a.scale_max,
        })
    };
    stored.answers.into_iter().map(one).collect()
}

/// Customers by id, after an id: all of them, or those whose row is behind a stamp, a model version or a day.
///
/// # Errors
/// What the engine answers.
pub async fn customers(
    tx: &Tx,
    tenant: TenantId,
    after: Uuid,
    behind: Option<(i64, i64, Day)>,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let mut values = vec![tenant.0.into(), after.into(), limit.into()];
    let condition = match behind {
        None => "",
        Some((stamp, models, day)) => {
            values.extend([stamp.into(), models.into(), i64::from(day.0).into()]);
            " AND (stamp <> $4 OR models <> $5 OR as_of IS NULL OR as_of < $6)"
        }
    };
    let sql = format!(
        "SELECT customer FROM summary WHERE tenant = $1 AND customer > $2{condition} ORDER BY customer LIMIT $3"
    );
    let rows = tx.fetch(sql, values).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// How many customers a tenant has.
///
/// # Errors
/// What the engine answers.
pub async fn count(tx: &Tx, tenant: TenantId) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM summary WHERE tenant = $1";
    let row = tx.fetch_one(sql, vec![tenant.0.into()]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

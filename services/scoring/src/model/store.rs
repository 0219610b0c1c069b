//! The model table.

use prost::Message as _;
use regard_database::{Row, StoreError, Tx};
use regard_models::{Grade, Parameters as _, bgnbd, gamma_gamma, rfm::Rfm};
use regard_types::{Day, Micros, TenantId, Uuid};

use super::domain::{Estimate, HoldOut, HoldOutGroup, ModelKind, ModelRecord};
use crate::score::domain::{Fitted, Serving};

const COLUMNS: &str = "id, kind, serving, as_of, created, body";

/// Stores a model; as the serving one of its kind if it says so, in place of the one before.
///
/// # Errors
/// What the engine answers.
pub async fn insert(tx: &Tx, tenant: TenantId, model: &ModelRecord) -> Result<(), StoreError> {
    if model.serving {
        let sql = "UPDATE model SET serving = 0 WHERE tenant = $1 AND kind = $2 AND serving = 1";
        tx.run(sql, vec![tenant.0.into(), model.kind.as_str().into()])
            .await?;
    }
    let sql = "INSERT INTO model (tenant, id, kind, serving, as_of, created, body) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = vec![
        tenant.0.into(),
        model.id.into(),
        model.kind.as_str().into(),
        i16::from(model.serving).into(),
        i64::from(model.as_of.0).into(),
        model.created.0.into(),
        encode(model).into(),
    ];
    tx.run(sql, values).await?;
    Ok(())
}

/// A model by its id.
///
/// # Errors
/// What the engine answers.
pub async fn get(tx: &Tx, tenant: TenantId, id: Uuid) -> Result<Option<ModelRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM model WHERE tenant = $1 AND id = $2");
    tx.fetch_one(sql, vec![tenant.0.into(), id.into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// The serving model of a kind.
///
/// # Errors
/// What the engine answers.
pub async fn serving_of(
    tx: &Tx,
    tenant: TenantId,
    kind: ModelKind,
) -> Result<Option<ModelRecord>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM model WHERE tenant = $1 AND kind = $2 AND serving = 1");
    tx.fetch_one(sql, vec![tenant.0.into(), kind.as_str().into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// All serving models of a tenant, as scores use them.
///
/// # Errors
/// What the engine answers.
pub async fn serving(tx: &Tx, tenant: TenantId, version: i64) -> Result<Serving, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM model WHERE tenant = $1 AND serving = 1");
    let mut out = Serving {
        version,
        ..Serving::default()
    };
    for row in tx.fetch(sql, vec![tenant.0.into()]).await? {
        let model = read(&row)?;
        let (id, grade, values) = (model.id, model.grade, model.values());
        match model.kind {
            ModelKind::Bgnbd => {
                out.bgnbd = Some(Fitted {
                    id,
                    grade,
                    params: bgnbd::Params::from_values(&values),
                });
            }
            ModelKind::Mbgnbd => {
                out.mbgnbd = Some(Fitted {
                    id,
                    grade,
                    params: bgnbd::Params::from_values(&values),
                });
            }
            ModelKind::GammaGamma => {
                out.gamma_gamma = Some(Fitted {
                    id,
                    grade,
                    params: gamma_gamma::Params::from_values(&values),
                });
            }
            ModelKind::Rfm => out.rfm = edges(&values).map(|params| Fitted { id, grade, params }),
        }
    }
    Ok(out)
}

fn edges(values: &[f64]) -> Option<Rfm> {
    let four = |from: usize| -> Option<[f64; 4]> { values.get(from..from + 4)?.try_into().ok() };
    Some(Rfm {
        r: four(0)?,
        f: four(4)?,
        m: four(8)?,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(message, repeated, tag = "1")]
    estimates: Vec<StoredEstimate>,
    #[prost(double, optional, tag = "2")]
    log_likelihood: Option<f64>,
    #[prost(int64, tag = "3")]
    n: i64,
    #[prost(string, tag = "4")]
    grade: String,
    #[prost(string, repeated, tag = "5")]
    reasons: Vec<String>,
    #[prost(message, optional, tag = "6")]
    hold_out: Option<StoredHoldOut>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredEstimate {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(double, optional, tag = "3")]
    standard_error: Option<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredHoldOut {
    #[prost(sint32, tag = "1")]
    from: i32,
    #[prost(sint32, tag = "2")]
    to: i32,
    #[prost(double, tag = "3")]
    predicted_total: f64,
    #[prost(double, tag = "4")]
    actual_total: f64,
    #[prost(double, tag = "5")]
    rmse: f64,
    #[prost(double, optional, tag = "6")]
    correlation: Option<f64>,
    #[prost(double, optional, tag = "7")]
    auc: Option<f64>,
    #[prost(double, tag = "8")]
    log_score: f64,
    #[prost(int64, tag = "9")]
    customers: i64,
    #[prost(double, tag = "10")]
    weeks: f64,
    #[prost(double, tag = "11")]
    mae: f64,
    #[prost(double, optional, tag = "12")]
    serving_log_score: Option<f64>,
    #[prost(message, repeated, tag = "13")]
    groups: Vec<StoredGroup>,
    #[prost(message, repeated, tag = "14")]
    estimates: Vec<StoredEstimate>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredGroup {
    #[prost(int64, tag = "1")]
    purchases: i64,
    #[prost(int64, tag = "2")]
    customers: i64,
    #[prost(double, tag = "3")]
    predicted: f64,
    #[prost(double, tag = "4")]
    actual: f64,
}

fn store_estimates(estimates: &[Estimate]) -> Vec<StoredEstimate> {
    estimates
        .iter()
        .map(|e| StoredEstimate {
            name: e.name.clone(),
            value: e.value,
            standard_error: e.standard_error,
        })
        .collect()
}

fn read_estimates(stored: Vec<StoredEstimate>) -> Vec<Estimate> {
    stored
        .into_iter()
        .map(|e| Estimate {
            name: e.name,
            value: e.value,
            standard_error: e.standard_error,
        })
        .collect()
}

fn store_hold_out(h: &HoldOut) -> StoredHoldOut {
    let group = |g: &HoldOutGroup| StoredGroup {
        purchases: g.purchases,
        customers: g.customers,
        predicted: g.predicted,
        actual: g.actual,
    };
    StoredHoldOut {
        from: h.from.0,
        to: h.to.0,
        predicted_total: h.predicted_total,
        actual_total: h.actual_total,
        rmse: h.rmse,
        correlation: h.correlation,
        auc: h.auc,
        log_score: h.log_score,
        customers: h.customers,
        weeks: h.weeks,
        mae: h.mae,
        serving_log_score: h.serving_log_score,
        groups: h.groups.iter().map(group).collect(),
        estimates: store_estimates(&h.estimates),
    }
}

fn read_hold_out(h: StoredHoldOut) -> HoldOut {
    let group = |g: StoredGroup| HoldOutGroup {
        purchases: g.purchases,
        customers: g.customers,
        predicted: g.predicted,
        actual: g.actual,
    };
    HoldOut {
        from: Day(h.from),
        to: Day(h.to),
        customers: h.customers,
        weeks: h.weeks,
        predicted_total: h.predicted_total,
        actual_total: h.actual_total,
        mae: h.mae,
        rmse: h.rmse,
        correlation: h.correlation,
        auc: h.auc,
        log_score: h.log_score,
        serving_log_score: h.serving_log_score,
        groups: h.groups.into_iter().map(group).collect(),
        estimates: read_estimates(h.estimates),
    }
}

fn encode(model: &ModelRecord) -> Vec<u8> {
    let stored = Stored {
        estimates: store_estimates(&model.estimates),
        log_likelihood: model.log_likelihood,
        n: model.n,
        grade: model.grade.as_str().to_owned(),
        reasons: model.reasons.clone(),
        hold_out: model.hold_out.as_ref().map(store_hold_out),
    };
    stored.encode_to_vec()
}

fn read(row: &Row) -> Result<ModelRecord, StoreError> {
    let kind: String = row.get(1)?;
    let body: Vec<u8> = row.get(5)?;
    let stored = Stored::decode(body.as_slice()).map_err(StoreError::corrupt)?;
    Ok(ModelRecord {
        id: row.get(0)?,
        kind: ModelKind::parse(&kind)
            .ok_or_else(|| StoreError::corrupt("a model of no known kind"))?,
        serving: row.flag(2)?,
        as_of: Day(i32::try_from(row.get::<i64>(3)?).unwrap_or(0)),
        created: Micros(row.get(4)?),
        estimates: read_estimates(stored.estimates),
        log_likelihood: stored.log_likelihood,
        n: stored.n,
        grade: grade(&stored.grade),
        reasons: stored.reasons,
        hold_out: stored.hold_out.map(read_hold_out),
    })
}

fn grade(letter: &str) -> Grade {
    [Grade::A, Grade::B, Grade::C, Grade::D]
        .into_iter()
        .find(|g| g.as_str() == letter)
        .unwrap_or(Grade::E)
}

/// How many models of all tenants there are of each kind, serving and not.
///
/// # Errors
/// What the engine answers.
pub async fn counts(tx: &Tx) -> Result<Vec<(String, bool, i64)>, StoreError> {
    let sql = "SELECT kind, serving, count(*) FROM model GROUP BY kind, serving";
    let rows = tx.fetch(sql, vec![]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.flag(1)?, row.get(2)?)))
        .collect()
}

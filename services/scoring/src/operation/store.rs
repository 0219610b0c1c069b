//! The operation table.

use prost::Message as _;
use regard_database::{Row, StoreError, Tx};
use regard_types::{Day, IdKey, Micros, TenantId, Uuid};

use super::domain::{Operation, Progress, State, Task};
use crate::model::domain::ModelKind;

const COLUMNS: &str = "tenant, id, kind, state, cancel, request, progress, result, created";

/// Stores a new operation.
///
/// # Errors
/// What the engine answers.
pub async fn insert(tx: &Tx, operation: &Operation) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO operation ({COLUMNS}, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"
    );
    let values = vec![
        operation.tenant.0.into(),
        operation.id.into(),
        operation.task.as_str().into(),
        operation.state.as_str().into(),
        i16::from(operation.cancel).into(),
        encode_task(operation.task).into(),
        encode_progress(&operation.progress).into(),
        operation.result.clone().into(),
        operation.created.0.into(),
    ];
    tx.run(sql, values).await?;
    Ok(())
}

/// Keyed digest of an operation as asked, for the audit.
pub fn digest(ids: &IdKey, operation: &Operation) -> [u8; 32] {
    let mut bytes = encode_task(operation.task);
    bytes.extend_from_slice(operation.task.as_str().as_bytes());
    bytes.push(u8::from(operation.cancel));
    ids.digest("operation", &bytes)
}

/// An operation of a tenant.
///
/// # Errors
/// What the engine answers.
pub async fn get(tx: &Tx, tenant: TenantId, id: Uuid) -> Result<Option<Operation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operation WHERE tenant = $1 AND id = $2");
    tx.fetch_one(sql, vec![tenant.0.into(), id.into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// What is to be done, the oldest first, at most `limit`.
///
/// # Errors
/// What the engine answers.
pub async fn open(tx: &Tx, limit: i64) -> Result<Vec<Operation>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM operation WHERE state IN ('waiting', 'running') ORDER BY created LIMIT $1"
    );
    tx.fetch(sql, vec![limit.into()])
        .await?
        .iter()
        .map(read)
        .collect()
}

/// Asks an open operation to stop; false if there is none that is open.
///
/// # Errors
/// What the engine answers.
pub async fn ask_to_stop(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    now: Micros,
) -> Result<bool, StoreError> {
    let sql = "UPDATE operation SET cancel = 1, updated = $3 WHERE tenant = $1 AND id = $2 AND state IN ('waiting', 'running')";
    Ok(tx
        .run(sql, vec![tenant.0.into(), id.into(), now.0.into()])
        .await?
        == 1)
}

/// Notes how far an open operation is; whether it was asked to stop, None if it is open no more.
///
/// # Errors
/// What the engine answers.
pub async fn progress(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    progress: &Progress,
    now: Micros,
) -> Result<Option<bool>, StoreError> {
    let sql = "UPDATE operation SET state = 'running', progress = $3, updated = $4 \
               WHERE tenant = $1 AND id = $2 AND state IN ('waiting', 'running') RETURNING cancel";
    let values = vec![
        tenant.0.into(),
        id.into(),
        encode_progress(progress).into(),
        now.0.into(),
    ];
    tx.fetch_one(sql, values)
        .await?
        .map(|row| row.flag(0))
        .transpose()
}

/// Ends an open operation; false if it had ended.
///
/// # Errors
/// What the engine answers.
pub async fn end(
    tx: &Tx,
    tenant: TenantId,
    id: Uuid,
    state: State,
    result: Vec<u8>,
    now: Micros,
) -> Result<bool, StoreError> {
    let sql = "UPDATE operation SET state = $3, result = $4, updated = $5 WHERE tenant = $1 AND id = $2 AND state IN ('waiting', 'running')";
    let values = vec![
        tenant.0.into(),
        id.into(),
        state.as_str().into(),
        result.into(),
        now.0.into(),
    ];
    Ok(tx.run(sql, values).await? == 1)
}

/// Removes what ended before an instant.
///
/// # Errors
/// What the engine answers.
pub async fn trim(tx: &Tx, before: Micros) -> Result<u64, StoreError> {
    let sql = "DELETE FROM operation WHERE state NOT IN ('waiting', 'running') AND updated < $1";
    tx.run(sql, vec![before.0.into()]).await
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredTask {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(sint32, optional, tag = "2")]
    as_of: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredProgress {
    #[prost(int64, tag = "1")]
    done: i64,
    #[prost(int64, tag = "2")]
    total: i64,
    #[prost(string, tag = "3")]
    step: String,
    #[prost(bytes = "vec", tag = "4")]
    after: Vec<u8>,
}

fn encode_task(task: Task) -> Vec<u8> {
    match task {
        Task::Fit(kind, as_of) => StoredTask {
            model: kind.as_str().to_owned(),
            as_of: as_of.map(|d| d.0),
        }
        .encode_to_vec(),
        Task::Rescore => Vec::new(),
    }
}

fn encode_progress(p: &Progress) -> Vec<u8> {
    StoredProgress {
        done: p.done,
        total: p.total,
        step: p.step.clone(),
        after: p.after.as_bytes().to_vec(),
    }
    .encode_to_vec()
}

fn read(row: &Row) -> Result<Operation, StoreError> {
    let (kind, state): (String, String) = (row.get(2)?, row.get(3)?);
    let (task, progress): (Vec<u8>, Vec<u8>) = (row.get(5)?, row.get(6)?);
    let task = StoredTask::decode(task.as_slice()).map_err(StoreError::corrupt)?;
    let progress = StoredProgress::decode(progress.as_slice()).map_err(StoreError::corrupt)?;
    let task = match kind.as_str() {
        "rescore_all" => Task::Rescore,
        _ => {
            let model = ModelKind::parse(&task.model)
                .ok_or_else(|| StoreError::corrupt("an operation of no known model"))?;
            Task::Fit(model, task.as_of.map(Day))
        }
    };
    Ok(Operation {
        tenant: TenantId(row.get(0)?),
        id: row.get(1)?,
        task,
        state: State::parse(&state)
            .ok_or_else(|| StoreError::corrupt("an operation of no known state"))?,
        cancel: row.flag(4)?,
        progress: Progress {
            done: progress.done,
            total: progress.total,
            step: progress.step,
            after: Uuid::from_slice(&progress.after).unwrap_or(Uuid::nil()),
        },
        result: row.get(7)?,
        created: Micros(row.get(8)?),
    })
}

/// Takes some customers' ids out of where operations go on: a few customers are done twice.
///
/// # Errors
/// What the engine answers.
pub async fn forget(tx: &Tx, tenant: TenantId, customers: &[Uuid]) -> Result<(), StoreError> {
    let sql = "SELECT id, progress FROM operation WHERE tenant = $1 AND kind = 'rescore_all'";
    for row in tx.fetch(sql, vec![tenant.0.into()]).await? {
        let (id, bytes): (Uuid, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let mut progress = StoredProgress::decode(bytes.as_slice()).map_err(StoreError::corrupt)?;
        let after = Uuid::from_slice(&progress.after).unwrap_or(Uuid::nil());
        if !customers.contains(&after) {
            continue;
        }
        // The first quarter of the id tells nobody from his neighbours.
        let mut bytes = *after.as_bytes();
        bytes[4..].fill(0);
        progress.after = bytes.to_vec();
        let sql = "UPDATE operation SET progress = $3 WHERE tenant = $1 AND id = $2";
        let values = vec![tenant.0.into(), id.into(), progress.encode_to_vec().into()];
        tx.run(sql, values).await?;
    }
    Ok(())
}

/// How many operations of all tenants are in each state that one is in.
///
/// # Errors
/// What the engine answers.
pub async fn counts(tx: &Tx) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT state, count(*) FROM operation GROUP BY state";
    let rows = tx.fetch(sql, vec![]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

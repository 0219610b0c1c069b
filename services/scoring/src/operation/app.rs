//! Asking for work, looking at it, stopping it.

use std::time::{Duration, Instant};

use regard_database::Command;
use regard_types::{Caller, Fault, Kind, RecordId, Uuid, new_record_id};

use super::domain::{Operation, Task};
use super::store;
use crate::core::Core;
use crate::tenant;

/// Pauses between two looks at an operation that somebody waits for.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Stores what is asked for; a repeat of the request gets the operation of the first.
///
/// # Errors
/// As [`regard_database::Database::mutate`].
pub async fn ask(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    task: Task,
) -> Result<Operation, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if let Some(answer) = write.repeated() {
        let (_, id, _) = answer
            .records
            .first()
            .ok_or_else(|| Fault::bug("an operation's answer without it"))?;
        let known = store::get(&write, caller.tenant, id.0).await?;
        return known.ok_or_else(|| unknown(id.0));
    }
    let id = new_record_id(core.clock());
    let operation = Operation::new(caller.tenant, id.0, task, write.now());
    write.reserve(0).await?;
    tenant::store::ensure(&write, caller.tenant).await?;
    store::insert(&write, &operation).await?;
    let after = store::digest(&core.db.ids(caller.tenant), &operation);
    write.audit(task.as_str(), id, None, Some(after));
    write.commit(vec![("operation", id, 1)]).await?;
    core.operations.notify_waiters();
    Ok(operation)
}

/// An operation as it stands.
///
/// # Errors
/// `OPERATION_UNKNOWN`.
pub async fn get(core: &Core, caller: &Caller, id: Uuid) -> Result<Operation, Fault> {
    let tx = core.db.glance(caller).await?;
    store::get(&tx, caller.tenant, id)
        .await?
        .ok_or_else(|| unknown(id))
}

/// An operation once it has ended, or as it stands when the time is over.
///
/// # Errors
/// `OPERATION_UNKNOWN`.
pub async fn wait(
    core: &Core,
    caller: &Caller,
    id: Uuid,
    longest: Duration,
) -> Result<Operation, Fault> {
    // An answer must get to the caller before its own limit.
    let soon = caller
        .deadline
        .map(|d| d.checked_sub(Duration::from_millis(100)).unwrap_or(d));
    let own = Instant::now() + longest;
    let until = soon.map_or(own, |soon| soon.min(own));
    let mut pause = LOOK.0;
    loop {
        let operation = get(core, caller, id).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !operation.state.open() || left.is_zero() {
            return Ok(operation);
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// Asks an operation to stop; one that has ended stays as it is.
///
/// # Errors
/// `OPERATION_UNKNOWN`.
pub async fn cancel(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    id: Uuid,
) -> Result<Operation, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        let known = store::get(&write, caller.tenant, id).await?;
        return known.ok_or_else(|| unknown(id));
    }
    write.reserve(0).await?;
    let asked = store::ask_to_stop(&write, caller.tenant, id, write.now()).await?;
    let operation = store::get(&write, caller.tenant, id)
        .await?
        .ok_or_else(|| unknown(id))?;
    if asked {
        let ids = core.db.ids(caller.tenant);
        let was = Operation {
            cancel: false,
            ..operation.clone()
        };
        let (before, after) = (store::digest(&ids, &was), store::digest(&ids, &operation));
        write.audit("cancel_operation", RecordId(id), Some(before), Some(after));
    }
    write.commit(vec![("operation", RecordId(id), 1)]).await?;
    core.operations.notify_waiters();
    Ok(operation)
}

fn unknown(id: Uuid) -> Fault {
    Fault::new(
        Kind::NotFound,
        "OPERATION_UNKNOWN",
        format!("no operation operations/{id} in this tenant"),
    )
    .meta("resource", "operation")
    .meta("id", id)
    .meta("name", format!("operations/{id}"))
}

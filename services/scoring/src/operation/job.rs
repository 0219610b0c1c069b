//! Doing operations: in one replica at a time, one of a tenant and a few tenants at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use regard_database::{Lease, StoreError, Tx};
use regard_proto::scoring::v1 as pb;
use regard_server::{CancellationToken, status};
use regard_types::{Fault, Kind, Micros, TenantId};
use tokio::task::{Id, JoinSet};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::api::any;
use super::domain::{Operation, Progress, State, Task};
use super::store;
use crate::core::Core;
use crate::{model, roll, summary};

/// How long a replica that died keeps the work from the others.
const LEASE: Duration = Duration::from_secs(6);
/// How often a stop is looked for.
const BEAT: Duration = Duration::from_millis(500);
/// How often new work is looked for besides being told of it.
const LOOK: Duration = Duration::from_millis(500);
/// Tenants at a time; fits use all processors by themselves.
const AT_ONCE: usize = 2;
/// Open operations seen in a look.
const SEEN: i64 = 100;
/// How long an ended operation can be asked for.
const KEPT: Micros = Micros(30 * 24 * 3_600 * 1_000_000);
const TRIM: Duration = Duration::from_secs(3_600);
const NAME: &str = "operations";

/// Does operations until told to stop. Every replica may: one holds the lease, the next takes over where it stopped.
pub async fn run(core: Arc<Core>, stop: CancellationToken) {
    let lease = Arc::new(core.db.lease(NAME));
    let mut term: Option<i64> = None;
    // Tasks of their own: work must go on while the lease is renewed, since it may hold what the renewal waits for.
    let mut work: JoinSet<()> = JoinSet::new();
    let mut busy: HashMap<Id, TenantId> = HashMap::new();
    let mut trimmed: Option<Instant> = None;
    while !stop.is_cancelled() {
        // Told of work that comes while we look: the notice must be waited for before looking.
        let told = core.operations.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let now = take(&core, &lease).await;
        if now != term {
            // Whoever has the lease now goes on with what we began.
            work.shutdown().await;
            busy.clear();
            core.interrupted();
            term = now;
        }
        if let Some(term) = term {
            match look(&core).await {
                Ok(open) => {
                    for operation in open {
                        let tenant = operation.tenant;
                        if work.len() < AT_ONCE && !busy.values().any(|t| *t == tenant) {
                            let task =
                                work.spawn(one(core.clone(), operation, lease.clone(), term));
                            busy.insert(task.id(), tenant);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "open operations could not be read"),
            }
            if trimmed.is_none_or(|at| at.elapsed() > TRIM) {
                trimmed = Some(Instant::now());
                if let Err(error) = trim(&core).await {
                    tracing::warn!(?error, "ended operations could not be removed");
                }
            }
        }
        tokio::select! {
            Some(ended) = work.join_next_with_id() => {
                let id = ended.map_or_else(|e| e.id(), |(id, ())| id);
                busy.remove(&id);
            }
            () = told => {}
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    if !work.is_empty() {
        tracing::info!(operations = work.len(), "open operations are handed back");
    }
    work.shutdown().await;
    core.interrupted();
    core.lost(NAME);
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "the lease of operations was not given back: it runs out");
    }
}

/// Takes or renews the lease; its term while it is ours.
async fn take(core: &Core, lease: &Lease) -> Option<i64> {
    let asked = Instant::now();
    match lease.take(LEASE).await {
        Ok(Some(term)) => {
            core.held(NAME, asked + LEASE);
            Some(term)
        }
        Ok(None) => {
            core.lost(NAME);
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the lease of operations could not be taken");
            None
        }
    }
}

async fn look(core: &Core) -> Result<Vec<Operation>, StoreError> {
    let tx = core.db.read_system().await?;
    store::open(&tx, SEEN).await
}

async fn trim(core: &Core) -> Result<(), Fault> {
    let tx = core.db.system().await?;
    store::trim(&tx, Micros(tx.now().0.saturating_sub(KEPT.0))).await?;
    tx.commit().await?;
    Ok(())
}

/// Work on one operation under its tenant's lease, and how it may touch the store.
pub struct Turn<'a> {
    /// What is worked on.
    pub operation: &'a Operation,
    lease: &'a Lease,
    term: i64,
}

impl Turn<'_> {
    /// Fails unless the lease is ours in the transaction's eyes: another replica has taken over.
    ///
    /// # Errors
    /// `BUSY`; what the engine answers.
    pub async fn fence(&self, tx: &Tx) -> Result<(), Fault> {
        if self.lease.holds(tx, self.term).await? {
            return Ok(());
        }
        Err(Fault::busy())
    }

    /// Notes how far the work is. If the operation was asked to stop this is where the work stands still until it is dropped.
    ///
    /// # Errors
    /// `BUSY` once the lease is lost; what the engine answers.
    pub async fn progress(&self, core: &Core, progress: &Progress) -> Result<(), Fault> {
        let tx = core.db.system().await?;
        self.fence(&tx).await?;
        let Operation { tenant, id, .. } = *self.operation;
        let stop = store::progress(&tx, tenant, id, progress, tx.now()).await?;
        tx.commit().await?;
        if stop == Some(true) {
            core.operations.notify_waiters();
            return std::future::pending().await;
        }
        Ok(())
    }

    /// Ends the operation within a transaction.
    ///
    /// # Errors
    /// `BUSY` once the lease is lost or the operation has ended; what the engine answers.
    pub async fn end(
        &self,
        tx: &Tx,
        state: State,
        result: Vec<u8>,
        now: Micros,
    ) -> Result<(), Fault> {
        self.fence(tx).await?;
        if store::end(
            tx,
            self.operation.tenant,
            self.operation.id,
            state,
            result,
            now,
        )
        .await?
        {
            return Ok(());
        }
        Err(Fault::busy())
    }
}

enum Ended {
    /// The work has ended the operation itself.
    Done,
    Failed(Fault),
    Stopped,
}

/// Takes one operation as far as it goes.
async fn one(core: Arc<Core>, operation: Operation, lease: Arc<Lease>, term: i64) {
    let turn = Turn {
        operation: &operation,
        lease: &lease,
        term,
    };
    let done = Box::pin(under_lease(&core, &turn)).await;
    regard_server::job_ran(core.db.service(), NAME, done.is_ok());
    if let Err(error) = done {
        // It stays open: the next look takes it up again.
        core.interrupted();
        tracing::warn!(operation = %operation.id, ?error, "an operation was interrupted");
        tokio::time::sleep(LOOK).await;
    }
}

async fn under_lease(core: &Arc<Core>, turn: &Turn<'_>) -> Result<(), Fault> {
    // It may have ended between the look and the lease.
    let tx = core.db.read_system().await?;
    let Some(operation) = store::get(&tx, turn.operation.tenant, turn.operation.id)
        .await?
        .filter(|o| o.state.open())
    else {
        return Ok(());
    };
    drop(tx);
    let turn = Turn {
        operation: &operation,
        lease: turn.lease,
        term: turn.term,
    };
    let ended = tokio::select! {
        biased;
        ended = beat(core, &turn) => ended?,
        done = work(core, &turn) => match done {
            Ok(()) => Ended::Done,
            Err(fault) => Ended::Failed(fault),
        },
    };
    let (state, result) = match ended {
        Ended::Done => return Ok(()),
        // The store is busy or away, or the lease is lost: the operation is tried again.
        Ended::Failed(fault) if matches!(fault.kind, Kind::Busy | Kind::Down | Kind::Late) => {
            return Err(fault);
        }
        Ended::Failed(fault) => (State::Failed, encoded(&status(fault))),
        Ended::Stopped => {
            // The work may have been dropped between a commit and its puts.
            core.interrupted();
            let details = ErrorDetails::with_error_info(
                "OPERATION_CANCELLED",
                regard_proto::error::DOMAIN,
                std::collections::HashMap::new(),
            );
            let status = Status::with_error_details(
                Code::Cancelled,
                "the operation was stopped on request; what it had done stays",
                details,
            );
            (State::Cancelled, encoded(&status))
        }
    };
    let tx = core.db.system().await?;
    turn.end(&tx, state, result, tx.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// A status with its details as `google.rpc.Status`.
fn encoded(status: &Status) -> Vec<u8> {
    if status.details().is_empty() {
        let bare = tonic_types::pb::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        };
        return bare.encode_to_vec();
    }
    status.details().to_vec()
}

/// Looks whether to stop, until it is so.
async fn beat(core: &Core, turn: &Turn<'_>) -> Result<Ended, Fault> {
    loop {
        let tx = core.db.read_system().await?;
        let operation = store::get(&tx, turn.operation.tenant, turn.operation.id).await?;
        drop(tx);
        if operation.is_some_and(|o| o.state.open() && o.cancel) {
            return Ok(Ended::Stopped);
        }
        tokio::select! {
            () = core.operations.notified() => {}
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

async fn work(core: &Arc<Core>, turn: &Turn<'_>) -> Result<(), Fault> {
    match turn.operation.task {
        Task::Fit(kind, as_of) => model::app::fit(core, turn, kind, as_of).await,
        Task::Rescore => rescore(core, turn).await,
    }
}

async fn rescore(core: &Core, turn: &Turn<'_>) -> Result<(), Fault> {
    let tenant = turn.operation.tenant;
    let mut progress = turn.operation.progress.clone();
    if progress.total == 0 {
        "scoring all customers".clone_into(&mut progress.step);
        let tx = core.db.read_system().await?;
        progress.total = summary::store::count(&tx, tenant).await?;
    }
    loop {
        let (last, scored) = roll::rescore_page(core, tenant, progress.after, true).await?;
        let Some(last) = last else { break };
        progress.after = last;
        progress.done += i64::try_from(scored).unwrap_or(0);
        progress.total = progress.total.max(progress.done);
        turn.progress(core, &progress).await?;
    }
    let result = pb::RescoreAllResult {
        customers: progress.done,
    };
    let tx = core.db.system().await?;
    let result = any("regard.scoring.v1.RescoreAllResult", &result).encode_to_vec();
    turn.end(&tx, State::Done, result, tx.now()).await?;
    tx.commit().await?;
    Ok(())
}

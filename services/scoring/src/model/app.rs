//! Fitting a model to all customers of a tenant, and letting it serve.

use std::sync::Arc;

use prost::Message as _;
use regard_types::{Caller, Day, Fault, Kind, TenantId, Uuid, new_record_id};

use super::cohort::{Cohort, Frame};
use super::domain::{ModelKind, ModelRecord};
use super::fit::{Fitted, Unfit, fit as fit_cohort};
use super::{api, store};
use crate::core::Core;
use crate::operation::api::any;
use crate::operation::domain::{Progress, State};
use crate::operation::{Turn, domain};
use crate::population::orders;
use crate::score::domain::buyer;
use crate::tenant::{self, TenantState};
use crate::{follow, summary};

/// How many customers pass between two notes of progress.
const NOTE: i64 = 50_000;

/// Fits a model as an operation asks, and ends the operation with it.
///
/// # Errors
/// `MODEL_UNFIT`; `BUSY` once another replica has taken over; what the engine answers.
pub async fn fit(
    core: &Arc<Core>,
    turn: &Turn<'_>,
    kind: ModelKind,
    as_of: Option<Day>,
) -> Result<(), Fault> {
    let tenant = turn.operation.tenant;
    let mut progress = Progress {
        step: "reading purchases".into(),
        ..domain::Progress::default()
    };
    turn.progress(core, &progress).await?;

    let tx = core.db.read_system().await?;
    let state = tenant::store::get(&tx, tenant)
        .await?
        .ok_or_else(|| Fault::bug("an operation of no tenant"))?;
    let today = state.today(core.clock());
    let day = as_of.unwrap_or(today);
    let serving = store::serving_of(&tx, tenant, kind).await?;
    let loads = follow::store::loads(&tx).await?;
    let first = orders::first(&tx, tenant, loads)
        .await?
        .map(|at| Day::of(at, &state.zone));
    let frame = Frame::new(state.zone.clone(), state.basis(day), first);
    let mut cohort = Cohort::default();
    let mut scan = orders::Scan::start(&tx, tenant, loads).await?;
    let mut noted = 0;
    while let Some(page) = scan.next(&tx).await? {
        progress.done += i64::try_from(page.len()).unwrap_or(0);
        let frame = frame.clone();
        cohort = blocking(move || {
            for (_, events) in &page {
                cohort.add(events, &frame);
            }
            cohort
        })
        .await?;
        if progress.done - noted >= NOTE {
            noted = progress.done;
            turn.progress(core, &progress).await?;
        }
    }
    drop(tx);

    progress.total = progress.done;
    "fitting".clone_into(&mut progress.step);
    turn.progress(core, &progress).await?;
    let fitted =
        blocking(move || fit_cohort(kind, &cohort, &frame, serving.as_ref(), today)).await?;
    let fitted = fitted.map_err(|unfit| refuse(kind, &unfit))?;

    let tx = core.db.system().await?;
    let model = record(core, kind, day, fitted);
    if model.serving {
        // First: its row lock keeps two promotions apart.
        tenant::store::raise_models(&tx, tenant).await?;
    }
    store::insert(&tx, tenant, &model).await?;
    let result = any("regard.scoring.v1.Model", &api::to_wire(&model)).encode_to_vec();
    turn.end(&tx, State::Done, result, tx.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Sets the quintiles of the tenant's today, from the summaries as they stand; true if new ones serve.
///
/// # Errors
/// What the engine answers.
pub async fn refit_rfm(core: &Core, tenant: TenantId) -> Result<bool, Fault> {
    let tx = core.db.read_system().await?;
    let Some(state) = tenant::store::get(&tx, tenant).await? else {
        return Ok(false);
    };
    let day = state.today(core.clock());
    let buyers = buyers(&tx, &state, day).await?;
    drop(tx);
    let Ok(fitted) = super::fit::quintiles_of(&buyers) else {
        return Ok(false);
    };
    let tx = core.db.system().await?;
    let model = record(core, ModelKind::Rfm, day, fitted);
    // First: its row lock keeps two promotions apart.
    tenant::store::raise_models(&tx, tenant).await?;
    store::insert(&tx, tenant, &model).await?;
    tx.commit().await?;
    Ok(true)
}

async fn buyers(
    tx: &regard_database::Tx,
    state: &TenantState,
    day: Day,
) -> Result<Vec<regard_models::rfm::Buyer>, Fault> {
    let mut out = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let page = summary::store::page(tx, state.tenant, after, 5_000).await?;
        let Some(last) = page.last() else {
            return Ok(out);
        };
        after = last.customer;
        let counted = page
            .iter()
            .filter(|row| !crate::score::domain::truncated(&row.summary, state.basis(day)));
        out.extend(counted.filter_map(|row| buyer(&row.summary, day)));
    }
}

fn record(core: &Core, kind: ModelKind, as_of: Day, fitted: Fitted) -> ModelRecord {
    ModelRecord {
        id: new_record_id(core.clock()).0,
        kind,
        estimates: fitted.estimates,
        log_likelihood: fitted.log_likelihood,
        n: fitted.n,
        as_of,
        grade: fitted.grade,
        reasons: fitted.reasons,
        serving: fitted.serves,
        hold_out: fitted.hold_out,
        created: core.clock().now(),
    }
}

fn refuse(kind: ModelKind, unfit: &Unfit) -> Fault {
    let fault = Fault::refused(
        "MODEL_UNFIT",
        format!("{} cannot be fitted: {}", kind.as_str(), unfit.why),
    );
    let fault = fault
        .meta("model", kind.as_str())
        .meta("customers", unfit.customers);
    match unfit.required {
        Some(required) => fault.meta("required", required),
        None => fault,
    }
}

/// Work for the processor, away from the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::bug)
}

/// A model by its id, or the one that serves.
///
/// # Errors
/// `RECORD_UNKNOWN`, `MODEL_MISSING`.
pub async fn get(
    core: &Core,
    caller: &Caller,
    id: Option<Uuid>,
    kind: Option<ModelKind>,
) -> Result<ModelRecord, Fault> {
    let tx = core.db.read(caller).await?;
    match (id, kind) {
        (Some(id), kind) => {
            let model = store::get(&tx, caller.tenant, id).await?;
            model
                .filter(|m| kind.is_none_or(|k| k == m.kind))
                .ok_or_else(|| Fault::not_found("model", id))
        }
        (None, Some(kind)) => store::serving_of(&tx, caller.tenant, kind)
            .await?
            .ok_or_else(|| missing(kind)),
        (None, None) => Err(Fault::invalid(
            "kind",
            "must be stated unless an id is given",
        )),
    }
}

fn missing(kind: ModelKind) -> Fault {
    let message = format!("no {} model serves yet; call FitModel first", kind.as_str());
    Fault::new(Kind::WrongState, "MODEL_MISSING", message).meta("model", kind.as_str())
}

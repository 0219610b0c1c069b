//! What is done with orders.

use std::collections::HashMap;

use regard_database::history::Lock;
use regard_database::{Command, Tx, Write, again, lost};
use regard_erasure::{erased, record_erased};
use regard_types::{Caller, ChangeToken, CustomerId, Fault, IdKey, RecordId, TenantId, Uuid};

use super::batch::{Outcome, Plan, Stored, unknown_customer};
use super::domain::{NewOrder, Order, Terms, correct, differs, void};
use super::store;
use crate::core::{Core, Faults, Written, digest, gone, not_repeated, refuse_erased, tell};
use crate::customer::{self, Customer};
use crate::refund;
use crate::tenant::Known;

/// An order with the sum of its refunds.
#[derive(Debug)]
pub struct View {
    /// The order.
    pub order: Order,
    /// In the minor unit.
    pub refunded: i64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Batch {
    /// One a row.
    pub outcomes: Vec<Outcome>,
    /// Names the write; none if nothing was written.
    pub token: Option<ChangeToken>,
}

/// Reads what the batch names, decides, and writes records and changes. Nothing is committed yet.
async fn put(
    core: &Core,
    write: &mut Write,
    known: &Known,
    rows: &[Option<NewOrder>],
    create_missing: bool,
) -> Result<(Plan, Stored), Fault> {
    known.settle(&core.tenants, write).await?;
    let tenant = write.caller().tenant;
    let stored = read(core, write, tenant, rows, Lock::Yes).await?;
    let now = write.now();
    let plan = Plan::of(rows, &stored, create_missing, now);
    let count = u32::try_from(plan.writes()).map_err(Fault::bug)?;
    if count == 0 {
        return Ok((plan, stored));
    }
    let ids = core.db.ids(tenant);
    let at = write.reserve(count).await?;
    let place = |offset: usize| at.place(offset);
    let created: Vec<Customer> = plan
        .customers
        .iter()
        .map(|(id, key)| Customer::of_key(*id, key.clone(), &ids, now))
        .collect();
    // Of a missing customer the key alone is known: there is nothing to seal.
    customer::insert(write, tenant, (&ids, None), &created, place(0))
        .await
        .map_err(lost)?;
    let first = created.len();
    if !plan.first.is_empty() {
        store::insert(write, tenant, &plan.first, place(first))
            .await
            .map_err(lost)?;
    }
    let next = first + plan.first.len();
    if !plan.next.is_empty() {
        store::replace(write, tenant, &plan.next, place(next))
            .await
            .map_err(lost)?;
    }
    for (i, record) in created.iter().enumerate() {
        tell(write, record, at.at(i));
    }
    for (i, record) in plan.first.iter().chain(&plan.next).enumerate() {
        tell(write, record, at.at(first + i));
    }
    Ok((plan, stored))
}

async fn read(
    core: &Core,
    tx: &Tx,
    tenant: TenantId,
    rows: &[Option<NewOrder>],
    lock: Lock,
) -> Result<Stored, Fault> {
    // An order without a key is a new one.
    let keyed = rows.iter().flatten().filter(|row| row.key.is_some());
    let orders = sorted(keyed.map(|row| row.id.0));
    let mut stored = Stored::default();
    if !orders.is_empty() {
        stored.orders = store::current(tx, tenant, &orders, lock).await?;
    }
    let unknown = rows
        .iter()
        .flatten()
        .filter(|row| !stored.orders.contains_key(&row.id));
    let customers = sorted(unknown.map(|row| row.customer.0));
    if !customers.is_empty() {
        stored.customers = customer::known(tx, tenant, &customers).await?;
    }
    // What is not stored may have been erased.
    let missing = rows
        .iter()
        .flatten()
        .filter(|row| !stored.orders.contains_key(&row.id));
    let missing = sorted(missing.flat_map(|row| {
        let order = row.key.is_some().then_some(row.id.0);
        let known = stored.customers.contains(&row.customer);
        order.into_iter().chain((!known).then_some(row.customer.0))
    }));
    stored.erased = erased(tx, tenant, &core.db.ids(tenant), &missing).await?;
    let other = |row: &&NewOrder| {
        stored
            .orders
            .get(&row.id)
            .is_some_and(|order| differs(order, row))
    };
    let changed = sorted(rows.iter().flatten().filter(other).map(|row| row.id.0));
    if !changed.is_empty() {
        stored.former = store::former(tx, tenant, &changed).await?;
        stored.refunded = refund::sums(tx, tenant, &changed).await?;
    }
    Ok(stored)
}

fn sorted(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Takes a batch; a bad row rejects only itself.
pub async fn ingest(
    core: &Core,
    caller: &Caller,
    known: &Known,
    rows: &[Option<NewOrder>],
    create_missing: bool,
    validate_only: bool,
) -> Result<Batch, Fault> {
    again(|| try_ingest(core, caller, known, rows, create_missing, validate_only)).await
}

async fn try_ingest(
    core: &Core,
    caller: &Caller,
    known: &Known,
    rows: &[Option<NewOrder>],
    create_missing: bool,
    validate_only: bool,
) -> Result<Batch, Fault> {
    let command = Command {
        method: "IngestOrders",
        request_id: "",
        digest: [0; 32],
        validate_only,
    };
    let mut write = core.db.mutate(caller, command).await?;
    let (plan, _) = put(core, &mut write, known, rows, create_missing).await?;
    let mut token = None;
    if plan.writes() > 0 {
        write.audit("order.ingest", None, None, None);
        token = write.commit(Vec::new()).await?;
    }
    Ok(Batch {
        outcomes: plan.outcomes,
        token,
    })
}

/// Records orders, all or none; the answer is in the order asked.
///
/// # Errors
/// The faults of the rejected rows as one, its fields below `rows[i]` where `batch` says that there are several.
pub async fn record(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    rows: &[Option<NewOrder>],
    create_missing: bool,
    batch: bool,
) -> Result<Written<Vec<View>>, Fault> {
    again(|| try_record(core, caller, known, command, rows, create_missing, batch)).await
}

async fn try_record(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    rows: &[Option<NewOrder>],
    create_missing: bool,
    batch: bool,
) -> Result<Written<Vec<View>>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(write).await;
    }
    let (mut plan, stored) = put(core, &mut write, known, rows, create_missing).await?;
    let mut asked = Vec::with_capacity(rows.len());
    let mut faults = Faults::default();
    for (index, outcome) in std::mem::take(&mut plan.outcomes).into_iter().enumerate() {
        match outcome {
            Outcome::Accepted(id) | Outcome::Unchanged(id) => asked.push(id),
            Outcome::Rejected(rejected) => {
                faults.add(match batch {
                    true => of_row(rejected, index),
                    false => rejected,
                });
            }
            Outcome::Skipped => {}
        }
    }
    faults.done()?;
    // A new order has no refunds yet.
    let old = sorted(
        asked
            .iter()
            .filter(|id| stored.orders.contains_key(id))
            .map(|id| id.0),
    );
    let refunded = match old.is_empty() {
        true => HashMap::new(),
        false => refund::sums(&write, caller.tenant, &old).await?,
    };
    let before = match (plan.first.as_slice(), plan.next.as_slice()) {
        ([], [one]) => stored.orders.get(&one.id).cloned(),
        _ => None,
    };
    let mut orders: HashMap<RecordId, Order> = stored.orders;
    orders.extend(
        plan.first
            .iter()
            .chain(&plan.next)
            .map(|order| (order.id, order.clone())),
    );
    let mut views = Vec::with_capacity(asked.len());
    let mut records = Vec::with_capacity(asked.len());
    for id in &asked {
        let order = orders
            .get(id)
            .ok_or_else(|| Fault::bug("an order that was neither read nor written"))?;
        records.push(("order", *id, order.head.version));
        views.push(View {
            refunded: refunded.get(id).copied().unwrap_or(0),
            order: order.clone(),
        });
    }
    if plan.writes() > 0 {
        audit(core, &mut write, &plan, before.as_ref());
    }
    let token = write.commit(records).await?;
    Ok(Written {
        value: views,
        token,
    })
}

fn audit(core: &Core, write: &mut Write, plan: &Plan, before: Option<&Order>) {
    let ids = core.db.ids(write.caller().tenant);
    match (plan.first.as_slice(), plan.next.as_slice()) {
        ([one], []) | ([], [one]) => {
            let before = before.map(|order| digest(&ids, order));
            write.audit("order.record", one.id, before, Some(digest(&ids, one)));
        }
        _ => write.audit("order.record", None, None, None),
    }
}

/// The fault of a row of a batch, its fields named below the row.
pub(super) fn of_row(mut fault: Fault, index: usize) -> Fault {
    if fault.violations.is_empty() {
        let why = fault.message.clone();
        fault.violations.push(("order".to_owned(), why));
    }
    for (field, _) in &mut fault.violations {
        *field = format!("rows[{index}].{field}");
    }
    fault
}

/// What is wrong with those rows that could be read, by row, where others could not. Nothing is written or locked.
pub async fn check(
    core: &Core,
    caller: &Caller,
    rows: &[Option<NewOrder>],
    create_missing: bool,
) -> Result<Vec<(usize, Fault)>, Fault> {
    let tx = core.db.read(caller).await?;
    let stored = read(core, &tx, caller.tenant, rows, Lock::No).await?;
    let plan = Plan::of(rows, &stored, create_missing, core.db.clock().now());
    let outcomes = plan.outcomes.into_iter().enumerate();
    let rejected = outcomes.filter_map(|(index, outcome)| match outcome {
        Outcome::Rejected(fault) => Some((index, fault)),
        Outcome::Accepted(_) | Outcome::Unchanged(_) | Outcome::Skipped => None,
    });
    Ok(rejected.collect())
}

/// The answer of an earlier call with the same request id.
async fn repeat(write: Write) -> Result<Written<Vec<View>>, Fault> {
    let answer = write.repeated().ok_or_else(not_repeated)?;
    let asked: Vec<(RecordId, i64)> = answer
        .records
        .iter()
        .map(|(_, id, version)| (*id, *version))
        .collect();
    let tenant = write.caller().tenant;
    let first = asked.first().map_or(Uuid::nil(), |(id, _)| id.0);
    let orders = store::versions(&write, tenant, &asked)
        .await
        .map_err(|error| gone(error, "order", first))?;
    let value = views(&write, tenant, orders).await?;
    Ok(Written {
        value,
        token: Some(answer.token.clone()),
    })
}

/// Adds the refunds to orders that were read.
async fn views(tx: &Tx, tenant: TenantId, orders: Vec<Order>) -> Result<Vec<View>, Fault> {
    let ids: Vec<Uuid> = orders.iter().map(|order| order.id.0).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sums = refund::sums(tx, tenant, &ids).await?;
    let view = |order: Order| View {
        refunded: sums.get(&order.id).copied().unwrap_or(0),
        order,
    };
    Ok(orders.into_iter().map(view).collect())
}

fn one(mut views: Vec<View>) -> Result<View, Fault> {
    views
        .pop()
        .ok_or_else(|| Fault::bug("an answer without its order"))
}

/// One order.
pub async fn get(core: &Core, caller: &Caller, id: RecordId) -> Result<View, Fault> {
    let tx = core.db.read(caller).await?;
    let found = store::current(&tx, caller.tenant, &[id.0], Lock::No).await?;
    let orders: Vec<Order> = found.into_values().collect();
    if orders.is_empty() {
        return Err(Fault::not_found("order", id));
    }
    one(views(&tx, caller.tenant, orders).await?)
}

/// A page of a customer's orders, and whether there are more.
pub async fn list(
    core: &Core,
    caller: &Caller,
    customer: CustomerId,
    include_voided: bool,
    after: Option<(i64, Uuid)>,
    size: usize,
) -> Result<(Vec<View>, bool), Fault> {
    let tx = core.db.read(caller).await?;
    let limit = size as u64 + 1;
    let mut orders =
        store::page(&tx, caller.tenant, customer, include_voided, after, limit).await?;
    let more = orders.len() > size;
    orders.truncate(size);
    Ok((views(&tx, caller.tenant, orders).await?, more))
}

/// Corrects an order: `change` gives the new terms of the old ones.
pub async fn update(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    id: RecordId,
    etag: &str,
    change: impl Fn(&Terms) -> Terms + Sync,
) -> Result<Written<View>, Fault> {
    again(|| {
        try_change(
            core,
            caller,
            known,
            command,
            (id, etag),
            "order.correct",
            |order, refunded, now| {
                let terms = change(&order.terms);
                // A voided order is refused even where nothing would change.
                let next = correct(order, terms, refunded, now)?;
                Ok((terms != order.terms).then_some(next))
            },
        )
    })
    .await
}

/// Voids an order.
pub async fn cancel(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    id: RecordId,
    etag: &str,
) -> Result<Written<View>, Fault> {
    again(|| {
        try_change(
            core,
            caller,
            known,
            command,
            (id, etag),
            "order.void",
            |order, _, now| void(order, now).map(Some),
        )
    })
    .await
}

async fn try_change(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    (id, etag): (RecordId, &str),
    action: &'static str,
    decide: impl Fn(&Order, i64, regard_types::Micros) -> Result<Option<Order>, Fault> + Send,
) -> Result<Written<View>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        let Written { value, token } = repeat(write).await?;
        return Ok(Written {
            value: one(value)?,
            token,
        });
    }
    known.settle(&core.tenants, &write).await?;
    let tenant = caller.tenant;
    let found = store::current(&write, tenant, &[id.0], Lock::Yes)
        .await?
        .remove(&id);
    let Some(before) = found else {
        return Err(missing(core, &write, id).await?);
    };
    regard_server::wire::check_etag(etag, "order", id.0, before.head.version)?;
    let refunded = refund::sums(&write, tenant, &[id.0])
        .await?
        .remove(&id)
        .unwrap_or(0);
    let order = match decide(&before, refunded, write.now())? {
        None => before,
        Some(next) => {
            let ids: IdKey = core.db.ids(tenant);
            let at = write.reserve(1).await?;
            let place = at.place(0);
            store::replace(&write, tenant, std::slice::from_ref(&next), place)
                .await
                .map_err(lost)?;
            tell(&mut write, &next, at.first);
            write.audit(
                action,
                id,
                Some(digest(&ids, &before)),
                Some(digest(&ids, &next)),
            );
            next
        }
    };
    let token = write
        .commit(vec![("order", id, order.head.version)])
        .await?;
    Ok(Written {
        value: View { order, refunded },
        token,
    })
}

/// Why there is no such order: it was erased, or never was.
async fn missing(core: &Core, write: &Write, id: RecordId) -> Result<Fault, Fault> {
    let tenant = write.caller().tenant;
    let gone = erased(write, tenant, &core.db.ids(tenant), &[id.0]).await?;
    Ok(match gone.is_empty() {
        true => Fault::not_found("order", id),
        false => record_erased("order", id),
    })
}

/// The order that a refund names, locked; its customer must exist.
pub(crate) async fn for_refund(core: &Core, write: &Write, id: RecordId) -> Result<Order, Fault> {
    let tenant = write.caller().tenant;
    let found = store::current(write, tenant, &[id.0], Lock::Yes)
        .await?
        .remove(&id);
    if let Some(order) = found {
        return Ok(order);
    }
    let mut fault = missing(core, write, id).await?;
    fault.violations.push((
        "refund.order".to_owned(),
        "must be a recorded order".to_owned(),
    ));
    Err(fault)
}

/// Refuses a customer that is not known, or was erased.
pub(crate) async fn require_customer(
    core: &Core,
    write: &Write,
    field: &str,
    id: CustomerId,
    key: Option<&regard_types::SourceKey>,
) -> Result<(), Fault> {
    let known = customer::known(write, write.caller().tenant, &[id.0]).await?;
    if known.contains(&id) {
        return Ok(());
    }
    refuse_erased(core, write, field, id).await?;
    Err(unknown_customer(field, id, key))
}

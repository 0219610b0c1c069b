//! What is done with customers.

use std::collections::HashMap;

use regard_database::history::Lock;
use regard_database::{Command, Tx, Write, again, lost};
use regard_erasure::erased;
use regard_types::{
    Caller, ChangeToken, CustomerId, Fault, IdKey, RecordId, SourceKey, TenantId, Uuid,
};

use super::batch::{Outcome, Plan, Stored, differs};
use super::domain::{Customer, NewCustomer, Profile};
use super::store::{self, Filter};
use crate::core::{Core, Written, digest, gone, not_repeated, refuse_erased, tell};
use crate::merge;
use crate::order::unknown_customer;

/// A customer, and the one that it stands for now.
#[derive(Debug)]
pub struct View {
    /// The customer.
    pub customer: Customer,
    /// Its own id unless merged.
    pub canonical: CustomerId,
}

/// Creates a customer.
pub async fn create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewCustomer,
) -> Result<Written<View>, Fault> {
    again(|| try_create(core, caller, command, new)).await
}

async fn try_create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewCustomer,
) -> Result<Written<View>, Fault> {
    let tenant = caller.tenant;
    let sealer = core.vault.sealer(tenant).await?;
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(core, write).await;
    }
    if new.key.is_some()
        && store::known(&write, tenant, &[new.id.0])
            .await?
            .contains(&new.id)
    {
        return Err(Fault::exists("customer", new.id));
    }
    if new.key.is_some() {
        refuse_erased(core, &write, "customer.key", new.id).await?;
    }
    let customer = new.first(write.now());
    let at = write.reserve(1).await?;
    let place = at.place(0);
    let ids = core.db.ids(tenant);
    store::insert(
        &write,
        tenant,
        (&ids, Some(&sealer)),
        std::slice::from_ref(&customer),
        place,
    )
    .await
    .map_err(lost)?;
    tell(&mut write, &customer, at.first);
    let after = digest(&ids, &customer);
    write.audit(
        "customer.create",
        RecordId::from(customer.id),
        None,
        Some(after),
    );
    commit(write, customer).await
}

async fn commit(write: Write, customer: Customer) -> Result<Written<View>, Fault> {
    let roots = merge::roots(&write, write.caller().tenant, &[customer.id]).await?;
    let canonical = roots.get(&customer.id).copied().unwrap_or(customer.id);
    let records = vec![(
        "customer",
        RecordId::from(customer.id),
        customer.head.version,
    )];
    let token = write.commit(records).await?;
    Ok(Written {
        value: View {
            customer,
            canonical,
        },
        token,
    })
}

async fn repeat(core: &Core, write: Write) -> Result<Written<View>, Fault> {
    let answer = write.repeated().ok_or_else(not_repeated)?;
    let (id, version) = answer.record("customer")?;
    let customer = store::version(
        &write,
        &core.vault,
        write.caller().tenant,
        CustomerId(id.0),
        version,
    )
    .await
    .map_err(|error| gone(error, "customer", id))?;
    let written = commit(write, customer).await?;
    Ok(written)
}

/// One customer, as the caller named it.
pub async fn get(
    core: &Core,
    caller: &Caller,
    id: CustomerId,
    key: Option<&SourceKey>,
) -> Result<View, Fault> {
    let tx = core.db.read(caller).await?;
    let mut found = several(core, &tx, caller.tenant, &[id]).await?;
    found
        .remove(&id)
        .ok_or_else(|| unknown_customer("customer", id, key))
}

/// Those of the customers that are known.
pub async fn batch_get(
    core: &Core,
    caller: &Caller,
    ids: &[CustomerId],
) -> Result<HashMap<CustomerId, View>, Fault> {
    let tx = core.db.read(caller).await?;
    several(core, &tx, caller.tenant, ids).await
}

async fn several(
    core: &Core,
    tx: &Tx,
    tenant: TenantId,
    ids: &[CustomerId],
) -> Result<HashMap<CustomerId, View>, Fault> {
    let asked: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = store::current(tx, &core.vault, tenant, &asked, Lock::No).await?;
    let views = views(tx, tenant, found.into_values().collect()).await?;
    Ok(views
        .into_iter()
        .map(|view| (view.customer.id, view))
        .collect())
}

/// Adds the canonical customers.
async fn views(tx: &Tx, tenant: TenantId, customers: Vec<Customer>) -> Result<Vec<View>, Fault> {
    let ids: Vec<CustomerId> = customers.iter().map(|customer| customer.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let roots = merge::roots(tx, tenant, &ids).await?;
    let view = |customer: Customer| View {
        canonical: roots.get(&customer.id).copied().unwrap_or(customer.id),
        customer,
    };
    Ok(customers.into_iter().map(view).collect())
}

/// A page of customers by id, and whether there are more.
pub async fn list(
    core: &Core,
    caller: &Caller,
    filter: &Filter,
    after: Option<Uuid>,
    size: usize,
) -> Result<(Vec<View>, bool), Fault> {
    let tx = core.db.read(caller).await?;
    let ids = core.db.ids(caller.tenant);
    let limit = size as u64 + 1;
    let mut found = store::page(
        &tx,
        (&ids, &core.vault),
        caller.tenant,
        filter,
        after,
        limit,
    )
    .await?;
    let more = found.len() > size;
    found.truncate(size);
    Ok((views(&tx, caller.tenant, found).await?, more))
}

/// Changes a customer: `change` gives the new profile of the old one.
pub async fn update(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    (id, key): (CustomerId, Option<&SourceKey>),
    etag: &str,
    change: impl Fn(&Profile) -> Profile + Sync,
) -> Result<Written<View>, Fault> {
    again(|| try_update(core, caller, command, (id, key), etag, &change)).await
}

async fn try_update(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    (id, key): (CustomerId, Option<&SourceKey>),
    etag: &str,
    change: &(impl Fn(&Profile) -> Profile + Sync),
) -> Result<Written<View>, Fault> {
    let tenant = caller.tenant;
    let sealer = core.vault.sealer(tenant).await?;
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(core, write).await;
    }
    let found = store::current(&write, &core.vault, tenant, &[id.0], Lock::Yes)
        .await?
        .remove(&id);
    refuse_erased(core, &write, "target", id).await?;
    let before = found.ok_or_else(|| unknown_customer("target", id, key))?;
    regard_server::wire::check_etag(etag, "customer", id.0, before.head.version)?;
    let profile = change(&before.profile);
    if profile == before.profile {
        return commit(write, before).await;
    }
    let ids = core.db.ids(tenant);
    let new = NewCustomer::new(id, before.key.clone(), profile, before.revision, &ids);
    let customer = Customer {
        head: before.head.next(write.now()),
        ..new.first(write.now())
    };
    let at = write.reserve(1).await?;
    let place = at.place(0);
    store::replace(
        &write,
        tenant,
        (&ids, Some(&sealer)),
        std::slice::from_ref(&customer),
        place,
    )
    .await
    .map_err(lost)?;
    tell(&mut write, &customer, at.first);
    let digests = (digest(&ids, &before), digest(&ids, &customer));
    write.audit(
        "customer.update",
        RecordId::from(id),
        Some(digests.0),
        Some(digests.1),
    );
    commit(write, customer).await
}

/// Keyed digest of a batch for the audit: the feed's measures know no names.
fn batch_digest<'a>(ids: &IdKey, batch: impl Iterator<Item = &'a Customer>) -> [u8; 32] {
    let mut bytes = Vec::new();
    for customer in batch {
        bytes.extend_from_slice(customer.id.0.as_bytes());
        bytes.extend_from_slice(&customer.head.version.to_be_bytes());
        bytes.extend_from_slice(&customer.content);
    }
    ids.digest("customer batch", &bytes)
}

/// What became of a batch.
#[derive(Debug)]
pub struct Batch {
    /// One a row.
    pub outcomes: Vec<Outcome>,
    /// Names the write; none if nothing was written.
    pub token: Option<ChangeToken>,
}

/// Takes a batch; a bad row rejects only itself.
pub async fn ingest(
    core: &Core,
    caller: &Caller,
    rows: &[Option<NewCustomer>],
    validate_only: bool,
) -> Result<Batch, Fault> {
    again(|| try_ingest(core, caller, rows, validate_only)).await
}

async fn try_ingest(
    core: &Core,
    caller: &Caller,
    rows: &[Option<NewCustomer>],
    validate_only: bool,
) -> Result<Batch, Fault> {
    let command = Command {
        method: "IngestCustomers",
        request_id: "",
        digest: [0; 32],
        validate_only,
    };
    let tenant = caller.tenant;
    let named = |row: &NewCustomer| !row.profile.identity.is_empty();
    let sealer = match rows.iter().flatten().any(named) {
        true => Some(core.vault.sealer(tenant).await?),
        false => None,
    };
    let mut write = core.db.mutate(caller, command).await?;
    let mut asked: Vec<Uuid> = rows.iter().flatten().map(|row| row.id.0).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut stored = Stored::default();
    if !asked.is_empty() {
        stored.customers = store::bare(&write, tenant, &asked, Lock::Yes).await?;
    }
    let new: Vec<Uuid> = rows
        .iter()
        .flatten()
        .filter(|row| !stored.customers.contains_key(&row.id))
        .map(|row| row.id.0)
        .collect();
    stored.erased = erased(&write, tenant, &core.db.ids(tenant), &new).await?;
    let other = |row: &&NewCustomer| {
        stored
            .customers
            .get(&row.id)
            .is_some_and(|before| differs(before, row))
    };
    let changed: Vec<Uuid> = rows
        .iter()
        .flatten()
        .filter(other)
        .map(|row| row.id.0)
        .collect();
    if !changed.is_empty() {
        stored.former = store::former(&write, tenant, &changed).await?;
    }
    let plan = Plan::of(rows, &stored, write.now());
    let count = u32::try_from(plan.first.len() + plan.next.len()).map_err(Fault::bug)?;
    let mut token = None;
    if count > 0 {
        let ids = core.db.ids(tenant);
        let at = write.reserve(count).await?;
        let place = |offset: usize| at.place(offset);
        let keys = (&ids, sealer.as_ref());
        store::insert(&write, tenant, keys, &plan.first, place(0))
            .await
            .map_err(lost)?;
        store::replace(&write, tenant, keys, &plan.next, place(plan.first.len()))
            .await
            .map_err(lost)?;
        for (i, customer) in plan.first.iter().chain(&plan.next).enumerate() {
            tell(&mut write, customer, at.at(i));
        }
        let after = batch_digest(&ids, plan.first.iter().chain(&plan.next));
        write.audit("customer.ingest", None, None, Some(after));
        token = write.commit(Vec::new()).await?;
    }
    Ok(Batch {
        outcomes: plan.outcomes,
        token,
    })
}

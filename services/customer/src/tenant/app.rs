//! What is done with tenants.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use regard_database::history::Lock;
use regard_database::{Command, Database, Tx, Write, again, lost};
use regard_types::record::Head;
use regard_types::{Caller, CallerLimits, Fault, Kind, RecordId, TenantId};

use super::domain::{self, Tenant, Terms, next_day_version};
use super::store;
use crate::core::{Core, Written, digest, not_repeated, tell};
use crate::{order, refund};

/// How long a tenant record is believed without asking. What it decides (the currency) is fixed once orders exist.
const BELIEVED: Duration = Duration::from_secs(1);
/// Tenants that are kept; more only cost reading them again.
const KEPT: usize = 10_000;

/// A tenant as this process knows it.
#[derive(Debug)]
pub struct Known {
    /// The record.
    pub tenant: Tenant,
    /// It had orders or refunds when the record was read: its currency can never change.
    settled: bool,
}

impl Deref for Known {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Known {
    /// Makes sure, before the first order of a tenant is written, that its currency is still the one by which the order
    /// was read; the record is locked against a change until the write ends.
    ///
    /// # Errors
    /// `CURRENCY_MISMATCH` if it was changed meanwhile; as the store answers.
    pub async fn settle(&self, tenants: &Tenants, write: &Write) -> Result<(), Fault> {
        if self.settled {
            return Ok(());
        }
        let now = store::current(write, self.tenant.id, Lock::Shared).await?;
        let now = now.ok_or_else(domain::unknown)?;
        let (found, expected) = (self.tenant.terms.currency, now.terms.currency);
        if found == expected {
            return Ok(());
        }
        tenants.forget(self.tenant.id);
        let message =
            format!("the tenant's currency was changed meanwhile; amounts here are in {expected}");
        let fault = Fault::new(Kind::Invalid, "CURRENCY_MISMATCH", message);
        Err(fault.meta("expected", expected).meta("found", found))
    }
}

/// Tenant records by id, kept for a second.
#[derive(Debug, Default)]
pub struct Tenants(RwLock<HashMap<TenantId, (Instant, Arc<Known>)>>);

impl Tenants {
    /// The caller's tenant.
    ///
    /// # Errors
    /// `TENANT_UNKNOWN` if it has no record; as the store answers.
    pub async fn of(&self, db: &Database, caller: &Caller) -> Result<Arc<Known>, Fault> {
        if let Some(known) = self.kept(caller.tenant) {
            return Ok(known);
        }
        let tx = db.read(caller).await?;
        let known = Self::read(&tx, caller.tenant).await?;
        self.keep(known.clone());
        Ok(known)
    }

    /// The same within a snapshot that is open: no second connection is waited for with one in hand.
    ///
    /// # Errors
    /// As [`Tenants::of`].
    pub async fn of_in(&self, tx: &Tx, caller: &Caller) -> Result<Arc<Known>, Fault> {
        match self.kept(caller.tenant) {
            Some(known) => Ok(known),
            None => Self::read(tx, caller.tenant).await,
        }
    }

    /// In one snapshot: where there are orders, this currency is the last one.
    async fn read(tx: &Tx, id: TenantId) -> Result<Arc<Known>, Fault> {
        let tenant = store::current(tx, id, Lock::No).await?;
        Ok(Arc::new(Known {
            tenant: tenant.ok_or_else(domain::unknown)?,
            settled: order::any(tx, id).await? || refund::any(tx, id).await?,
        }))
    }

    fn kept(&self, id: TenantId) -> Option<Arc<Known>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, known) = kept.get(&id).filter(|(at, _)| at.elapsed() < BELIEVED)?;
        Some(known.clone())
    }

    fn keep(&self, known: Arc<Known>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(known.tenant.id, (Instant::now(), known));
    }

    fn forget(&self, tenant: TenantId) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&tenant);
    }
}

/// A tenant as a caller asks for it.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its name.
    pub name: String,
    /// The rest.
    pub terms: Terms,
}

/// The caller as it acts in the tenant of this name: its own, or, for an operator, any.
///
/// # Errors
/// `PERMISSION_DENIED` for another tenant than its own.
pub fn acting(core: &Core, caller: &Caller, name: &str, permission: &str) -> Result<Caller, Fault> {
    if name.is_empty() || *name == *caller.tenant_name {
        return Ok(caller.clone());
    }
    if !caller.all_tenants {
        let message = format!(
            "only an operator (a key with all_tenants = true) may use {permission} on another tenant than its own"
        );
        return Err(Fault::new(Kind::Denied, "PERMISSION_DENIED", message)
            .meta("permission", permission)
            .meta("tenant", name));
    }
    Ok(caller.in_tenant(core.db.secret().tenant_id(name), name))
}

/// Creates a tenant: the caller's own, or, for an operator, any.
///
/// # Errors
/// `PERMISSION_DENIED` for another tenant; `RECORD_EXISTS`; as the store answers.
pub async fn create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewTenant,
) -> Result<Written<Tenant>, Fault> {
    let acting = acting(core, caller, &new.name, "tenant.create")?;
    again(|| try_create(core, &acting, command, new)).await
}

async fn try_create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewTenant,
) -> Result<Written<Tenant>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(write).await;
    }
    if store::current(&write, caller.tenant, Lock::No)
        .await?
        .is_some()
    {
        return Err(Fault::exists("tenant", caller.tenant));
    }
    let tenant = Tenant {
        id: caller.tenant,
        name: new.name.clone(),
        terms: new.terms.clone(),
        day_version: 1,
        head: Head::first(write.now()),
    };
    keep(core, &mut write, &tenant, "tenant.create", None).await?;
    commit(core, write, tenant).await
}

/// The tenant of this name, or the caller's own.
pub async fn get(core: &Core, caller: &Caller, name: &str) -> Result<Tenant, Fault> {
    let caller = acting(core, caller, name, "tenant.read")?;
    let tx = core.db.read(&caller).await?;
    let tenant = store::current(&tx, caller.tenant, Lock::No).await?;
    tenant.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Fault {
    if name.is_empty() {
        domain::unknown()
    } else {
        domain::unknown_name(name)
    }
}

/// Changes a tenant: `change` gives the new terms of the old ones.
pub async fn update(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    name: &str,
    etag: &str,
    change: impl Fn(&Terms) -> Terms + Sync,
) -> Result<Written<Tenant>, Fault> {
    let acting = acting(core, caller, name, "tenant.write")?;
    again(|| try_update(core, &acting, command, name, etag, &change)).await
}

async fn try_update(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    name: &str,
    etag: &str,
    change: &(impl Fn(&Terms) -> Terms + Sync),
) -> Result<Written<Tenant>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(write).await;
    }
    let before = store::current(&write, caller.tenant, Lock::Yes).await?;
    let before = before.ok_or_else(|| missing(name))?;
    regard_server::wire::check_etag(etag, "tenant", before.id.0, before.head.version)?;
    let terms = change(&before.terms);
    if terms == before.terms {
        return commit(core, write, before).await;
    }
    if terms.currency != before.terms.currency
        && (order::any(&write, caller.tenant).await? || refund::any(&write, caller.tenant).await?)
    {
        let fault = Fault::wrong_state(
            "has_orders",
            "the currency of a tenant that has orders cannot be changed",
        );
        return Err(fault.meta("resource", "tenant").meta("id", before.id));
    }
    let tenant = Tenant {
        day_version: next_day_version(before.day_version, &before.terms, &terms),
        head: before.head.next(write.now()),
        terms,
        ..before.clone()
    };
    keep(core, &mut write, &tenant, "tenant.update", Some(&before)).await?;
    commit(core, write, tenant).await
}

async fn keep(
    core: &Core,
    write: &mut Write,
    tenant: &Tenant,
    action: &'static str,
    before: Option<&Tenant>,
) -> Result<(), Fault> {
    let ids = core.db.ids(tenant.id);
    let at = write.reserve(1).await?;
    let place = at.place(0);
    store::write(write, tenant, place).await.map_err(lost)?;
    tell(write, tenant, at.first);
    let before = before.map(|t| digest(&ids, t));
    write.audit(
        action,
        RecordId(tenant.id.0),
        before,
        Some(digest(&ids, tenant)),
    );
    Ok(())
}

async fn commit(core: &Core, write: Write, tenant: Tenant) -> Result<Written<Tenant>, Fault> {
    let records = vec![("tenant", RecordId(tenant.id.0), tenant.head.version)];
    let token = write.commit(records).await?;
    core.tenants.forget(tenant.id);
    Ok(Written {
        value: tenant,
        token,
    })
}

async fn repeat(write: Write) -> Result<Written<Tenant>, Fault> {
    let answer = write.repeated().ok_or_else(not_repeated)?;
    let (_, version) = answer.record("tenant")?;
    let value = store::version(&write, write.caller().tenant, version).await?;
    Ok(Written {
        value,
        token: Some(answer.token.clone()),
    })
}

/// Makes the tenant of the embedded suite, unless it is there.
pub async fn ensure(core: &Core, name: &str) -> Result<(), Fault> {
    let caller = Caller::new(core.db.secret().tenant_id(name), name, "regard");
    if core.tenants.of(&core.db, &caller).await.is_ok() {
        return Ok(());
    }
    let (zone, currency) = Terms::parse("tenant", "", "")?;
    let new = NewTenant {
        name: name.to_owned(),
        terms: Terms {
            zone,
            currency,
            pinned_day: None,
            history_start: None,
            minimum_group_size: 0,
            limits: CallerLimits::default(),
            retention_days: 0,
        },
    };
    let command = Command {
        method: "open",
        request_id: "",
        digest: [0; 32],
        validate_only: false,
    };
    match create(core, &caller, command, &new).await {
        Ok(_) => Ok(()),
        // Another replica was faster.
        Err(fault) if fault.reason == "RECORD_EXISTS" => Ok(()),
        Err(fault) => Err(fault),
    }
}

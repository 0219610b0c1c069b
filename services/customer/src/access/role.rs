//! What is done with roles of tenants.

use regard_database::{Answer, Command, Tx, Write, again, lost};
use regard_server::identity::role as shipped;
use regard_types::record::Head;
use regard_types::{Caller, Fault, Kind, RecordId, TenantId};

use super::app::known;
use super::domain::{Role, may_grant};
use super::store;
use crate::core::{Core, Written};

/// The kind of roles in answers and the audit.
pub const KIND: &str = "role";
/// Roles of a tenant at most: every server holds them all.
const MOST: usize = 200;

/// A role as a caller asks for it.
#[derive(Debug, Clone)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub title: String,
    /// Permissions, such as `order.read` or `order.*`.
    pub permissions: Vec<String>,
}

fn id(core: &Core, tenant: TenantId, name: &str) -> RecordId {
    RecordId(core.db.ids(tenant).id_parts(KIND, "", name))
}

/// Creates a role, or replaces the one of its name.
///
/// # Errors
/// `FIELD_INVALID` for a permission that no RPC declares; `RECORD_EXISTS` for the name of a shipped role; `WRONG_STATE` for
/// one role too many; `ETAG_MISMATCH`, `PERMISSION_DENIED`, `TENANT_UNKNOWN`; as the store answers.
pub async fn apply(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewRole,
    etag: &str,
) -> Result<Written<Role>, Fault> {
    if shipped::role(&new.name).is_some() {
        let message = format!(
            "the role {} is one that Regard brings; choose another name",
            new.name
        );
        let fault = Fault::new(Kind::Exists, "RECORD_EXISTS", message);
        return Err(fault.meta("resource", KIND).meta("id", &new.name));
    }
    if let Some(index) = new
        .permissions
        .iter()
        .position(|one| !shipped::is_declared(one))
    {
        let why = "must be a permission that some RPC declares, such as order.read or order.*";
        return Err(Fault::invalid(format!("role.permissions[{index}]"), why));
    }
    may_grant(caller, &shipped::granted(&new.permissions), false)?;
    again(|| try_apply(core, caller, command, new, etag)).await
}

async fn try_apply(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewRole,
    etag: &str,
) -> Result<Written<Role>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    let tenant = caller.tenant;
    if let Some(answer) = write.repeated() {
        return answered(&write, tenant, answer).await;
    }
    known(&write, tenant).await?;
    let id = id(core, tenant, &new.name);
    let before = store::role(&write, tenant, id, true).await?;
    let live = before.as_ref().filter(|role| !role.ended);
    check_etag(etag, id, live)?;
    if let Some(live) = live
        && (&live.title, &live.permissions) == (&new.title, &new.permissions)
    {
        let value = live.clone();
        let token = write.commit(vec![(KIND, id, value.head.version)]).await?;
        return Ok(Written { value, token });
    }
    if live.is_none() && store::roles(&write, tenant).await?.len() >= MOST {
        let message = format!("the tenant has {MOST} roles, which is the most; delete one first");
        return Err(Fault::wrong_state("full", message)
            .meta("resource", KIND)
            .meta("id", id));
    }
    let role = Role {
        id,
        name: new.name.clone(),
        title: new.title.clone(),
        permissions: new.permissions.clone(),
        ended: false,
        head: head(before.as_ref(), &write),
    };
    put(core, &mut write, &role, before.as_ref(), "role.apply").await?;
    let token = write.commit(vec![(KIND, id, role.head.version)]).await?;
    Ok(Written { value: role, token })
}

fn head(before: Option<&Role>, write: &Write) -> Head {
    before.map_or(Head::first(write.now()), |role| role.head.next(write.now()))
}

fn check_etag(etag: &str, id: RecordId, live: Option<&Role>) -> Result<(), Fault> {
    let version = live.map_or(0, |role| role.head.version);
    regard_server::wire::check_etag(etag, KIND, id.0, version)
}

/// Deletes a role.
///
/// # Errors
/// `WRONG_STATE` for a shipped role; `RECORD_UNKNOWN`, `ETAG_MISMATCH`; as the store answers.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    name: &str,
    etag: &str,
) -> Result<Written<Role>, Fault> {
    if shipped::role(name).is_some() {
        let message = format!("the role {name} is one that Regard brings; it cannot be deleted");
        return Err(Fault::wrong_state("shipped", message)
            .meta("resource", KIND)
            .meta("id", name));
    }
    again(|| try_delete(core, caller, command, name, etag)).await
}

async fn try_delete(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    name: &str,
    etag: &str,
) -> Result<Written<Role>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    let tenant = caller.tenant;
    if let Some(answer) = write.repeated() {
        return answered(&write, tenant, answer).await;
    }
    let id = id(core, tenant, name);
    let before = store::role(&write, tenant, id, true)
        .await?
        .filter(|role| !role.ended);
    let before = before.ok_or_else(|| Fault::not_found(KIND, name))?;
    check_etag(etag, id, Some(&before))?;
    let role = Role {
        ended: true,
        head: before.head.next(write.now()),
        ..before.clone()
    };
    put(core, &mut write, &role, Some(&before), "role.delete").await?;
    let token = write.commit(vec![(KIND, id, role.head.version)]).await?;
    Ok(Written { value: role, token })
}

async fn put(
    core: &Core,
    write: &mut Write,
    role: &Role,
    before: Option<&Role>,
    action: &'static str,
) -> Result<(), Fault> {
    let tenant = write.caller().tenant;
    store::write_role(write, tenant, role).await.map_err(lost)?;
    let ids = core.db.ids(tenant);
    let before = before.map(|role| ids.digest(KIND, &role.bytes()));
    write.audit(
        action,
        role.id,
        before,
        Some(ids.digest(KIND, &role.bytes())),
    );
    Ok(())
}

async fn answered(tx: &Tx, tenant: TenantId, answer: &Answer) -> Result<Written<Role>, Fault> {
    let first = answer.records.first().filter(|(kind, ..)| kind == KIND);
    let (_, id, version) = first.ok_or_else(|| Fault::bug("an answer without its role"))?;
    let value = store::role_version(tx, tenant, *id, *version).await?;
    Ok(Written { value, token: None })
}

/// The roles of the caller's tenant.
///
/// # Errors
/// As the store answers.
pub async fn list(core: &Core, caller: &Caller) -> Result<Vec<Role>, Fault> {
    let tx = core.db.read(caller).await?;
    Ok(store::roles(&tx, caller.tenant).await?)
}

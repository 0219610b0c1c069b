//! What is done with API keys.

use regard_database::{Answer, Command, Tx, Write, again, lost};
use regard_server::identity::role as shipped;
use regard_types::record::Head;
use regard_types::{Caller, Fault, Micros, RecordId, TenantId, Uuid, new_record_id};

use super::domain::{ApiKey, Seed, digest, may_grant};
use super::store;
use crate::core::{Core, Written};
use crate::tenant;

/// The kind of keys in answers and the audit.
pub const KIND: &str = "api_key";

/// A key as a caller asks for it.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Who uses it.
    pub name: String,
    /// What it may do.
    pub roles: Vec<String>,
    /// When it ends by itself.
    pub expires: Option<Micros>,
}

/// A key and, for whoever made it, what is sent; empty for `validate_only`.
pub struct Shown {
    /// The key.
    pub key: ApiKey,
    /// What its caller sends.
    pub secret: String,
}

/// Creates a key.
///
/// # Errors
/// `FIELD_INVALID` for an unknown role or an end that has passed; `PERMISSION_DENIED` for a role that grants more than the
/// caller holds; `TENANT_UNKNOWN`; as the store answers.
pub async fn create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewKey,
) -> Result<Written<Shown>, Fault> {
    again(|| try_create(core, caller, command, new)).await
}

async fn try_create(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    new: &NewKey,
) -> Result<Written<Shown>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    let (tenant, ids) = (caller.tenant, core.db.ids(caller.tenant));
    known(&write, tenant).await?;
    // Before a repeat, too: it shows the secret once more.
    grant(&write, caller, &new.roles).await?;
    if let Some(answer) = write.repeated() {
        let key = answered(&write, tenant, answer).await?;
        // The seed is kept for as long as the answer: so a lost answer does not lose the key.
        let seed =
            Seed::of(&answer.records).ok_or_else(|| Fault::bug("an answer without its seed"))?;
        let secret = seed.key(&ids, key.id);
        return Ok(Written {
            value: Shown { key, secret },
            token: None,
        });
    }
    let now = write.now();
    if new.expires.is_some_and(|end| end <= now) {
        return Err(Fault::invalid(
            "api_key.expire_time",
            "must lie in the future",
        ));
    }
    let (id, seed) = (new_record_id(core.db.clock()), Seed::new());
    let secret = seed.key(&ids, id);
    let key = ApiKey {
        id,
        name: new.name.clone(),
        roles: new.roles.clone(),
        prefix: secret
            .get(..regard_server::identity::API_KEY_PREFIX)
            .unwrap_or_default()
            .to_owned(),
        digest: digest(&secret),
        expires: new.expires,
        revoked: None,
        creator: caller.name.to_string(),
        head: Head::first(now),
    };
    store::insert_key(&write, tenant, &key)
        .await
        .map_err(lost)?;
    let after = ids.digest(KIND, &key.bytes());
    write.audit("api_key.create", id, None, Some(after));
    let records = std::iter::once((KIND, id, 1)).chain(seed.records());
    let kept = write.commit(records.collect()).await?;
    let secret = if kept.is_some() {
        secret
    } else {
        String::new()
    };
    Ok(Written {
        value: Shown { key, secret },
        token: kept,
    })
}

/// Makes sure that the tenant has a record.
pub async fn known(tx: &Tx, tenant: TenantId) -> Result<(), Fault> {
    match store::tenant(tx, tenant).await? {
        Some(_) => Ok(()),
        None => Err(tenant::unknown()),
    }
}

/// Makes sure that the roles exist and grant nothing that the caller lacks.
async fn grant(tx: &Tx, caller: &Caller, roles: &[String]) -> Result<(), Fault> {
    let own = store::granted(tx, caller.tenant).await?;
    for (index, name) in roles.iter().enumerate() {
        let (patterns, all_tenants) = match (shipped::role(name), own.get(name)) {
            (Some(role), _) => (&role.permissions, role.all_tenants),
            (None, Some(patterns)) => (patterns, false),
            (None, None) => {
                let why =
                    "must be a role of Regard or of the tenant; ListRoles tells which there are";
                return Err(Fault::invalid(format!("api_key.roles[{index}]"), why));
            }
        };
        may_grant(caller, &shipped::granted(patterns), all_tenants)?;
    }
    Ok(())
}

async fn answered(tx: &Tx, tenant: TenantId, answer: &Answer) -> Result<ApiKey, Fault> {
    let first = answer.records.first().filter(|(kind, ..)| kind == KIND);
    let (_, id, version) = first.ok_or_else(|| Fault::bug("an answer without its key"))?;
    let key = store::key(tx, tenant, *id, false).await?;
    Ok(key
        .ok_or_else(|| Fault::bug("an answer's key is gone"))?
        .at(*version))
}

/// A page of keys, with one more where there is a next page.
///
/// # Errors
/// `PERMISSION_DENIED` for another tenant; as the store answers.
pub async fn list(
    core: &Core,
    caller: &Caller,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<ApiKey>, Fault> {
    let tx = core.db.read(caller).await?;
    Ok(store::keys(&tx, caller.tenant, after, limit).await?)
}

/// Ends a key.
///
/// # Errors
/// `RECORD_UNKNOWN`, `ETAG_MISMATCH`; `PERMISSION_DENIED` for another tenant; as the store answers.
pub async fn revoke(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    id: RecordId,
    etag: &str,
) -> Result<Written<ApiKey>, Fault> {
    again(|| try_revoke(core, caller, command, id, etag)).await
}

async fn try_revoke(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    id: RecordId,
    etag: &str,
) -> Result<Written<ApiKey>, Fault> {
    let mut write: Write = core.db.mutate(caller, command).await?;
    if let Some(answer) = write.repeated() {
        let value = answered(&write, caller.tenant, answer).await?;
        return Ok(Written { value, token: None });
    }
    let before = store::key(&write, caller.tenant, id, true).await?;
    let before = before.ok_or_else(|| Fault::not_found(KIND, id))?;
    regard_server::wire::check_etag(etag, KIND, id.0, before.head.version)?;
    let mut key = before.clone();
    if before.revoked.is_none() {
        key.revoked = Some(write.now());
        key.head = before.head.next(write.now());
        store::revoke(&write, caller.tenant, &key)
            .await
            .map_err(lost)?;
        let ids = core.db.ids(caller.tenant);
        let (was, is) = (
            ids.digest(KIND, &before.bytes()),
            ids.digest(KIND, &key.bytes()),
        );
        write.audit("api_key.revoke", id, Some(was), Some(is));
    }
    let token = write.commit(vec![(KIND, id, key.head.version)]).await?;
    Ok(Written { value: key, token })
}

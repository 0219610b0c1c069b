//! What is done with erasures.

use std::sync::Arc;

use regard_database::{Change, Command, Write, again};
use regard_erasure::{Counts, Feeds, KIND, bury, erased, fresh, note, public_key, verify};
use regard_proto::common::v1::ErasurePart;
use regard_server::Job;
use regard_types::{Caller, Fault, IdKey, RecordId, Uuid, new_record_id};

use super::domain::{Erasure, SERVICES, State};
use super::feed::parts;
use super::person::Person;
use super::store;
use crate::core::{Core, Written};
use crate::merge::Asked;
use crate::order::unknown_customer;

/// Who is to be erased, and why.
#[derive(Debug)]
pub struct Wish<'a> {
    /// A customer of the person.
    pub customer: Asked,
    /// Coded.
    pub reason: &'a str,
    /// Also one that this service does not know.
    pub include_unknown: bool,
}

/// Erases a person. One that was erased before is answered by that erasure, of which the other services are told anew.
pub async fn erase(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    wish: &Wish<'_>,
) -> Result<Written<Erasure>, Fault> {
    again(|| try_erase(core, caller, command, wish)).await
}

async fn try_erase(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    wish: &Wish<'_>,
) -> Result<Written<Erasure>, Fault> {
    let mut write = core.db.mutate_alone(caller, command).await?;
    let tenant = caller.tenant;
    if let Some(answer) = write.repeated() {
        let token = answer.token.clone();
        let id = answer.records.first().map(|record| record.1.0);
        let id = id.ok_or_else(|| Fault::bug("an answer without its erasure"))?;
        return Ok(Written {
            value: found(store::get(&write, tenant, id).await?, id)?,
            token: Some(token),
        });
    }
    let ids = core.db.ids(tenant);
    let named = wish.customer.id.0;
    if let Some(id) = erased(&write, tenant, &ids, &[named]).await?.remove(&named) {
        let value = found(store::get(&write, tenant, id).await?, id)?;
        if value.state() == State::Complete {
            tell_anew(&mut write, &ids, &value, named).await?;
        }
        let token = write.commit(vec![(KIND, RecordId(id), 1)]).await?;
        return Ok(Written { value, token });
    }
    let person = Person::read(&write, tenant, named, wish.include_unknown).await?;
    let person = person.ok_or_else(|| {
        unknown_customer("customer", wish.customer.id, wish.customer.key.as_ref())
    })?;
    let erasure = Erasure {
        id: new_record_id(core.db.clock()).0,
        reason: wish.reason.to_owned(),
        created: write.now(),
        completed: None,
        parts: Vec::new(),
    };
    let count = parts(&person.customers, &person.records, &[]).len();
    let at = write
        .reserve(u32::try_from(count).map_err(Fault::bug)?)
        .await?;
    // Nobody else writes for this tenant now: all that names an old id lies before these places.
    let heads = store::heads(&write).await?;
    let mut counts = Counts::default();
    person.erase(&write, &ids, &mut counts).await?;
    bury(&write, tenant, &ids, erasure.id, &person.graves()).await?;
    store::insert(&write, tenant, &erasure, &person.customers, (at, &heads)).await?;
    let own = (Feeds::CUSTOMER, Feeds::CUSTOMER);
    note(&write, (tenant, erasure.id), &counts, own, write.now()).await?;
    let told = parts(&person.customers, &person.records, &heads);
    for ((version, position), measures) in (1..).zip(at.first..).zip(told) {
        write.change(Change {
            kind: KIND,
            record: RecordId(erasure.id),
            version,
            customer: None,
            occurred_at: erasure.created,
            measures,
            position,
        });
    }
    write.audit("customer.erase", RecordId(erasure.id), None, None);
    let token = write.commit(vec![(KIND, RecordId(erasure.id), 1)]).await?;
    Ok(Written {
        value: erasure,
        token,
    })
}

/// Tells of an erasure that is complete as if it were new: a service that was restored from an older backup may hold the customer
/// again, and does not learn of it otherwise once the changes of then are gone. Where nothing is held, nothing is done. Which id
/// the customer has since is forgotten: it gets another.
async fn tell_anew(
    write: &mut Write,
    ids: &IdKey,
    erasure: &Erasure,
    named: Uuid,
) -> Result<(), Fault> {
    let tenant = write.caller().tenant;
    let pairs = fresh(&[named])?;
    let position = write.reserve(1).await?.first;
    let heads = store::heads(write).await?;
    let graves: Vec<Uuid> = pairs.iter().map(|pair| pair.new).collect();
    bury(write, tenant, ids, erasure.id, &graves).await?;
    write.change(Change {
        kind: KIND,
        record: RecordId(erasure.id),
        // Later than every part of before, however many there were.
        version: write.now().0,
        customer: None,
        occurred_at: erasure.created,
        measures: parts(&pairs, &[], &heads).pop().unwrap_or_default(),
        position,
    });
    write.audit("customer.erase", RecordId(erasure.id), None, None);
    Ok(())
}

fn found(erasure: Option<Erasure>, id: Uuid) -> Result<Erasure, Fault> {
    erasure.ok_or_else(|| Fault::not_found("erasure", id))
}

/// One erasure.
pub async fn get(core: &Core, caller: &Caller, id: Uuid) -> Result<Erasure, Fault> {
    let tx = core.db.read(caller).await?;
    found(store::get(&tx, caller.tenant, id).await?, id)
}

/// A page of erasures, and whether there are more.
pub async fn list(
    core: &Core,
    caller: &Caller,
    state: Option<State>,
    after: Option<(i64, Uuid)>,
    size: usize,
) -> Result<(Vec<Erasure>, bool), Fault> {
    let tx = core.db.read(caller).await?;
    let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = store::page(&tx, caller.tenant, state, after, limit).await?;
    let more = found.len() > size;
    found.truncate(size);
    Ok((found, more))
}

/// Takes what a service of the suite did.
///
/// # Errors
/// `FIELD_INVALID` if it is not signed by that service; `RECORD_UNKNOWN`.
pub async fn report(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    id: Uuid,
    part: &ErasurePart,
) -> Result<Written<Erasure>, Fault> {
    if !SERVICES.contains(&part.service.as_str()) {
        let why = format!("must be one of {}", SERVICES.join(", "));
        return Err(Fault::invalid("part.service", why));
    }
    if part.public_key != public_key(core.db.secret(), &part.service)? || !verify(id, part) {
        let why = "must be the signature of the service that the part names";
        return Err(Fault::invalid("part.signature", why));
    }
    let tenant = if caller.all_tenants {
        let tx = core.db.read_system().await?;
        let tenant = store::tenant_of(&tx, id).await?;
        tenant.ok_or_else(|| Fault::not_found("erasure", id))?
    } else {
        caller.tenant
    };
    let caller = caller.in_tenant(tenant, &caller.tenant_name);
    again(|| try_report(core, &caller, command, id, part)).await
}

async fn try_report(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    id: Uuid,
    part: &ErasurePart,
) -> Result<Written<Erasure>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    let tenant = caller.tenant;
    if write.repeated().is_none() {
        found(store::get(&write, tenant, id).await?, id)?;
        store::accept(&write, tenant, id, part, write.now()).await?;
        write.audit("erasure.report", RecordId(id), None, None);
    }
    let value = found(store::get(&write, tenant, id).await?, id)?;
    let token = write.commit(vec![(KIND, RecordId(id), 1)]).await?;
    Ok(Written { value, token })
}

/// Clears this service's disk after erasures, and notes its own account.
pub fn job(core: &Arc<Core>) -> Job {
    let db = core.db.clone();
    regard_erasure::job(&core.db, move |tenant, id, part| {
        let db = db.clone();
        async move {
            let tx = db.system().await?;
            store::accept(&tx, tenant, id, &part, tx.now()).await?;
            tx.commit().await.map(drop)
        }
    })
}

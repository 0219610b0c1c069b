//! What is done with merges.

use regard_database::{Command, Write, again, lost};
use regard_types::record::Head;
use regard_types::{Caller, CustomerId, Fault, RecordId, SourceKey, TenantId};

use super::domain::{Edge, not_canonical, not_merged, same};
use super::store;
use crate::core::{Core, Written, digest, gone, not_repeated, refuse_erased, tell};
use crate::customer::{self, Customer};
use crate::order::unknown_customer;

/// A customer as the caller named it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its id.
    pub id: CustomerId,
    /// Its key, where it was named so.
    pub key: Option<SourceKey>,
}

/// A customer after a merge or its end.
#[derive(Debug)]
pub struct Merged {
    /// The customer.
    pub customer: Customer,
    /// The one that it stands for now.
    pub canonical: CustomerId,
}

/// Merges `from` into `into`.
pub async fn merge(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    into: &Asked,
    from: &Asked,
    evidence: &str,
) -> Result<Written<Merged>, Fault> {
    if into.id == from.id {
        return Err(same());
    }
    again(|| try_merge(core, caller, command, into, from, evidence)).await
}

async fn try_merge(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    into: &Asked,
    from: &Asked,
    evidence: &str,
) -> Result<Written<Merged>, Fault> {
    // The customers' names are opened in there: a key service is asked before, never with locks held.
    core.vault.sealer(caller.tenant).await?;
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(core, write).await;
    }
    let tenant = caller.tenant;
    // Both roots are locked in the order of their ids; what is read from here on stays true until the end.
    lock(core, &write, tenant, &[(into, "into"), (from, "from")]).await?;
    let roots = store::roots(&write, tenant, &[into.id, from.id]).await?;
    for asked in [from, into] {
        if let Some(root) = roots.get(&asked.id) {
            return Err(not_canonical(asked.id, *root));
        }
    }
    let before = store::edge(&write, tenant, from.id).await?;
    let head = match &before {
        Some(ended) => ended.head.next(write.now()),
        None => Head::first(write.now()),
    };
    let edge = Edge {
        from: from.id,
        into: into.id,
        evidence: evidence.to_owned(),
        ended: false,
        head,
    };
    put(core, &mut write, &edge, before.as_ref(), "customer.merge").await?;
    commit(core, write, &edge).await
}

/// Ends the merge of a customer.
pub async fn unmerge(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    from: &Asked,
) -> Result<Written<Merged>, Fault> {
    again(|| try_unmerge(core, caller, command, from)).await
}

async fn try_unmerge(
    core: &Core,
    caller: &Caller,
    command: Command<'_>,
    from: &Asked,
) -> Result<Written<Merged>, Fault> {
    core.vault.sealer(caller.tenant).await?;
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(core, write).await;
    }
    let tenant = caller.tenant;
    lock(core, &write, tenant, &[(from, "customer")]).await?;
    let before = store::edge(&write, tenant, from.id).await?;
    let Some(before) = before.filter(|edge| !edge.ended) else {
        return Err(not_merged(from.id));
    };
    let edge = Edge {
        ended: true,
        head: before.head.next(write.now()),
        ..before.clone()
    };
    put(core, &mut write, &edge, Some(&before), "customer.unmerge").await?;
    commit(core, write, &edge).await
}

async fn lock(
    core: &Core,
    write: &Write,
    tenant: TenantId,
    asked: &[(&Asked, &str)],
) -> Result<(), Fault> {
    let mut ids: Vec<_> = asked.iter().map(|(asked, _)| asked.id.0).collect();
    ids.sort_unstable();
    let known = customer::lock(write, tenant, &ids).await?;
    for (asked, field) in asked {
        refuse_erased(core, write, field, asked.id).await?;
        if !known.contains(&asked.id) {
            return Err(unknown_customer(field, asked.id, asked.key.as_ref()));
        }
    }
    Ok(())
}

async fn put(
    core: &Core,
    write: &mut Write,
    edge: &Edge,
    before: Option<&Edge>,
    action: &'static str,
) -> Result<(), Fault> {
    let tenant = write.caller().tenant;
    let at = write.reserve(1).await?;
    let place = at.place(0);
    store::write(write, tenant, edge, place)
        .await
        .map_err(lost)?;
    tell(write, edge, at.first);
    let ids = core.db.ids(tenant);
    let before = before.map(|edge| digest(&ids, edge));
    write.audit(
        action,
        RecordId::from(edge.from),
        before,
        Some(digest(&ids, edge)),
    );
    Ok(())
}

async fn commit(core: &Core, write: Write, edge: &Edge) -> Result<Written<Merged>, Fault> {
    let tenant = write.caller().tenant;
    let found = customer::current(&write, &core.vault, tenant, &[edge.from.0])
        .await?
        .remove(&edge.from);
    let customer = found.ok_or_else(|| Fault::bug("a locked customer is gone"))?;
    let id = RecordId::from(edge.from);
    let records = vec![
        ("customer", id, customer.head.version),
        ("merge", id, edge.head.version),
    ];
    let token = write.commit(records).await?;
    Ok(Written {
        value: Merged {
            customer,
            canonical: stands_for(edge),
        },
        token,
    })
}

/// Both ends of a merge are canonical when it is made.
fn stands_for(edge: &Edge) -> CustomerId {
    if edge.ended { edge.from } else { edge.into }
}

async fn repeat(core: &Core, write: Write) -> Result<Written<Merged>, Fault> {
    let answer = write.repeated().ok_or_else(not_repeated)?;
    let tenant = write.caller().tenant;
    let (id, version) = answer.record("customer")?;
    let (_, edge) = answer.record("merge")?;
    let id = CustomerId(id.0);
    let customer = customer::version(&write, &core.vault, tenant, id, version)
        .await
        .map_err(|error| gone(error, "customer", id))?;
    let edge = store::version(&write, tenant, id, edge)
        .await
        .map_err(|error| gone(error, "merge", id))?;
    Ok(Written {
        value: Merged {
            customer,
            canonical: stands_for(&edge),
        },
        token: Some(answer.token.clone()),
    })
}

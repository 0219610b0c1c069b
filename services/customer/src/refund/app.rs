//! What is done with refunds.

use regard_database::{Command, Write, again, lost};
use regard_erasure::{erased, record_erased};
use regard_types::record::Head;
use regard_types::{Caller, CustomerId, Fault, Micros, RecordId, SourceKey};

use super::domain::{Refund, check};
use super::store;
use crate::core::{Core, Written, digest, not_repeated, tell};
use crate::order::{for_refund, require_customer};
use crate::tenant::Known;

/// A refund as a caller gives it.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Follows from the key, if there is one; else random.
    pub id: RecordId,
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// The customer.
    pub customer: CustomerId,
    /// The customer's key, where the caller named it so.
    pub customer_key: Option<SourceKey>,
    /// The order that it belongs to.
    pub order: Option<RecordId>,
    /// When it was given.
    pub refund_time: Micros,
    /// In the minor unit.
    pub amount: i64,
}

impl NewRefund {
    fn first(&self, now: Micros) -> Refund {
        Refund {
            id: self.id,
            key: self.key.clone(),
            customer: self.customer,
            order: self.order,
            refund_time: self.refund_time,
            amount: self.amount,
            head: Head::first(now),
        }
    }
}

/// Records a refund. A known key with the same content changes nothing.
pub async fn record(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    new: &NewRefund,
) -> Result<Written<Refund>, Fault> {
    again(|| try_record(core, caller, known, command, new)).await
}

async fn try_record(
    core: &Core,
    caller: &Caller,
    known: &Known,
    command: Command<'_>,
    new: &NewRefund,
) -> Result<Written<Refund>, Fault> {
    let mut write = core.db.mutate(caller, command).await?;
    if write.repeated().is_some() {
        return repeat(write).await;
    }
    known.settle(&core.tenants, &write).await?;
    let tenant = caller.tenant;
    let refund = new.first(write.now());
    let stored = match new.key {
        Some(_) => store::current(&write, tenant, new.id).await?,
        None => None,
    };
    if let Some(stored) = stored {
        if !stored.same_as(&refund) {
            return Err(Fault::exists("refund", stored.id));
        }
        return commit(write, stored).await;
    }
    if new.key.is_some() {
        let gone = erased(&write, tenant, &core.db.ids(tenant), &[new.id.0]).await?;
        if !gone.is_empty() {
            return Err(record_erased("refund", new.id));
        }
    }
    match refund.order {
        // The order's customer exists, and must be the refund's.
        Some(order) => {
            let order = for_refund(core, &write, order).await?;
            let before = store::sums(&write, tenant, &[order.id.0]).await?;
            check(&order, &refund, before.get(&order.id).copied().unwrap_or(0))?;
        }
        None => {
            let key = new.customer_key.as_ref();
            require_customer(core, &write, "refund.customer", refund.customer, key).await?;
        }
    }
    let at = write.reserve(1).await?;
    let place = at.place(0);
    store::insert(&write, tenant, &refund, place)
        .await
        .map_err(lost)?;
    tell(&mut write, &refund, at.first);
    let after = digest(&core.db.ids(tenant), &refund);
    write.audit("refund.record", refund.id, None, Some(after));
    commit(write, refund).await
}

async fn commit(write: Write, refund: Refund) -> Result<Written<Refund>, Fault> {
    let records = vec![("refund", refund.id, refund.head.version)];
    let token = write.commit(records).await?;
    Ok(Written {
        value: refund,
        token,
    })
}

async fn repeat(write: Write) -> Result<Written<Refund>, Fault> {
    let answer = write.repeated().ok_or_else(not_repeated)?;
    let (id, _) = answer.record("refund")?;
    // A refund has one version.
    let found = store::current(&write, write.caller().tenant, id).await?;
    Ok(Written {
        value: found.ok_or_else(|| record_erased("refund", id))?,
        token: Some(answer.token.clone()),
    })
}

//! Erasures: the customer service says who is erased; this service removes what the person said, and keeps what was
//! measured under random ids.

mod feed;
mod follow;
mod person;
mod store;

use std::collections::HashMap;

use regard_database::{Database, Write};
use regard_erasure::{customer_erased, erased, record_erased};
use regard_types::{CustomerId, Fault, RecordId, Uuid};

pub(crate) use feed::Erasures;
pub(crate) use follow::{Follower, run};

/// Those of some ids that are gone, each with its erasure.
pub(crate) async fn gone(
    db: &Database,
    write: &Write,
    asked: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, Fault> {
    let tenant = write.caller().tenant;
    Ok(erased(write, tenant, &db.ids(tenant), asked).await?)
}

/// Refuses a new record of a customer that was erased, or one that was erased itself.
pub(crate) async fn refuse(
    db: &Database,
    write: &Write,
    (kind, id): (&str, RecordId),
    customer: Option<CustomerId>,
) -> Result<(), Fault> {
    let asked: Vec<Uuid> = customer.iter().map(|c| c.0).chain([id.0]).collect();
    let gone = gone(db, write, &asked).await?;
    match customer {
        Some(customer) if gone.contains_key(&customer.0) => {
            Err(customer_erased(&format!("{kind}.customer"), customer))
        }
        _ if gone.contains_key(&id.0) => Err(record_erased(kind, id)),
        _ => Ok(()),
    }
}

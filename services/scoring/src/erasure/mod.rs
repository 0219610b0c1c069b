//! Erasures: the other services say which ids were replaced. Events, groups, summaries and scores move to the new ids, what
//! the cache holds under old ones counts no more, and rows that are still on their way are mapped when they come.

mod apply;
mod forget;
pub mod store;

use regard_database::{StoreError, Tx};
use regard_erasure::customer_erased;
use regard_types::{Fault, IdKey, TenantId, Uuid};

pub use apply::{alone, apply};
pub use forget::forget;
pub use store::{Erased, mapped};

/// The version of a cache entry that says that the customer was erased; its value is empty.
pub const GONE: i64 = i64::MAX;

/// Those of the arrival ids that were erased.
///
/// # Errors
/// What the engine answers.
pub async fn among(
    tx: &Tx,
    tenant: TenantId,
    ids: &IdKey,
    arrivals: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let gone = regard_erasure::erased(tx, tenant, ids, arrivals).await?;
    Ok(gone.into_keys().collect())
}

/// The customer was erased.
#[must_use]
pub fn gone(arrival: Uuid) -> Fault {
    customer_erased("customer", arrival)
}

//! Customers: who they are.

mod api;
mod app;
mod batch;
mod domain;
pub(crate) mod store;

pub use api::CustomerApi;
pub(crate) use api::to_wire;
pub use domain::{Customer, CustomerKind};
pub(crate) use store::{insert, known, lock, version};

use regard_database::{StoreError, Tx, Vault};
use regard_types::{CustomerId, TenantId, Uuid};
use std::collections::HashMap;

/// The current versions of these customers; unknown ones are left out.
pub(crate) async fn current(
    tx: &Tx,
    vault: &Vault,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<CustomerId, Customer>, StoreError> {
    store::current(tx, vault, tenant, ids, regard_database::history::Lock::No).await
}

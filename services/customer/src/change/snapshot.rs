//! The tables in the order of a snapshot: current rows of every kind, then the history.

use std::sync::Arc;

use async_trait::async_trait;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source};
use regard_database::history::{self, Kept, Paged, Part};
use regard_database::{StoreError, Tx};
use regard_types::TenantId;

use crate::erasure::Erasures;
use crate::{customer, merge, order, refund, tenant};

/// A table of versions.
struct Rows<E: Kept> {
    part: Part,
    read: fn(Paged<E::Model>) -> Result<ChangeRow, StoreError>,
}

fn rows<E: Kept>(
    part: Part,
    read: fn(Paged<E::Model>) -> Result<ChangeRow, StoreError>,
) -> Arc<dyn Source> {
    Arc::new(Rows::<E> { part, read })
}

/// All tables of the kinds asked for (of all if none is named), current ones first. The order is part of resume tokens: only
/// ever append.
pub fn sources(kinds: &[String]) -> Vec<Arc<dyn Source>> {
    let mut all: Vec<(&str, Arc<dyn Source>)> = Vec::new();
    for part in [Part::Current, Part::Former] {
        all.extend([
            (
                "tenant",
                rows::<tenant::store::Entity>(part, tenant::store::change),
            ),
            (
                "customer",
                rows::<customer::store::Entity>(part, customer::store::change),
            ),
            (
                "merge",
                rows::<merge::store::Entity>(part, merge::store::change),
            ),
            (
                "order",
                rows::<order::store::Entity>(part, order::store::change),
            ),
            (
                "refund",
                rows::<refund::store::Entity>(part, refund::store::change),
            ),
        ]);
    }
    all.push(("erasure", Arc::new(Erasures)));
    let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
    let all = all.into_iter().filter(|(kind, _)| wanted(kind));
    all.map(|(_, source)| source).collect()
}

#[async_trait]
impl<E: Kept> Source for Rows<E> {
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, ChangeRow)>, StoreError> {
        let rows = history::page::<E>(tx, self.part, tenant, after, limit).await?;
        let change = |row: Paged<E::Model>| Ok((row.key.clone(), (self.read)(row)?));
        rows.into_iter().map(change).collect()
    }
}

//! The directory of callers out of this service's own store.

use std::sync::Arc;

use regard_database::Tx;
use regard_server::{Directory, TenantAccess, Verdict};
use regard_types::{Fault, TenantId};

use super::store;
use crate::core::Core;

/// Knows keys and tenants from the store. A key says by itself which tenant it is of, so this reads as the service.
#[derive(Debug, Clone)]
pub struct StoreDirectory(pub Arc<Core>);

impl StoreDirectory {
    async fn access(&self, tx: &Tx, tenant: TenantId) -> Result<Option<TenantAccess>, Fault> {
        let Some((name, limits)) = store::tenant(tx, tenant).await? else {
            return Ok(None);
        };
        Ok(Some(TenantAccess {
            name,
            limits,
            roles: store::granted(tx, tenant).await?,
        }))
    }
}

#[tonic::async_trait]
impl Directory for StoreDirectory {
    async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Option<Verdict>, Fault> {
        let tx = self.0.db.read_system().await?;
        let found = store::by_prefix(&tx, prefix).await?;
        let now = self.0.db.now();
        let Some((tenant, key)) = found.filter(|(_, key)| key.digest == digest && key.holds(now))
        else {
            return Ok(None);
        };
        let Some(tenant) = self.access(&tx, tenant).await? else {
            return Ok(None);
        };
        Ok(Some(Verdict {
            name: key.name,
            roles: key.roles,
            tenant,
            expires: key.expires,
        }))
    }

    async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault> {
        let tx = self.0.db.read_system().await?;
        self.access(&tx, self.0.db.secret().tenant_id(name)).await
    }
}

//! The customer service: who the customers are and what they did. It keeps tenants with their keys and roles, customers,
//! merge edges, orders and refunds, and tells of their changes. It must not know what customers say (feedback) or what it all means (scoring):
//! they follow its feed.

mod access;
mod change;
mod core;
mod customer;
mod erasure;
mod measures;
mod merge;
mod migration;
mod order;
mod privacy;
mod refund;
mod tenant;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use regard_database::vault::SealedColumn;
use regard_database::{Database, DatabaseSettings};
use regard_proto::customer::v1::access_service_server::AccessServiceServer;
use regard_proto::customer::v1::change_service_server::ChangeServiceServer;
use regard_proto::customer::v1::customer_service_server::CustomerServiceServer;
use regard_proto::customer::v1::order_service_server::OrderServiceServer;
use regard_proto::customer::v1::privacy_service_server::PrivacyServiceServer;
use regard_proto::customer::v1::tenant_service_server::TenantServiceServer;
use regard_server::{Grpc, Job, Privacy, Service, Shared, audited, limited};
use regard_types::Fault;

use crate::access::{AccessApi, StoreDirectory};
use crate::change::ChangeApi;
use crate::core::Core;
use crate::customer::CustomerApi;
use crate::order::OrderApi;
use crate::privacy::PrivacyApi;
use crate::tenant::{TenantApi, Tenants};

/// The name of the tenant that is always there.
pub const DEFAULT_TENANT: &str = "default";

/// Every sealed column.
const SEALED: &[SealedColumn] = &[customer::store::IDENTITY];

/// The steps of its schema, in their order.
pub use migration::steps as schema_steps;

/// What the service is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its own database.
    pub database: DatabaseSettings,
    /// How long changes stay in the feed; older readers take a snapshot. Default 30 days.
    pub keep_changes: Duration,
}

impl Settings {
    /// The defaults for a database.
    #[must_use]
    pub fn new(database: DatabaseSettings) -> Self {
        Self {
            database,
            keep_changes: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Opens the service: its store, brought up to date, the tenant `default`, its RPCs and jobs.
///
/// # Errors
/// The store cannot be reached or is not as expected.
pub async fn open(settings: Settings, shared: Shared) -> Result<Service, Fault> {
    let core = open_core(&settings, shared).await?;
    service(&core, settings.keep_changes)
}

/// The RPCs and jobs over an open core.
fn service(core: &Arc<Core>, keep_changes: Duration) -> Result<Service, Fault> {
    let privacy = Privacy::new(&core.db, SEALED, privacy::held(core))?;
    let grpc = Grpc::new()
        .with(limited!(AccessServiceServer::new(AccessApi(core.clone()))))
        .with(limited!(TenantServiceServer::new(TenantApi(core.clone()))))
        .with(limited!(CustomerServiceServer::new(CustomerApi(
            core.clone()
        ))))
        .with(limited!(OrderServiceServer::new(OrderApi(core.clone()))))
        .with(limited!(PrivacyServiceServer::new(PrivacyApi::new(
            core.clone(),
            privacy.clone()
        ))))
        .with(limited!(ChangeServiceServer::new(ChangeApi::new(&core.db))));
    let (db, closed) = (core.db.clone(), core.db.clone());
    let service = Service::new("customer", grpc)
        .ready(move || {
            let db = db.clone();
            async move { db.ping().await.map_err(|error| error.to_string()) }
        })
        .close(async move { closed.close().await });
    let service = audited!(service, customer, core.db);
    let service = service.directory(Arc::new(StoreDirectory(core.clone())));
    Ok(service
        .job(Job::retention(&core.db, keep_changes))
        .job(Job::figures(&core.db))
        .job(erasure::job(core))
        .job(privacy.job()))
}

async fn open_core(settings: &Settings, shared: Shared) -> Result<Arc<Core>, Fault> {
    let steps = migration::steps();
    let service = regard_types::Service::Customer;
    let db = Database::open(&settings.database, service, steps, shared.clock, shared.ids).await?;
    let core = Arc::new(Core {
        vault: db.vault()?,
        db,
        tenants: Tenants::default(),
    });
    tenant::ensure(&core, DEFAULT_TENANT).await?;
    Ok(core)
}

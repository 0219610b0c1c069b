//! The service as its callers see it: through its public RPCs, on both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod customers;
mod erasures;
mod feed;
mod keys;
mod merges;
mod orders;
mod plans;
mod refunds;
mod tenants;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use regard_database::{DatabaseSettings, LocalKey, MasterKeys, Value};
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::change_service_client::ChangeServiceClient;
use regard_proto::customer::v1::customer_service_client::CustomerServiceClient;
use regard_proto::customer::v1::order_service_client::OrderServiceClient;
use regard_proto::customer::v1::privacy_service_client::PrivacyServiceClient;
use regard_proto::customer::v1::tenant_service_client::TenantServiceClient;
use regard_proto::google::r#type::Money;
use regard_server::{Identity, Pipe, Running, ServerSettings, Shared, service_caller};
use regard_testkit::TestStore;
use regard_types::{Caller, Clock, IdSecret, Micros};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::core::Core;
use crate::{Settings, open_core, service};

/// A running service and its callers.
struct World {
    core: Arc<Core>,
    pipe: Pipe,
    clock: Clock,
    _running: Running,
    _store: TestStore,
}

/// The clients of one caller.
struct Client {
    tenants: TenantServiceClient<Channel>,
    customers: CustomerServiceClient<Channel>,
    orders: OrderServiceClient<Channel>,
    changes: ChangeServiceClient<Channel>,
    privacy: PrivacyServiceClient<Channel>,
}

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600_000_000;

impl World {
    async fn new(store: TestStore) -> Self {
        let clock = Clock::fixed(Micros(NOW));
        let shared = Shared {
            clock: clock.clone(),
            ids: IdSecret([7; 32]),
        };
        let mut database = DatabaseSettings::new(store.url.clone());
        database.migrate_url.clone_from(&store.migrate_url);
        database.heartbeat_ms = 50;
        database.master = Some(MasterKeys::new(LocalKey::new([9; 32])));
        let settings = Settings::new(database);
        let core = open_core(&settings, shared.clone()).await.unwrap();
        let pipe = Pipe::new();
        let server = ServerSettings {
            listen: String::new(),
            ..ServerSettings::default()
        };
        let identity = Identity::embedded(&shared.ids);
        let services = vec![service(&core, settings.keep_changes).unwrap()];
        let running = Running::start(services, &server, identity, &pipe)
            .await
            .unwrap();
        Self {
            core,
            pipe,
            clock,
            _running: running,
            _store: store,
        }
    }

    fn caller(&self, tenant: &str) -> Caller {
        Caller::new(self.core.db.secret().tenant_id(tenant), tenant, "test")
    }

    /// A caller in the tenant `default`.
    fn client(&self) -> Client {
        Client::new(self.pipe.channel())
    }

    /// A caller in another tenant.
    fn client_of(&self, tenant: &str) -> Client {
        Client::new(self.pipe.channel_of(self.caller(tenant)))
    }

    /// A service of the suite.
    fn operator(&self) -> Client {
        Client::new(
            self.pipe
                .channel_of(service_caller("scoring", self.core.db.secret())),
        )
    }

    /// A number from the store.
    async fn count(&self, sql: &'static str) -> i64 {
        let tx = self.core.db.read_system().await.unwrap();
        let row = tx.fetch_one(sql, Vec::<Value>::new()).await.unwrap();
        row.unwrap().get(0).unwrap()
    }

    fn later(&self, seconds: i64) {
        self.clock
            .set(Micros(self.clock.now().0 + seconds * 1_000_000));
    }
}

impl Client {
    fn new(channel: Channel) -> Self {
        Self {
            tenants: TenantServiceClient::new(channel.clone()),
            customers: CustomerServiceClient::new(channel.clone()),
            orders: OrderServiceClient::new(channel.clone()),
            changes: ChangeServiceClient::new(channel.clone()),
            privacy: PrivacyServiceClient::new(channel),
        }
    }

    async fn ingest_orders(
        &mut self,
        batches: Vec<pb::IngestOrdersRequest>,
    ) -> Vec<common::BatchResult> {
        let mut answers = self
            .orders
            .ingest_orders(futures::stream::iter(batches))
            .await
            .unwrap()
            .into_inner();
        let mut out = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            out.push(answer.result.unwrap());
        }
        out
    }

    /// One batch of orders that makes its customers.
    async fn ingest(&mut self, rows: Vec<pb::OrderRow>) -> common::BatchResult {
        let batch = pb::IngestOrdersRequest {
            rows,
            create_missing: true,
            validate_only: false,
        };
        self.ingest_orders(vec![batch]).await.remove(0)
    }

    async fn ingest_customers(&mut self, rows: Vec<pb::CustomerRow>) -> common::BatchResult {
        let batch = pb::IngestCustomersRequest {
            rows,
            validate_only: false,
        };
        let batches = futures::stream::iter([batch]);
        let mut answers = self
            .customers
            .ingest_customers(batches)
            .await
            .unwrap()
            .into_inner();
        answers.message().await.unwrap().unwrap().result.unwrap()
    }

    /// A customer by key.
    async fn customer(&mut self, external_id: &str) -> pb::Customer {
        let request = pb::CreateCustomerRequest {
            customer: Some(pb::Customer {
                key: Some(key(external_id)),
                ..pb::Customer::default()
            }),
            ..pb::CreateCustomerRequest::default()
        };
        self.customers
            .create_customer(request)
            .await
            .unwrap()
            .into_inner()
            .customer
            .unwrap()
    }

    async fn record(&mut self, order: pb::Order) -> Result<pb::RecordOrderResponse, Status> {
        let request = pb::RecordOrderRequest {
            order: Some(order),
            create_missing: true,
            ..pb::RecordOrderRequest::default()
        };
        Ok(self.orders.record_order(request).await?.into_inner())
    }

    async fn order(&mut self, external_id: &str) -> Result<pb::Order, Status> {
        let request = pb::GetOrderRequest {
            order: Some(record_ref(external_id)),
        };
        Ok(self
            .orders
            .get_order(request)
            .await?
            .into_inner()
            .order
            .unwrap())
    }
}

fn key(external_id: &str) -> common::SourceKey {
    common::SourceKey {
        source: "shop".to_owned(),
        external_id: external_id.to_owned(),
    }
}

fn customer_ref(external_id: &str) -> common::CustomerRef {
    common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Key(key(external_id))),
    }
}

fn record_ref(external_id: &str) -> common::RecordRef {
    common::RecordRef {
        record: Some(common::record_ref::Record::Key(key(external_id))),
    }
}

fn usd(cents: i64) -> Money {
    Money {
        currency_code: "USD".to_owned(),
        units: cents / 100,
        nanos: i32::try_from(cents % 100).unwrap() * 10_000_000,
    }
}

/// Seconds after the world's beginning.
fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: NOW / 1_000_000 + seconds,
        nanos: 0,
    }
}

fn order(external_id: &str, customer: &str, cents: i64, seconds: i64) -> pb::Order {
    pb::Order {
        key: Some(key(external_id)),
        customer: Some(customer_ref(customer)),
        order_time: Some(at(seconds)),
        gross: Some(usd(cents)),
        ..pb::Order::default()
    }
}

fn row(external_id: &str, customer: &str, cents: i64) -> pb::OrderRow {
    pb::OrderRow {
        order: Some(order(external_id, customer, cents, 0)),
        revision: 0,
    }
}

fn revised(external_id: &str, customer: &str, cents: i64, revision: i64) -> pb::OrderRow {
    pb::OrderRow {
        revision,
        ..row(external_id, customer, cents)
    }
}

/// The reason of an error, after checking its code.
fn reason(status: &Status, code: Code) -> String {
    assert_eq!(status.code(), code, "{status:?}");
    status.get_details_error_info().unwrap().reason
}

fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations.into_iter().map(|v| v.field).collect()
}

fn meta(status: &Status, name: &str) -> String {
    status.get_details_error_info().unwrap().metadata[name].clone()
}

fn rejected(result: &common::BatchResult) -> Vec<(u32, common::ErrorReason)> {
    let reason = |row: &common::RejectedRow| common::ErrorReason::try_from(row.reason).unwrap();
    result
        .rejected
        .iter()
        .map(|row| (row.index, reason(row)))
        .collect()
}

fn counts(result: &common::BatchResult) -> (u32, u32, usize) {
    (result.accepted, result.unchanged, result.rejected.len())
}

/// A fresh request id.
fn request_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("request-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

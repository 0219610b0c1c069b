//! A tenant's own limits, as callers meet them: over the wire, by API keys.

use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_proto::customer::v1 as customer;
use regard_testkit::{CacheKind, Engine, run};
use regard_tests::plan::Plan;
use regard_tests::values::{make_tenant, reason};
use regard_tests::world::World;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a change of a tenant is given to reach the edge; two seconds are promised.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller that repeats nothing by itself.
async fn keyed(world: &World, tenant: &str) -> Client {
    let request = customer::CreateApiKeyRequest {
        api_key: Some(customer::ApiKey {
            name: format!("till of {tenant}"),
            roles: vec!["manager".to_owned()],
            ..Default::default()
        }),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    let operator = world.operator();
    let made = operator.access().create_api_key(request).await.unwrap();
    let options = Options {
        api_key: Some(made.into_inner().secret),
        attempts: 1,
        ..Options::default()
    };
    let at = format!("http://{}", world.open().running.address().unwrap());
    Client::lazy(&at, &options).unwrap()
}

async fn limit(world: &World, tenant: &str, requests_per_second: i32, burst: i32) {
    let request = customer::UpdateTenantRequest {
        tenant: Some(customer::Tenant {
            name: tenant.to_owned(),
            limits: Some(customer::TenantLimits {
                requests_per_second,
                burst,
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["limits".to_owned()],
        }),
        ..Default::default()
    };
    let operator = world.operator();
    operator.tenants().update_tenant(request).await.unwrap();
}

/// Calls as quickly as they answer; the first refusal.
async fn refusal(client: &Client, calls: usize) -> Option<Status> {
    for _ in 0..calls {
        let request = customer::GetTenantRequest::default();
        if let Err(status) = client.tenants().get_tenant(request).await {
            return Some(status);
        }
    }
    None
}

async fn limits_of_a_tenant_are_its_own(engine: Engine) {
    let plan = Plan {
        listen: "127.0.0.1:0".to_owned(),
        ..Plan::default()
    };
    let world = World::with(engine, CacheKind::Memory, plan).await;
    for tenant in ["shop", "other"] {
        make_tenant(&world.operator(), tenant).await;
    }
    let (shop, other) = (keyed(&world, "shop").await, keyed(&world, "other").await);
    assert!(refusal(&shop, 20).await.is_none(), "no limit of its own");

    limit(&world, "shop", 1, 2).await;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = refusal(&shop, 5).await {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "its limits do not act");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED"),
        "{status:?}"
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (&*info.metadata["scope"], &*info.metadata["limit"]),
        ("tenant", "1")
    );
    let wait = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!(
        !wait.is_zero() && wait <= Duration::from_secs(1),
        "{wait:?}"
    );
    assert!(
        refusal(&other, 20).await.is_none(),
        "the other tenant is limited"
    );
    // After the wait that was told, a call is taken.
    tokio::time::sleep(wait).await;
    let after = refusal(&shop, 1).await;
    assert!(after.is_none(), "{after:?} after {wait:?}");

    limit(&world, "shop", 0, 0).await;
    let began = Instant::now();
    while refusal(&shop, 20).await.is_some() {
        assert!(began.elapsed() < PATIENCE, "limits that are gone still act");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn limits_of_a_tenant_are_its_own_sqlite() {
    run(limits_of_a_tenant_are_its_own(Engine::Sqlite));
}

#[test]
fn limits_of_a_tenant_are_its_own_postgres() {
    run(limits_of_a_tenant_are_its_own(Engine::Postgres));
}

//! Replacing data keys.

use std::time::Duration;

use regard_testkit::TestStore;

use super::*;

regard_testkit::on_both_engines!(a_rotation_that_cannot_go_on_keeps_no_other_tenant_waiting);

impl Client {
    async fn named(&mut self, external_id: &str) {
        let request = pb::CreateCustomerRequest {
            customer: Some(pb::Customer {
                key: Some(key(external_id)),
                display_name: "Ada Marked".to_owned(),
                ..pb::Customer::default()
            }),
            ..pb::CreateCustomerRequest::default()
        };
        self.customers.create_customer(request).await.unwrap();
    }

    async fn rotated(&mut self) -> bool {
        let request = pb::GetKeyRotationRequest::default();
        let answer = self.privacy.get_key_rotation(request).await.unwrap();
        answer.into_inner().rotation.unwrap().end_time.is_some()
    }
}

async fn a_rotation_that_cannot_go_on_keeps_no_other_tenant_waiting(store: TestStore) {
    let world = World::new(store).await;
    let tenant = pb::CreateTenantRequest {
        tenant: Some(pb::Tenant {
            name: "other".to_owned(),
            ..pb::Tenant::default()
        }),
        ..pb::CreateTenantRequest::default()
    };
    world
        .operator()
        .tenants
        .create_tenant(tenant)
        .await
        .unwrap();
    let (mut damaged, mut other) = (world.client(), world.client_of("other"));
    damaged.named("ada").await;
    let tx = world.core.db.system().await.unwrap();
    let sql = "SELECT sealed FROM customer_identity";
    let row = tx.fetch_one(sql, vec![]).await.unwrap().unwrap();
    let mut sealed: Vec<u8> = row.get(0).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    let sql = "UPDATE customer_identity SET sealed = $1";
    tx.run(sql, vec![sealed.into()]).await.unwrap();
    tx.commit().await.unwrap();
    other.named("ada").await;
    for client in [&mut damaged, &mut other] {
        let request = pb::RotateDataKeysRequest::default();
        client.privacy.rotate_data_keys(request).await.unwrap();
        // The clock stands: the damaged one is the first by its id.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = std::time::Instant::now();
    while !other.rotated().await {
        assert!(began.elapsed() < Duration::from_secs(60), "it waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!damaged.rotated().await, "its value cannot be read");
}

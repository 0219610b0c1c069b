use regard_proto::google::r#type::Date;
use regard_testkit::{TestStore, on_both_engines};

use super::*;

on_both_engines!(
    the_default_tenant_is_there,
    tenants_are_created_and_changed,
    tenants_do_not_see_each_other,
    the_currency_is_fixed_by_orders,
    a_currency_that_was_changed_elsewhere_is_noticed,
);

fn tenant(name: &str, zone: &str, currency: &str) -> pb::Tenant {
    pb::Tenant {
        name: name.into(),
        zone: zone.into(),
        currency: currency.into(),
        ..pb::Tenant::default()
    }
}

async fn create(client: &mut Client, tenant: pb::Tenant) -> Result<pb::Tenant, Status> {
    let request = pb::CreateTenantRequest {
        tenant: Some(tenant),
        ..pb::CreateTenantRequest::default()
    };
    Ok(client
        .tenants
        .create_tenant(request)
        .await?
        .into_inner()
        .tenant
        .unwrap())
}

async fn get(client: &mut Client, name: &str) -> Result<pb::Tenant, Status> {
    let request = pb::GetTenantRequest { name: name.into() };
    Ok(client
        .tenants
        .get_tenant(request)
        .await?
        .into_inner()
        .tenant
        .unwrap())
}

fn update(tenant: pb::Tenant, paths: &[&str]) -> pb::UpdateTenantRequest {
    pb::UpdateTenantRequest {
        tenant: Some(tenant),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        }),
        ..pb::UpdateTenantRequest::default()
    }
}

async fn the_default_tenant_is_there(store: TestStore) {
    let world = World::new(store).await;
    let tenant = get(&mut world.client(), "").await.unwrap();
    assert_eq!(
        (
            tenant.name.as_str(),
            tenant.zone.as_str(),
            tenant.currency.as_str()
        ),
        ("default", "UTC", "USD")
    );
    assert_eq!((tenant.version, tenant.day_version), (1, 1));
    assert_eq!(
        tenant.id,
        world.core.db.secret().tenant_id("default").to_string()
    );
    // a second start finds it
    crate::tenant::ensure(&world.core, "default").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM tenant").await, 1);
}

async fn tenants_are_created_and_changed(store: TestStore) {
    let world = World::new(store).await;
    let mut acme = world.client_of("acme");
    let status = get(&mut acme, "").await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "TENANT_UNKNOWN");
    let status = acme.record(order("1", "ann", 1, 0)).await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "TENANT_UNKNOWN");
    let status = create(&mut acme, tenant("acme", "Europe/Atlantis", "XQX"))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["tenant.zone", "tenant.currency"]);
    let status = create(&mut acme, tenant("Acme!", "", ""))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["tenant.name"]);
    let status = create(&mut acme, tenant("", "", "")).await.unwrap_err();
    assert_eq!(fields(&status), ["tenant.name"]);
    let made = create(&mut acme, tenant("acme", "Europe/Paris", "EUR"))
        .await
        .unwrap();
    let status = create(&mut acme, tenant("acme", "UTC", "EUR"))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::AlreadyExists), "RECORD_EXISTS");
    let day = |month| {
        Some(Date {
            year: 1997,
            month,
            day: 30,
        })
    };
    let pinned = pb::Tenant {
        pinned_day: day(9),
        minimum_group_size: 5,
        ..tenant("", "Nowhere/Else", "")
    };
    // only what the mask names is taken, but everything is checked
    let status = acme
        .tenants
        .update_tenant(update(pinned.clone(), &["pinned_day"]))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["tenant.zone"]);
    let pinned = pb::Tenant {
        zone: String::new(),
        ..pinned
    };
    let mut request = update(pinned.clone(), &["pinned_day"]);
    request.etag = made.etag.clone();
    request.request_id = request_id();
    let first = acme
        .tenants
        .update_tenant(request.clone())
        .await
        .unwrap()
        .into_inner();
    let changed = first.tenant.clone().unwrap();
    assert_eq!(
        (
            changed.zone.as_str(),
            changed.minimum_group_size,
            changed.pinned_day
        ),
        ("Europe/Paris", 0, day(9))
    );
    assert_eq!((changed.version, changed.day_version), (2, 2));
    let group = acme
        .tenants
        .update_tenant(update(pinned, &["minimum_group_size"]))
        .await
        .unwrap();
    let group = group.into_inner().tenant.unwrap();
    assert_eq!(
        (group.version, group.day_version, group.minimum_group_size),
        (3, 2, 5)
    );
    assert_eq!(
        acme.tenants
            .update_tenant(request)
            .await
            .unwrap()
            .into_inner(),
        first
    );
    let mut stale = update(tenant("", "UTC", ""), &["zone"]);
    stale.etag = made.etag;
    let status = acme.tenants.update_tenant(stale).await.unwrap_err();
    assert_eq!(reason(&status, Code::Aborted), "ETAG_MISMATCH");
    let status = acme
        .tenants
        .update_tenant(update(tenant("", "", ""), &["name"]))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["update_mask.paths[0]"]);
    // another tenant's record is for operators
    let status = get(&mut acme, "default").await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let status = world
        .client()
        .tenants
        .update_tenant(update(tenant("acme", "UTC", ""), &["zone"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let status = create(&mut acme, tenant("other", "UTC", "JPY"))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let details = status.get_details_error_info().unwrap();
    assert_eq!(
        details.metadata.get("permission").map(String::as_str),
        Some("tenant.create")
    );
    // nor does it tell which are there
    let status = create(&mut acme, tenant("default", "UTC", "USD"))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let mut operator = world.operator();
    let status = get(&mut operator, "other").await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "TENANT_UNKNOWN");
    create(&mut operator, tenant("other", "UTC", "JPY"))
        .await
        .unwrap();
    assert_eq!(get(&mut operator, "other").await.unwrap().currency, "JPY");
    assert_eq!(get(&mut operator, "acme").await.unwrap().version, 3);
    let status = get(&mut operator, "nobody").await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "TENANT_UNKNOWN");
    let moved = operator
        .tenants
        .update_tenant(update(tenant("acme", "Asia/Tokyo", ""), &["zone"]))
        .await
        .unwrap();
    assert_eq!(moved.into_inner().tenant.unwrap().day_version, 3);
}

async fn tenants_do_not_see_each_other(store: TestStore) {
    let world = World::new(store).await;
    let mut one = world.client();
    let mut two = world.client_of("acme");
    create(&mut two, tenant("acme", "", "USD")).await.unwrap();
    let mine = one
        .record(order("1", "ann", 500, 0))
        .await
        .unwrap()
        .order
        .unwrap();
    let status = two.order("1").await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    let by_id = pb::GetOrderRequest {
        order: Some(common::RecordRef {
            record: Some(common::record_ref::Record::Id(mine.id.clone())),
        }),
    };
    let status = two.orders.get_order(by_id).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    let theirs = two
        .record(order("1", "ann", 700, 0))
        .await
        .unwrap()
        .order
        .unwrap();
    assert_ne!(mine.id, theirs.id);
    assert_ne!(mine.customer, theirs.customer);
    assert_eq!(one.order("1").await.unwrap().gross, Some(usd(500)));
    assert_eq!(two.order("1").await.unwrap().gross, Some(usd(700)));
    // each sees its own list and feed
    let list = pb::ListCustomersRequest::default();
    assert_eq!(
        one.customers
            .list_customers(list.clone())
            .await
            .unwrap()
            .into_inner()
            .customers
            .len(),
        1
    );
    assert_eq!(
        two.customers
            .list_customers(list)
            .await
            .unwrap()
            .into_inner()
            .customers
            .len(),
        1
    );
    // an order of another tenant's customer, by id
    let mut foreign = order("2", "ann", 1, 0);
    foreign.customer = mine.customer;
    let status = two.record(foreign).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
}

async fn the_currency_is_fixed_by_orders(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let euro = update(tenant("", "", "EUR"), &["currency"]);
    client.tenants.update_tenant(euro.clone()).await.unwrap();
    let status = client.record(order("1", "ann", 500, 0)).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "CURRENCY_MISMATCH");
    let back = update(tenant("", "", "USD"), &["currency"]);
    client.tenants.update_tenant(back).await.unwrap();
    client.record(order("1", "ann", 500, 0)).await.unwrap();
    let status = client.tenants.update_tenant(euro).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
}

async fn a_currency_that_was_changed_elsewhere_is_noticed(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    // this process has just read the tenant …
    let status = client.order("none").await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    // … when another one changes its currency
    let system = world.core.db.system().await.unwrap();
    system
        .run("UPDATE tenant SET currency = 'JPY'", vec![])
        .await
        .unwrap();
    system.commit().await.unwrap();
    let status = client.record(order("1", "ann", 500, 0)).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "CURRENCY_MISMATCH");
    assert_eq!(world.count("SELECT count(*) FROM sales_order").await, 0);
}

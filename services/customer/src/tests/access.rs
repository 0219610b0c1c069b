use std::time::Duration;

use regard_database::Value as Stored;
use regard_proto::customer::v1::access_service_client::AccessServiceClient;
use regard_server::Directory as _;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::Permissions;
use tonic::Request;

use super::*;
use crate::access::StoreDirectory;

on_both_engines!(
    a_key_opens_what_its_roles_grant_until_it_is_revoked,
    a_key_expires,
    a_repeat_shows_the_same_secret_and_nothing_else_does,
    nobody_gives_away_what_they_lack,
    roles_of_a_tenant_come_change_and_go,
    keys_and_roles_are_of_their_tenant,
    lists_come_in_pages,
    the_directory_knows_limits_and_roles,
);

fn access(channel: Channel) -> AccessServiceClient<Channel> {
    AccessServiceClient::new(channel)
}

impl World {
    fn access(&self) -> AccessServiceClient<Channel> {
        access(self.pipe.channel())
    }

    /// A caller of a tenant with these permissions only.
    fn limited(&self, tenant: &str, permissions: &[&str]) -> AccessServiceClient<Channel> {
        let set = permissions.iter().map(|p| (*p).to_owned()).collect();
        let caller = Caller {
            permissions: Permissions::Set(Arc::new(set)),
            ..self.caller(tenant)
        };
        access(self.pipe.channel_of(caller))
    }

    fn directory(&self) -> StoreDirectory {
        StoreDirectory(self.core.clone())
    }
}

fn wanted(name: &str, roles: &[&str]) -> pb::CreateApiKeyRequest {
    pb::CreateApiKeyRequest {
        api_key: Some(pb::ApiKey {
            name: name.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..pb::ApiKey::default()
        }),
        ..pb::CreateApiKeyRequest::default()
    }
}

fn role(name: &str, permissions: &[&str]) -> pb::ApplyRoleRequest {
    pb::ApplyRoleRequest {
        role: Some(pb::Role {
            name: name.to_owned(),
            title: format!("The {name}"),
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            ..pb::Role::default()
        }),
        ..pb::ApplyRoleRequest::default()
    }
}

async fn make(
    client: &mut AccessServiceClient<Channel>,
    request: pb::CreateApiKeyRequest,
) -> (pb::ApiKey, String) {
    let answer = client.create_api_key(request).await.unwrap().into_inner();
    (answer.api_key.unwrap(), answer.secret)
}

/// Asks for the tenant with a key: its name, or why not.
async fn with(world: &World, key: &str) -> Result<String, Status> {
    let mut request = Request::new(pb::GetTenantRequest::default());
    let header = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    let answer = world.client().tenants.get_tenant(request).await?;
    Ok(answer.into_inner().tenant.unwrap().name)
}

/// Waits until a key is refused, for no longer than it may take.
async fn refused(world: &World, key: &str) {
    let began = std::time::Instant::now();
    loop {
        match with(world, key).await {
            Err(status) => {
                assert_eq!(reason(&status, Code::Unauthenticated), "UNAUTHENTICATED");
                return;
            }
            // Two seconds are promised; the rest is for a busy machine.
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(10)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_key_opens_what_its_roles_grant_until_it_is_revoked(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.access();
    let (key, secret) = make(&mut client, wanted("shop", &["reader"])).await;
    assert_eq!(
        (secret.len(), &secret[..16], key.version),
        (60, key.prefix.as_str(), 1)
    );
    assert_eq!(
        (key.tenant.as_str(), key.creator.as_str()),
        ("default", "default")
    );
    assert_eq!(with(&world, &secret).await.unwrap(), "default");
    // Not a word of it is stored.
    assert_eq!(world.count("SELECT count(*) FROM api_key").await, 1);
    let tx = world.core.db.read_system().await.unwrap();
    let row = tx
        .fetch_one("SELECT digest, prefix FROM api_key", Vec::<Stored>::new())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.digest(0).unwrap(), crate::access::digest(&secret));
    drop(tx);
    // What the role does not grant is denied.
    let mut request = Request::new(wanted("more", &["reader"]));
    request
        .metadata_mut()
        .insert("x-api-key", secret.parse().unwrap());
    let status = client.create_api_key(request).await.unwrap_err();
    assert_eq!(meta(&status, "permission"), "access.write");
    // A wrong secret of a known prefix, and a prefix that nobody has.
    let mut wrong = secret.clone();
    wrong.replace_range(59..60, if secret.ends_with('A') { "B" } else { "A" });
    for wrong in [wrong, format!("rgd_aaaaaaaaaaaa_{}", &secret[17..])] {
        let status = with(&world, &wrong).await.unwrap_err();
        assert_eq!(reason(&status, Code::Unauthenticated), "UNAUTHENTICATED");
        assert!(!status.message().contains(&wrong[17..]));
    }
    let revoke = pb::RevokeApiKeyRequest {
        id: key.id.clone(),
        etag: key.etag.clone(),
        request_id: request_id(),
        ..pb::RevokeApiKeyRequest::default()
    };
    let checked = pb::RevokeApiKeyRequest {
        validate_only: true,
        ..revoke.clone()
    };
    client.revoke_api_key(checked).await.unwrap();
    assert_eq!(with(&world, &secret).await.unwrap(), "default");
    let first = client
        .revoke_api_key(revoke.clone())
        .await
        .unwrap()
        .into_inner();
    let ended = first.api_key.clone().unwrap();
    assert!(ended.version == 2 && ended.revoke_time.is_some());
    assert_eq!(
        client
            .revoke_api_key(revoke.clone())
            .await
            .unwrap()
            .into_inner(),
        first
    );
    refused(&world, &secret).await;
    // Once more changes nothing; an old etag is noticed.
    let again = pb::RevokeApiKeyRequest {
        etag: String::new(),
        request_id: String::new(),
        ..revoke.clone()
    };
    assert_eq!(
        client
            .revoke_api_key(again.clone())
            .await
            .unwrap()
            .into_inner()
            .api_key,
        Some(ended)
    );
    let stale = pb::RevokeApiKeyRequest {
        etag: key.etag,
        ..again
    };
    let status = client.revoke_api_key(stale).await.unwrap_err();
    assert_eq!(reason(&status, Code::Aborted), "ETAG_MISMATCH");
    let unknown = pb::RevokeApiKeyRequest {
        id: regard_types::Uuid::from_u128(7).to_string(),
        ..pb::RevokeApiKeyRequest::default()
    };
    let status = client.revoke_api_key(unknown).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    let audited = "SELECT count(*) FROM audit WHERE action IN ('api_key.create', 'api_key.revoke')";
    assert_eq!(world.count(audited).await, 2);
}

async fn a_key_expires(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.access();
    let until = |seconds: i64| {
        let mut request = wanted("shop", &["reader"]);
        let at = world.clock.now().0 / 1_000_000 + seconds;
        request.api_key.as_mut().unwrap().expire_time = Some(prost_types::Timestamp {
            seconds: at,
            nanos: 0,
        });
        request
    };
    let status = client.create_api_key(until(0)).await.unwrap_err();
    assert_eq!(fields(&status), ["api_key.expire_time"]);
    let (_, secret) = make(&mut client, until(60)).await;
    assert_eq!(with(&world, &secret).await.unwrap(), "default");
    world.later(61);
    refused(&world, &secret).await;
}

async fn a_repeat_shows_the_same_secret_and_nothing_else_does(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.access();
    let mut request = wanted("shop", &["reader", "reader", "analyst"]);
    request.request_id = request_id();
    let checked = pb::CreateApiKeyRequest {
        validate_only: true,
        ..request.clone()
    };
    let checked = client.create_api_key(checked).await.unwrap().into_inner();
    assert!(checked.secret.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM api_key").await, 0);
    let first = client
        .create_api_key(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.api_key.as_ref().unwrap().roles, ["reader", "analyst"]);
    let revoke = pb::RevokeApiKeyRequest {
        id: first.api_key.as_ref().unwrap().id.clone(),
        ..pb::RevokeApiKeyRequest::default()
    };
    client.revoke_api_key(revoke).await.unwrap();
    // As it was answered, though the key was revoked since.
    let repeat = client
        .create_api_key(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(repeat, first);
    assert_eq!(world.count("SELECT count(*) FROM api_key").await, 1);
    let mut other = request.clone();
    other.api_key.as_mut().unwrap().name = "other".to_owned();
    let status = client.create_api_key(other).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::FailedPrecondition),
        "REQUEST_ID_REUSED"
    );
    // Another request of the same content is another key.
    request.request_id = request_id();
    assert_ne!(
        client
            .create_api_key(request)
            .await
            .unwrap()
            .into_inner()
            .secret,
        first.secret
    );
}

async fn nobody_gives_away_what_they_lack(store: TestStore) {
    let world = World::new(store).await;
    let mut clerk = world.limited("default", &["access.write", "access.read", "order.read"]);
    for (roles, lacking) in [
        (&["reader"][..], "change.read"),
        (&["manager"], "access.write"),
    ] {
        let status = clerk.create_api_key(wanted("x", roles)).await.unwrap_err();
        assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
        let named = meta(&status, "permission");
        assert!(
            named != "order.read" && named != "access.read",
            "{named} {lacking}"
        );
    }
    let status = clerk
        .apply_role(role("clerk", &["order.*"]))
        .await
        .unwrap_err();
    assert_eq!(meta(&status, "permission"), "order.write");
    let status = clerk
        .apply_role(role("clerk", &["score.read", "order.read"]))
        .await
        .unwrap_err();
    assert_eq!(meta(&status, "permission"), "score.read");
    clerk
        .apply_role(role("clerk", &["order.read"]))
        .await
        .unwrap();
    make(&mut clerk, wanted("x", &["clerk"])).await;
    // A role that others widen is beyond it, too.
    world
        .access()
        .apply_role(role("clerk", &["order.*"]))
        .await
        .unwrap();
    let status = clerk
        .create_api_key(wanted("y", &["clerk"]))
        .await
        .unwrap_err();
    assert_eq!(meta(&status, "permission"), "order.write");
    // Every permission of one tenant does not make an operator.
    for role in ["operator", "service"] {
        let status = world
            .access()
            .create_api_key(wanted("x", &[role]))
            .await
            .unwrap_err();
        assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    }
    let mut operator = access(
        world
            .pipe
            .channel_of(service_caller("op", world.core.db.secret())),
    );
    make(&mut operator, wanted("x", &["operator"])).await;
    // Nor do they get what another was given, by repeating the request as that caller.
    let mut request = wanted("x", &["manager"]);
    request.request_id = request_id();
    make(&mut world.access(), request.clone()).await;
    let status = clerk.create_api_key(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let status = world
        .access()
        .create_api_key(wanted("x", &["reader", "nobody"]))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["api_key.roles[1]"]);
}

async fn roles_of_a_tenant_come_change_and_go(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.access();
    let mut request = role("clerk", &["order.read"]);
    request.request_id = request_id();
    let first = client
        .apply_role(request.clone())
        .await
        .unwrap()
        .into_inner();
    let made = first.role.clone().unwrap();
    assert_eq!((made.version, made.shipped), (1, false));
    let (_, secret) = make(&mut client, wanted("x", &["clerk"])).await;
    let status = with(&world, &secret).await.unwrap_err();
    assert_eq!(meta(&status, "permission"), "tenant.read");
    // The same once more changes nothing; a new version does, and keys follow.
    let same = client
        .apply_role(role("clerk", &["order.read"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(same.role, first.role);
    let wider = client
        .apply_role(role("clerk", &["order.read", "tenant.read"]))
        .await
        .unwrap();
    assert_eq!(wider.into_inner().role.unwrap().version, 2);
    let began = std::time::Instant::now();
    while with(&world, &secret).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        client.apply_role(request).await.unwrap().into_inner(),
        first
    );
    let mut stale = role("clerk", &["order.*"]);
    stale.etag = made.etag;
    let status = client.apply_role(stale).await.unwrap_err();
    assert_eq!(reason(&status, Code::Aborted), "ETAG_MISMATCH");
    let delete = pb::DeleteRoleRequest {
        name: "clerk".to_owned(),
        request_id: request_id(),
        ..pb::DeleteRoleRequest::default()
    };
    let gone = client
        .delete_role(delete.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        client
            .delete_role(delete.clone())
            .await
            .unwrap()
            .into_inner(),
        gone
    );
    let again = pb::DeleteRoleRequest {
        request_id: String::new(),
        ..delete
    };
    let status = client.delete_role(again).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    let began = std::time::Instant::now();
    while with(&world, &secret).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It may come back.
    let back = client
        .apply_role(role("clerk", &["order.read"]))
        .await
        .unwrap();
    assert_eq!(back.into_inner().role.unwrap().version, 4);
    // What Regard brings stays as it is, and what no RPC declares cannot be granted.
    let status = client
        .apply_role(role("reader", &["order.read"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::AlreadyExists), "RECORD_EXISTS");
    let shipped = pb::DeleteRoleRequest {
        name: "reader".to_owned(),
        ..pb::DeleteRoleRequest::default()
    };
    let status = client.delete_role(shipped).await.unwrap_err();
    assert_eq!(reason(&status, Code::FailedPrecondition), "WRONG_STATE");
    let status = client
        .apply_role(role("x", &["order.read", "moon.*"]))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["role.permissions[1]"]);
}

async fn keys_and_roles_are_of_their_tenant(store: TestStore) {
    let world = World::new(store).await;
    let mut operator = access(
        world
            .pipe
            .channel_of(service_caller("op", world.core.db.secret())),
    );
    let in_acme = |mut request: pb::CreateApiKeyRequest| {
        request.tenant = "acme".to_owned();
        request
    };
    // A tenant without a record has no keys.
    let status = operator
        .create_api_key(in_acme(wanted("x", &["reader"])))
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "TENANT_UNKNOWN");
    let tenant = pb::CreateTenantRequest {
        tenant: Some(pb::Tenant {
            name: "acme".to_owned(),
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
    let (key, secret) = make(&mut operator, in_acme(wanted("x", &["reader"]))).await;
    assert_eq!(
        (
            key.tenant.as_str(),
            with(&world, &secret).await.unwrap().as_str()
        ),
        ("acme", "acme")
    );
    // Another tenant's caller names it in vain, by id and by name.
    let mut other = world.access();
    let revoke = pb::RevokeApiKeyRequest {
        id: key.id.clone(),
        ..pb::RevokeApiKeyRequest::default()
    };
    let status = other.revoke_api_key(revoke.clone()).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
    let named = pb::RevokeApiKeyRequest {
        tenant: "acme".to_owned(),
        ..revoke
    };
    let status = other.revoke_api_key(named).await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let list = pb::ListApiKeysRequest::default();
    assert!(
        other
            .list_api_keys(list)
            .await
            .unwrap()
            .into_inner()
            .api_keys
            .is_empty()
    );
    // Nor does it learn of keys and roles by what servers ask each other.
    let ask = |tenant: &str| pb::GetTenantAccessRequest {
        tenant: tenant.to_owned(),
    };
    let status = other.get_tenant_access(ask("acme")).await.unwrap_err();
    assert_eq!(reason(&status, Code::PermissionDenied), "PERMISSION_DENIED");
    let verify = pb::VerifyApiKeyRequest {
        prefix: secret[..16].to_owned(),
        digest: crate::access::digest(&secret).to_vec().into(),
    };
    let nothing = other.verify_api_key(verify.clone()).await.unwrap();
    assert!(nothing.into_inner().verdict.is_none());
    let known = operator.verify_api_key(verify).await.unwrap();
    assert_eq!(known.into_inner().verdict.unwrap().name, "x");
    assert!(
        operator
            .get_tenant_access(ask("acme"))
            .await
            .unwrap()
            .into_inner()
            .tenant
            .is_some()
    );
    // Roles of one tenant mean nothing in another.
    let mut own = role("clerk", &["order.read"]);
    own.tenant = "acme".to_owned();
    operator.apply_role(own).await.unwrap();
    let status = other
        .create_api_key(wanted("x", &["clerk"]))
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["api_key.roles[0]"]);
}

async fn lists_come_in_pages(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.access();
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(make(&mut client, wanted(name, &["reader"])).await.0.id);
    }
    let mut seen = Vec::new();
    let mut request = pb::ListApiKeysRequest {
        page_size: 2,
        ..pb::ListApiKeysRequest::default()
    };
    loop {
        let page = client
            .list_api_keys(request.clone())
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.api_keys.into_iter().map(|key| key.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    made.sort();
    assert_eq!(seen, made);
    client
        .apply_role(role("b-clerk", &["order.read"]))
        .await
        .unwrap();
    let mut names = Vec::new();
    let mut request = pb::ListRolesRequest {
        page_size: 3,
        ..pb::ListRolesRequest::default()
    };
    loop {
        let page = client
            .list_roles(request.clone())
            .await
            .unwrap()
            .into_inner();
        names.extend(page.roles.into_iter().map(|role| role.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let expected = [
        "agent",
        "analyst",
        "b-clerk",
        "manager",
        "operator",
        "privacy-officer",
        "reader",
        "service",
        "writer",
    ];
    assert_eq!(names, expected);
    // A token of another list.
    let wrong = pb::ListApiKeysRequest {
        page_token: {
            let first = pb::ListRolesRequest {
                page_size: 3,
                ..pb::ListRolesRequest::default()
            };
            client
                .list_roles(first)
                .await
                .unwrap()
                .into_inner()
                .next_page_token
        },
        ..pb::ListApiKeysRequest::default()
    };
    let status = client.list_api_keys(wrong).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::InvalidArgument),
        "PAGE_TOKEN_MISMATCH"
    );
}

async fn the_directory_knows_limits_and_roles(store: TestStore) {
    let world = World::new(store).await;
    world
        .access()
        .apply_role(role("clerk", &["order.*"]))
        .await
        .unwrap();
    let update = pb::UpdateTenantRequest {
        tenant: Some(pb::Tenant {
            limits: Some(pb::TenantLimits {
                requests_per_second: 5,
                burst: 10,
            }),
            retention_days: 365,
            ..pb::Tenant::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["limits".to_owned(), "retention_days".to_owned()],
        }),
        ..pb::UpdateTenantRequest::default()
    };
    let tenant = world
        .client()
        .tenants
        .update_tenant(update)
        .await
        .unwrap()
        .into_inner()
        .tenant
        .unwrap();
    assert_eq!(
        (tenant.retention_days, tenant.day_version, tenant.version),
        (365, 1, 2)
    );
    assert_eq!(tenant.limits.unwrap().burst, 10);
    let known = world.directory().tenant("default").await.unwrap().unwrap();
    assert_eq!((known.limits.per_second, known.limits.burst), (5, 10));
    assert_eq!(known.roles["clerk"], ["order.*"]);
    assert!(world.directory().tenant("nobody").await.unwrap().is_none());
    // The same over the wire, for servers apart.
    let ask = pb::GetTenantAccessRequest {
        tenant: "default".to_owned(),
    };
    let told = world
        .access()
        .get_tenant_access(ask)
        .await
        .unwrap()
        .into_inner()
        .tenant
        .unwrap();
    assert_eq!((told.limits, told.roles.len()), (tenant.limits, 1));
    let (_, secret) = make(&mut world.access(), wanted("x", &["clerk"])).await;
    let remote = regard_server::RemoteDirectory(world.access());
    let verdict = remote
        .api_key(&secret[..16], crate::access::digest(&secret))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        verdict,
        world
            .directory()
            .api_key(&secret[..16], crate::access::digest(&secret))
            .await
            .unwrap()
            .unwrap()
    );
    assert_eq!((verdict.name.as_str(), verdict.tenant), ("x", known));
    assert!(
        remote
            .api_key(&secret[..16], [0; 32])
            .await
            .unwrap()
            .is_none()
    );
}

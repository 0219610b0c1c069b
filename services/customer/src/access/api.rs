//! The contract's keys and roles to the house's and back.

use std::sync::Arc;

use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::access_service_server::AccessService;
use regard_server::identity::role as shipped;
use regard_server::wire;
use regard_server::{
    Directory as _, KeyPart, Page, TenantAccess, caller_of, command, page, status,
};
use regard_types::{Caller, Fault, RecordId};
use tonic::{Request, Response, Status};

use super::app::{self, NewKey};
use super::directory::StoreDirectory;
use super::domain::{ApiKey, Role};
use super::role::{self, NewRole};
use crate::core::Core;
use crate::tenant::{self, limits_to_wire};

/// `AccessService`.
#[derive(Debug, Clone)]
pub struct AccessApi(pub Arc<Core>);

fn to_key(key: &ApiKey, tenant: &str) -> pb::ApiKey {
    pb::ApiKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        tenant: tenant.to_owned(),
        roles: key.roles.clone(),
        prefix: key.prefix.clone(),
        expire_time: key.expires.map(wire::timestamp),
        revoke_time: key.revoked.map(wire::timestamp),
        creator: key.creator.clone(),
        version: key.head.version,
        etag: wire::etag(app::KIND, key.id.0, key.head.version),
        create_time: Some(wire::timestamp(key.head.created)),
        update_time: Some(wire::timestamp(key.head.updated)),
    }
}

fn to_role(role: &Role) -> pb::Role {
    pb::Role {
        name: role.name.clone(),
        title: role.title.clone(),
        permissions: role.permissions.clone(),
        shipped: false,
        all_tenants: false,
        version: role.head.version,
        etag: wire::etag(role::KIND, role.id.0, role.head.version),
        create_time: Some(wire::timestamp(role.head.created)),
        update_time: Some(wire::timestamp(role.head.updated)),
    }
}

fn of_regard(role: &shipped::Role) -> pb::Role {
    pb::Role {
        name: role.name.to_owned(),
        title: role.title.clone(),
        permissions: role.permissions.clone(),
        shipped: true,
        all_tenants: role.all_tenants,
        ..pb::Role::default()
    }
}

fn to_access(tenant: TenantAccess) -> pb::TenantAccess {
    let role = |(name, permissions)| pb::Role {
        name,
        permissions,
        ..pb::Role::default()
    };
    pb::TenantAccess {
        name: tenant.name,
        limits: limits_to_wire(tenant.limits),
        roles: tenant.roles.into_iter().map(role).collect(),
    }
}

impl AccessApi {
    fn acting<T>(
        &self,
        request: &Request<T>,
        tenant: &str,
        permission: &str,
    ) -> Result<Caller, Fault> {
        tenant::acting(&self.0, &caller_of(request)?, tenant, permission)
    }

    async fn create(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<pb::CreateApiKeyResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.write")?;
        let request = request.into_inner();
        let wanted = wire::required("api_key", request.api_key.as_ref())?;
        let expires = wanted.expire_time.as_ref();
        let expires = expires
            .map(|at| wire::micros("api_key.expire_time", at))
            .transpose()?;
        let mut roles = wanted.roles.clone();
        let mut seen = std::collections::BTreeSet::new();
        roles.retain(|role| seen.insert(role.clone()));
        let new = NewKey {
            name: wanted.name.clone(),
            roles,
            expires,
        };
        let command = command(&request, "CreateApiKey");
        let done = app::create(&self.0, &acting, command, &new).await?;
        Ok(pb::CreateApiKeyResponse {
            change_token: done.token(),
            api_key: Some(to_key(&done.value.key, &acting.tenant_name)),
            secret: done.value.secret,
        })
    }

    async fn list(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<pb::ListApiKeysResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.read")?;
        let body = request.into_inner();
        let page = Page::read(
            &acting,
            "ListApiKeys",
            &body,
            body.page_size,
            &body.page_token,
        )?;
        let after = match page.after.as_deref() {
            None => None,
            Some([KeyPart::Uuid(id)]) => Some(*id),
            Some(_) => return Err(page::invalid()),
        };
        let mut keys = app::list(&self.0, &acting, after, page.size + 1).await?;
        let more = keys.len() > page.size;
        keys.truncate(page.size);
        let next = keys
            .last()
            .filter(|_| more)
            .map(|last| page.next(&[KeyPart::Uuid(last.id.0)]));
        Ok(pb::ListApiKeysResponse {
            api_keys: keys
                .iter()
                .map(|key| to_key(key, &acting.tenant_name))
                .collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    async fn revoke(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<pb::RevokeApiKeyResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.write")?;
        let request = request.into_inner();
        let id = RecordId::parse(&request.id)
            .map_err(|error| Fault::invalid("id", error.to_string()))?;
        let command = command(&request, "RevokeApiKey");
        let done = app::revoke(&self.0, &acting, command, id, &request.etag).await?;
        Ok(pb::RevokeApiKeyResponse {
            change_token: done.token(),
            api_key: Some(to_key(&done.value, &acting.tenant_name)),
        })
    }

    async fn apply(
        &self,
        request: Request<pb::ApplyRoleRequest>,
    ) -> Result<pb::ApplyRoleResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.write")?;
        let request = request.into_inner();
        let wanted = wire::required("role", request.role.as_ref())?;
        let new = NewRole {
            name: wanted.name.clone(),
            title: wanted.title.clone(),
            permissions: wanted.permissions.clone(),
        };
        let command = command(&request, "ApplyRole");
        let done = role::apply(&self.0, &acting, command, &new, &request.etag).await?;
        Ok(pb::ApplyRoleResponse {
            change_token: done.token(),
            role: Some(to_role(&done.value)),
        })
    }

    async fn roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<pb::ListRolesResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.read")?;
        let body = request.into_inner();
        let page = Page::read(
            &acting,
            "ListRoles",
            &body,
            body.page_size,
            &body.page_token,
        )?;
        let after = match page.after.as_deref() {
            None => "",
            Some([KeyPart::Text(name)]) => name.as_str(),
            Some(_) => return Err(page::invalid()),
        };
        let own = role::list(&self.0, &acting).await?;
        let all = own
            .iter()
            .map(to_role)
            .chain(shipped::shipped().iter().map(of_regard));
        let mut roles: Vec<_> = all.filter(|role| role.name.as_str() > after).collect();
        roles.sort_by(|a, b| a.name.cmp(&b.name));
        let more = roles.len() > page.size;
        roles.truncate(page.size);
        let next = roles
            .last()
            .filter(|_| more)
            .map(|last| page.next(&[KeyPart::Text(last.name.clone())]));
        Ok(pb::ListRolesResponse {
            roles,
            next_page_token: next.unwrap_or_default(),
        })
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<pb::DeleteRoleResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.write")?;
        let request = request.into_inner();
        let command = command(&request, "DeleteRole");
        let done = role::delete(&self.0, &acting, command, &request.name, &request.etag).await?;
        Ok(pb::DeleteRoleResponse {
            change_token: done.token(),
            role: Some(to_role(&done.value)),
        })
    }

    /// A server of the suite asks for every tenant; whoever holds the permission in one tenant learns of that one alone.
    async fn verify(
        &self,
        request: Request<pb::VerifyApiKeyRequest>,
    ) -> Result<pb::VerifyApiKeyResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let digest = <[u8; 32]>::try_from(&*request.digest);
        let digest = digest.map_err(|_| Fault::invalid("digest", "must be 32 bytes long"))?;
        let directory = StoreDirectory(Arc::clone(&self.0));
        let verdict = directory.api_key(&request.prefix, digest).await?;
        let own = |name: &str| caller.all_tenants || *name == *caller.tenant_name;
        let verdict = verdict.filter(|verdict| own(&verdict.tenant.name));
        let verdict = verdict.map(|verdict| pb::ApiKeyVerdict {
            name: verdict.name,
            roles: verdict.roles,
            tenant: Some(to_access(verdict.tenant)),
            expire_time: verdict.expires.map(wire::timestamp),
        });
        Ok(pb::VerifyApiKeyResponse { verdict })
    }

    async fn tenant_access(
        &self,
        request: Request<pb::GetTenantAccessRequest>,
    ) -> Result<pb::GetTenantAccessResponse, Fault> {
        let acting = self.acting(&request, &request.get_ref().tenant, "access.verify")?;
        let found = StoreDirectory(Arc::clone(&self.0))
            .tenant(&acting.tenant_name)
            .await?;
        Ok(pb::GetTenantAccessResponse {
            tenant: found.map(to_access),
        })
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        self.create(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        self.list(request).await.map(Response::new).map_err(status)
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        self.revoke(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn apply_role(
        &self,
        request: Request<pb::ApplyRoleRequest>,
    ) -> Result<Response<pb::ApplyRoleResponse>, Status> {
        self.apply(request).await.map(Response::new).map_err(status)
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        self.roles(request).await.map(Response::new).map_err(status)
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<pb::DeleteRoleResponse>, Status> {
        self.delete(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn verify_api_key(
        &self,
        request: Request<pb::VerifyApiKeyRequest>,
    ) -> Result<Response<pb::VerifyApiKeyResponse>, Status> {
        self.verify(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn get_tenant_access(
        &self,
        request: Request<pb::GetTenantAccessRequest>,
    ) -> Result<Response<pb::GetTenantAccessResponse>, Status> {
        self.tenant_access(request)
            .await
            .map(Response::new)
            .map_err(status)
    }
}

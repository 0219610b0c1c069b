//! The directory in another process: the customer service over gRPC.

use std::time::Duration;

use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::access_service_client::AccessServiceClient;
use regard_types::{CallerLimits, Fault, Micros};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::directory::{Directory, TenantAccess, Verdict};

/// Longest time that an answer may take.
const LONGEST: Duration = Duration::from_secs(3);

/// Asks the customer service; its caller needs the permission `access.verify` (the role `service`).
#[derive(Clone)]
pub struct RemoteDirectory {
    client: AccessServiceClient<Channel>,
    key: Option<MetadataValue<Ascii>>,
}

impl RemoteDirectory {
    /// Over a channel to the customer service; `key` is what this server shows there as `authorization`.
    #[must_use]
    pub fn new(channel: Channel, key: Option<MetadataValue<Ascii>>) -> Self {
        let client = AccessServiceClient::new(channel)
            .max_decoding_message_size(crate::MESSAGE_LIMIT)
            .max_encoding_message_size(crate::MESSAGE_LIMIT);
        Self { client, key }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(LONGEST);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }
}

impl std::fmt::Debug for RemoteDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteDirectory").finish_non_exhaustive()
    }
}

// By value, so that it stands in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn failed(status: Status) -> Fault {
    Fault::down("the customer service").caused_by(format!(
        "{:?}: {}",
        status.code(),
        status.message()
    ))
}

fn access(tenant: pb::TenantAccess) -> TenantAccess {
    let limits = tenant.limits.unwrap_or_default();
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    TenantAccess {
        name: tenant.name,
        limits: CallerLimits {
            per_second: number(limits.requests_per_second),
            burst: number(limits.burst),
        },
        roles: tenant
            .roles
            .into_iter()
            .map(|role| (role.name, role.permissions))
            .collect(),
    }
}

#[tonic::async_trait]
impl Directory for RemoteDirectory {
    async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Option<Verdict>, Fault> {
        let request = self.request(pb::VerifyApiKeyRequest {
            prefix: prefix.to_owned(),
            digest: digest.to_vec().into(),
        });
        let answer = self.client.clone().verify_api_key(request).await;
        let Some(verdict) = answer.map_err(failed)?.into_inner().verdict else {
            return Ok(None);
        };
        let expires = verdict.expire_time;
        Ok(Some(Verdict {
            name: verdict.name,
            roles: verdict.roles,
            tenant: access(verdict.tenant.unwrap_or_default()),
            expires: expires.and_then(|at| Micros::from_seconds(at.seconds, at.nanos)),
        }))
    }

    async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault> {
        let request = self.request(pb::GetTenantAccessRequest {
            tenant: name.to_owned(),
        });
        let answer = self.client.clone().get_tenant_access(request).await;
        Ok(answer.map_err(failed)?.into_inner().tenant.map(access))
    }
}

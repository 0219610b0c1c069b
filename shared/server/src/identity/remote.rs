//! The directory in another process: the customer service over gRPC.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::access_service_client::AccessServiceClient;
use regard_types::{CallerLimits, Fault, Micros};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::StdError;
use tonic::{Request, Status};

use super::directory::{Directory, TenantAccess, Verdict};

/// Longest time that an answer may take.
const LONGEST: Duration = Duration::from_secs(3);

/// Asks the customer service by a client of its own making; the caller that it names needs the permission `access.verify`
/// (the role `service`).
#[derive(Clone)]
pub struct RemoteDirectory<T>(pub AccessServiceClient<T>);

impl<T> fmt::Debug for RemoteDirectory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteDirectory").finish_non_exhaustive()
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(LONGEST);
    request
}

// By value, so that it stands in `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn failed(status: Status) -> Fault {
    let cause = format!("{:?}: {}", status.code(), status.message());
    Fault::down("the customer service").caused_by(cause)
}

fn access(tenant: pb::TenantAccess) -> TenantAccess {
    let limits = tenant.limits.unwrap_or_default();
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    let roles = tenant.roles.into_iter();
    TenantAccess {
        name: tenant.name,
        limits: CallerLimits {
            per_second: number(limits.requests_per_second),
            burst: number(limits.burst),
        },
        roles: roles.map(|role| (role.name, role.permissions)).collect(),
    }
}

#[tonic::async_trait]
impl<T> Directory for RemoteDirectory<T>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Error: Into<StdError>,
    T::Future: Send,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Option<Verdict>, Fault> {
        let request = request(pb::VerifyApiKeyRequest {
            prefix: prefix.to_owned(),
            digest: digest.to_vec().into(),
        });
        let answer = self.0.clone().verify_api_key(request).await;
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
        let request = request(pb::GetTenantAccessRequest {
            tenant: name.to_owned(),
        });
        let answer = self.0.clone().get_tenant_access(request).await;
        Ok(answer.map_err(failed)?.into_inner().tenant.map(access))
    }
}

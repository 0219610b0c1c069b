//! The contract's tenants to the house's and back.

use std::sync::Arc;

use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::tenant_service_server::TenantService;
use regard_server::wire::{self, Mask};
use regard_server::{caller, caller_of, command, status};
use regard_types::{CallerLimits, Fault};
use tonic::{Request, Response, Status};

use super::app::{self, NewTenant};
use super::domain::{Tenant, Terms};
use crate::core::Core;

/// `TenantService`.
#[derive(Debug, Clone)]
pub struct TenantApi(pub Arc<Core>);

const FIELDS: &[&str] = &[
    "zone",
    "currency",
    "pinned_day",
    "history_start",
    "minimum_group_size",
    "limits",
    "retention_days",
];

fn terms(tenant: &pb::Tenant) -> Result<Terms, Fault> {
    let (zone, currency) = Terms::parse("tenant", &tenant.zone, &tenant.currency)?;
    let day =
        |field, date: &Option<_>| date.as_ref().map(|date| wire::day(field, date)).transpose();
    Ok(Terms {
        zone,
        currency,
        pinned_day: day("tenant.pinned_day", &tenant.pinned_day)?,
        history_start: day("tenant.history_start", &tenant.history_start)?,
        minimum_group_size: tenant.minimum_group_size,
        limits: limits(tenant.limits.as_ref()),
        retention_days: tenant.retention_days,
    })
}

fn limits(limits: Option<&pb::TenantLimits>) -> CallerLimits {
    let of = |value: fn(&pb::TenantLimits) -> i32| {
        limits.map_or(0, |limits| u32::try_from(value(limits)).unwrap_or(0))
    };
    CallerLimits {
        per_second: of(|limits| limits.requests_per_second),
        burst: of(|limits| limits.burst),
    }
}

/// Limits on the wire; absent where the servers' own defaults hold.
pub fn limits_to_wire(limits: CallerLimits) -> Option<pb::TenantLimits> {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    (limits != CallerLimits::default()).then(|| pb::TenantLimits {
        requests_per_second: number(limits.per_second),
        burst: number(limits.burst),
    })
}

fn to_wire(tenant: &Tenant) -> pb::Tenant {
    let Terms {
        zone,
        currency,
        pinned_day,
        history_start,
        minimum_group_size,
        limits,
        retention_days,
    } = &tenant.terms;
    pb::Tenant {
        id: tenant.id.to_string(),
        name: tenant.name.clone(),
        zone: zone.name().to_owned(),
        currency: currency.as_str().to_owned(),
        pinned_day: pinned_day.map(wire::date),
        history_start: history_start.map(wire::date),
        minimum_group_size: *minimum_group_size,
        limits: limits_to_wire(*limits),
        retention_days: *retention_days,
        day_version: tenant.day_version,
        version: tenant.head.version,
        etag: wire::etag("tenant", tenant.id.0, tenant.head.version),
        create_time: Some(wire::timestamp(tenant.head.created)),
        update_time: Some(wire::timestamp(tenant.head.updated)),
    }
}

impl TenantApi {
    async fn create(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Result<pb::CreateTenantResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let wanted = wire::required("tenant", request.tenant.as_ref())?;
        if wanted.name.is_empty() {
            return Err(Fault::invalid("tenant.name", "is required"));
        }
        let new = NewTenant {
            name: wanted.name.clone(),
            terms: terms(wanted)?,
        };
        let command = command(&request, "CreateTenant");
        let done = app::create(&self.0, &caller, command, &new).await?;
        Ok(pb::CreateTenantResponse {
            change_token: done.token(),
            tenant: Some(to_wire(&done.value)),
        })
    }

    async fn update(
        &self,
        request: Request<pb::UpdateTenantRequest>,
    ) -> Result<pb::UpdateTenantResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let wanted = wire::required("tenant", request.tenant.as_ref())?;
        let mask = Mask::of(request.update_mask.as_ref(), FIELDS)?;
        let new = terms(wanted)?;
        let change = |old: &Terms| {
            let mut terms = old.clone();
            if mask.has("zone") {
                terms.zone = new.zone.clone();
            }
            if mask.has("currency") {
                terms.currency = new.currency;
            }
            if mask.has("pinned_day") {
                terms.pinned_day = new.pinned_day;
            }
            if mask.has("history_start") {
                terms.history_start = new.history_start;
            }
            if mask.has("minimum_group_size") {
                terms.minimum_group_size = new.minimum_group_size;
            }
            if mask.has("limits") {
                terms.limits = new.limits;
            }
            if mask.has("retention_days") {
                terms.retention_days = new.retention_days;
            }
            terms
        };
        let command = command(&request, "UpdateTenant");
        let done = app::update(
            &self.0,
            &caller,
            command,
            &wanted.name,
            &request.etag,
            change,
        )
        .await?;
        Ok(pb::UpdateTenantResponse {
            change_token: done.token(),
            tenant: Some(to_wire(&done.value)),
        })
    }
}

#[tonic::async_trait]
impl TenantService for TenantApi {
    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Result<Response<pb::CreateTenantResponse>, Status> {
        self.create(request)
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::GetTenantResponse>, Status> {
        let caller = caller(&request)?;
        let found = app::get(&self.0, &caller, &request.get_ref().name).await;
        let tenant = found.map_err(status)?;
        Ok(Response::new(pb::GetTenantResponse {
            tenant: Some(to_wire(&tenant)),
        }))
    }

    async fn update_tenant(
        &self,
        request: Request<pb::UpdateTenantRequest>,
    ) -> Result<Response<pb::UpdateTenantResponse>, Status> {
        self.update(request)
            .await
            .map(Response::new)
            .map_err(status)
    }
}

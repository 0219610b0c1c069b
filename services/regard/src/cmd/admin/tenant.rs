//! `regard admin tenant`

use clap::{Args, Subcommand};
use regard_proto::customer::v1 as pb;
use serde_json::{Value, json};

use super::{Common, tell};
use crate::reach::{self, day_text, given, refused};

/// `regard admin tenant …`
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Create a tenant.
    Create(Create),
    /// Show a tenant.
    Show(Show),
    /// Change how much a tenant's callers may ask for, and how long its records are kept.
    Limit(Limit),
}

/// Arguments of `regard admin tenant create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: lower case letters, digits and inner dashes.
    name: String,
    /// IANA time zone whose days count.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// ISO 4217 currency of all money.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// Metrics over fewer people are suppressed.
    #[arg(long, value_name = "PEOPLE", default_value_t = 0)]
    minimum_group_size: i32,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Limits {
    /// Requests a second of each caller; 0 is the server's own limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_second: i32,
    /// Requests at once of each caller; 0 is the server's own limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    burst: i32,
    /// How long what customers said in their own words is kept; 0 keeps it for good.
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    retention_days: i32,
}

/// Arguments of `regard admin tenant limit`.
#[derive(Debug, Args)]
pub struct Limit {
    /// Its name.
    name: String,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard admin tenant show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Its name [default: the caller's own].
    #[arg(default_value = "")]
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Limits {
    fn wire(&self) -> Option<pb::TenantLimits> {
        Some(pb::TenantLimits {
            requests_per_second: self.requests_per_second,
            burst: self.burst,
        })
    }
}

impl Tenant {
    pub(super) fn run(self) -> anyhow::Result<()> {
        reach::runtime()?.block_on(async {
            match self {
                Self::Create(create) => create.run().await,
                Self::Show(show) => show.run().await,
                Self::Limit(limit) => limit.run().await,
            }
        })
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::CreateTenantRequest {
            tenant: Some(pb::Tenant {
                name: self.name.clone(),
                zone: self.zone.clone(),
                currency: self.currency.clone(),
                minimum_group_size: self.minimum_group_size,
                limits: self.limits.wire(),
                retention_days: self.limits.retention_days,
                ..pb::Tenant::default()
            }),
            ..pb::CreateTenantRequest::default()
        };
        let answer = client.tenants().create_tenant(request).await;
        show(&self.common, answer.map_err(refused)?.into_inner().tenant)
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::GetTenantRequest {
            name: self.name.clone(),
        };
        let answer = client.tenants().get_tenant(request).await;
        show(&self.common, answer.map_err(refused)?.into_inner().tenant)
    }
}

impl Limit {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::UpdateTenantRequest {
            tenant: Some(pb::Tenant {
                name: self.name.clone(),
                limits: self.limits.wire(),
                retention_days: self.limits.retention_days,
                ..pb::Tenant::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["limits".to_owned(), "retention_days".to_owned()],
            }),
            ..pb::UpdateTenantRequest::default()
        };
        let answer = client.tenants().update_tenant(request).await;
        show(&self.common, answer.map_err(refused)?.into_inner().tenant)
    }
}

fn show(common: &Common, tenant: Option<pb::Tenant>) -> anyhow::Result<()> {
    let tenant = given(tenant, "tenant")?;
    let limits = tenant.limits.unwrap_or_default();
    let or_default = |number: i32| match number {
        0 => "the server's".to_owned(),
        number => number.to_string(),
    };
    let pinned = tenant.pinned_day.as_ref();
    let document = json!({
        "id": tenant.id, "name": tenant.name, "zone": tenant.zone, "currency": tenant.currency,
        "pinned_day": pinned.map_or(Value::Null, |day| Value::String(day_text(Some(day)))),
        "minimum_group_size": tenant.minimum_group_size, "requests_per_second": limits.requests_per_second,
        "burst": limits.burst, "retention_days": tenant.retention_days, "version": tenant.version, "etag": tenant.etag,
    });
    let keep = match tenant.retention_days {
        0 => "for good".to_owned(),
        days => format!("{days} days"),
    };
    let row = vec![
        tenant.name.clone(),
        tenant.zone.clone(),
        tenant.currency.clone(),
        or_default(limits.requests_per_second),
        or_default(limits.burst),
        keep,
    ];
    let header = [
        "tenant",
        "zone",
        "currency",
        "requests a second",
        "burst",
        "kept",
    ];
    tell(common.json, &document, &header, vec![row])
}

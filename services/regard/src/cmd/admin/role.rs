//! `regard admin role`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use regard_proto::customer::v1 as pb;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Common, tell};
use crate::reach::{self, given, refused};

/// `regard admin role …`
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Create a role of a tenant, or replace the one of its name.
    Apply(Apply),
    /// List the roles that Regard brings and those of a tenant.
    List(List),
    /// Delete a role of a tenant.
    Delete(Delete),
}

/// Arguments of `regard admin role apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "The file is TOML:\n  name = \"clerk\"          # or the file's own name: clerk.toml\n  title = \"Takes orders\"\n  permissions = [\"order.*\", \"customer.read\"]"
)]
pub struct Apply {
    /// The role's document (TOML).
    file: PathBuf,
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard admin role list`.
#[derive(Debug, Args)]
pub struct List {
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard admin role delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The role's name.
    name: String,
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Option<String>,
    #[serde(default)]
    title: String,
    permissions: Vec<String>,
}

impl Role {
    pub(super) fn run(self) -> anyhow::Result<()> {
        reach::runtime()?.block_on(async {
            match self {
                Self::Apply(apply) => apply.run().await,
                Self::List(list) => list.run().await,
                Self::Delete(delete) => delete.run().await,
            }
        })
    }
}

impl Apply {
    async fn run(self) -> anyhow::Result<()> {
        let shown = self.file.display();
        let text =
            std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {shown}"))?;
        let document: Document = toml::from_str(&text).with_context(|| {
            format!("{shown}: expected title and permissions, and perhaps name")
        })?;
        let stem = self
            .file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let role = pb::Role {
            name: document.name.or(stem).unwrap_or_default(),
            title: document.title,
            permissions: document.permissions,
            ..pb::Role::default()
        };
        let client = self.common.server.client().await?;
        let request = pb::ApplyRoleRequest {
            role: Some(role),
            tenant: self.tenant.clone(),
            ..pb::ApplyRoleRequest::default()
        };
        let answer = client.access().apply_role(request).await;
        one(&self.common, answer.map_err(refused)?.into_inner().role)
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::ListRolesRequest {
            tenant: self.tenant.clone(),
            page_size: 1_000,
            page_token: String::new(),
        };
        let answer = client.access().list_roles(request).await;
        let roles = answer.map_err(refused)?.into_inner().roles;
        let document = json!({ "roles": roles.iter().map(document).collect::<Vec<_>>() });
        rows(self.common.json, &document, &roles)
    }
}

impl Delete {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::DeleteRoleRequest {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            ..pb::DeleteRoleRequest::default()
        };
        let answer = client.access().delete_role(request).await;
        one(&self.common, answer.map_err(refused)?.into_inner().role)
    }
}

fn one(common: &Common, role: Option<pb::Role>) -> anyhow::Result<()> {
    let role = given(role, "role")?;
    rows(common.json, &document(&role), std::slice::from_ref(&role))
}

fn document(role: &pb::Role) -> Value {
    json!({
        "name": role.name, "title": role.title, "permissions": role.permissions, "shipped": role.shipped,
        "all_tenants": role.all_tenants, "version": role.version, "etag": role.etag,
    })
}

fn rows(json: bool, document: &Value, roles: &[pb::Role]) -> anyhow::Result<()> {
    let row = |role: &pb::Role| {
        let whose = if role.shipped { "Regard" } else { "the tenant" };
        vec![
            role.name.clone(),
            whose.to_owned(),
            role.title.clone(),
            role.permissions.join(" "),
        ]
    };
    let header = ["role", "of", "for", "permissions"];
    tell(json, document, &header, roles.iter().map(row).collect())
}

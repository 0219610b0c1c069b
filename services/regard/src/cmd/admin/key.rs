//! `regard admin key`

use std::io::{Write as _, stdout};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use regard_proto::customer::v1 as pb;
use serde_json::{Value, json};

use super::{Common, tell, time, told};
use crate::reach::{self, given, refused, typed_day};

/// `regard admin key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Create a key and print it: it is not shown again.
    Create(Create),
    /// List keys.
    List(List),
    /// End a key for good, on every server within 2 seconds.
    Revoke(Revoke),
}

/// Arguments of `regard admin key create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Who uses it: the caller's name in logs and the audit.
    name: String,
    /// A role that it has; may be repeated. `regard admin role list` tells which there are.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    /// The day (in UTC) at whose end it stops working [default: never].
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard admin key list`.
#[derive(Debug, Args)]
pub struct List {
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `regard admin key revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The key's id, as `regard admin key list` tells it.
    id: String,
    /// The tenant [default: the caller's own].
    #[arg(long, default_value = "")]
    tenant: String,
    #[command(flatten)]
    common: Common,
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<()> {
        reach::runtime()?.block_on(async {
            match self {
                Self::Create(create) => create.run().await,
                Self::List(list) => list.run().await,
                Self::Revoke(revoke) => revoke.run().await,
            }
        })
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let until = typed_day("--until", self.until.as_deref())?.map(|day| {
            let next = regard_types::Day(day.0.saturating_add(1));
            let (seconds, nanos) = next.start(&regard_types::Zone::utc()).seconds();
            prost_types::Timestamp { seconds, nanos }
        });
        let client = self.common.server.client().await?;
        let request = pb::CreateApiKeyRequest {
            api_key: Some(pb::ApiKey {
                name: self.name.clone(),
                roles: self.roles.clone(),
                expire_time: until,
                ..pb::ApiKey::default()
            }),
            tenant: self.tenant.clone(),
            // So that an answer that is lost on its way can be asked for again.
            request_id: uuid::Uuid::new_v4().to_string(),
            ..pb::CreateApiKeyRequest::default()
        };
        let answer = client.access().create_api_key(request).await;
        let answer = answer.map_err(refused)?.into_inner();
        let key = given(answer.api_key, "api_key")?;
        if self.common.json {
            let mut document = document(&key);
            document["secret"] = Value::String(answer.secret);
            return tell(true, &document, &[], Vec::new());
        }
        let mut out = stdout().lock();
        writeln!(out, "{}", answer.secret).context("the key could not be printed")?;
        writeln!(
            out,
            "This is the key of {} in the tenant {} ({}), until {}. Keep it safe: it is not shown again. Its id is {}.",
            key.name,
            key.tenant,
            key.roles.join(", "),
            key.expire_time
                .as_ref()
                .map_or_else(|| "it is revoked".to_owned(), |at| time(Some(at))),
            key.id
        )?;
        Ok(())
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let mut keys = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListApiKeysRequest {
                tenant: self.tenant.clone(),
                page_size: 1_000,
                page_token,
            };
            let answer = client.access().list_api_keys(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            keys.extend(answer.api_keys);
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        rows(&self.common, &keys)
    }
}

impl Revoke {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.common.server.client().await?;
        let request = pb::RevokeApiKeyRequest {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            ..pb::RevokeApiKeyRequest::default()
        };
        let answer = client.access().revoke_api_key(request).await;
        let key = given(answer.map_err(refused)?.into_inner().api_key, "api_key")?;
        if self.common.json {
            return tell(true, &document(&key), &[], Vec::new());
        }
        rows(&self.common, &[key])
    }
}

fn document(key: &pb::ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "tenant": key.tenant, "roles": key.roles, "prefix": key.prefix,
        "expire_time": told(key.expire_time.as_ref()), "revoke_time": told(key.revoke_time.as_ref()),
        "creator": key.creator, "create_time": told(key.create_time.as_ref()),
    })
}

fn rows(common: &Common, keys: &[pb::ApiKey]) -> anyhow::Result<()> {
    let row = |key: &pb::ApiKey| {
        let state = match (&key.revoke_time, &key.expire_time) {
            (Some(at), _) => format!("revoked {}", time(Some(at))),
            (None, Some(at)) => format!("until {}", time(Some(at))),
            (None, None) => "no end".to_owned(),
        };
        vec![
            key.id.clone(),
            key.name.clone(),
            key.roles.join(", "),
            key.prefix.clone(),
            state,
        ]
    };
    let document = json!({ "keys": keys.iter().map(document).collect::<Vec<_>>() });
    let header = ["id", "name", "roles", "begins with", "state"];
    tell(
        common.json,
        &document,
        &header,
        keys.iter().map(row).collect(),
    )
}

//! What the commands that call a running suite share: where it is, who calls, and how customers are named.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use regard_client::{Client, Options, Tls, describe};
use regard_proto::common::v1::{CustomerRef, SourceKey, customer_ref};
use regard_proto::customer::v1::{BatchGetCustomersRequest, GetTenantRequest};
use regard_proto::types::Date;
use regard_types::Day;
use tonic::Status;

use crate::failure::usage;
use crate::suite::LOCAL_KEY;

/// Where the suite answers, and who calls.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// Address of the suite: http:// or https://, several servers with commas between.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "REGARD_ADDRESS",
        default_value = "http://127.0.0.1:7400"
    )]
    server: String,
    /// Key of the caller [default: for a suite on this machine, the key in its data folder, which acts in the tenant "default"].
    #[arg(long, value_name = "KEY", env = "REGARD_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File that contains the key.
    #[arg(
        long,
        value_name = "FILE",
        env = "REGARD_KEY_FILE",
        conflicts_with = "key"
    )]
    key_file: Option<PathBuf>,
    /// File with a token (JWT) that names the caller, in the place of a key.
    #[arg(long, value_name = "FILE", env = "REGARD_TOKEN_FILE", conflicts_with_all = ["key", "key_file"])]
    token_file: Option<PathBuf>,
    /// Data folder of a suite on this machine, where its key is found.
    #[arg(
        long = "data",
        value_name = "FOLDER",
        env = "REGARD_DATA__FOLDER",
        default_value = "regard-data"
    )]
    data_folder: PathBuf,
    /// For https: PEM file of the authorities that the suite's certificate is believed by [default: those of browsers].
    #[arg(long, value_name = "FILE", env = "REGARD_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// For https: PEM file of the caller's own certificate.
    #[arg(
        long,
        value_name = "FILE",
        env = "REGARD_CERT_FILE",
        requires = "cert_key_file"
    )]
    cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(
        long,
        value_name = "FILE",
        env = "REGARD_CERT_KEY_FILE",
        requires = "cert_file"
    )]
    cert_key_file: Option<PathBuf>,
    /// For https: the name in the suite's certificate, where it is not the address's.
    #[arg(long, value_name = "NAME", env = "REGARD_SERVER_NAME")]
    server_name: Option<String>,
}

impl Server {
    /// Connects.
    ///
    /// # Errors
    /// No address, no server there, or a key that cannot be read.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let api_key = match &self.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("--key-file: cannot read {}", path.display()))?;
                Some(text.trim().to_owned())
            }
            None => self
                .key
                .clone()
                .filter(|key| !key.is_empty())
                .or_else(|| self.local_key()),
        };
        let options = Options {
            api_key,
            token_file: self.token_file.clone(),
            tls: self.tls(),
            ..Options::default()
        };
        Ok(Client::connect(&self.server, &options).await?)
    }

    /// The key of the data folder, where nothing else says who calls; it never leaves this machine.
    fn local_key(&self) -> Option<String> {
        let named = self.token_file.is_some() || self.cert_file.is_some();
        let here = |address: &str| {
            let uri = address.trim().parse::<tonic::transport::Uri>().ok();
            uri.and_then(|uri| {
                uri.host()
                    .map(|host| host.trim_matches(['[', ']']).to_owned())
            })
            .is_some_and(|host| {
                host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            })
        };
        if named || !self.server.split(',').all(here) {
            return None;
        }
        let text = std::fs::read_to_string(self.data_folder.join(LOCAL_KEY)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Certificates count for https only; in the environment they may stand beside any address.
    fn tls(&self) -> Option<Tls> {
        self.server.starts_with("https://").then(|| Tls {
            ca_file: self.ca_file.clone(),
            identity: self.cert_file.clone().zip(self.cert_key_file.clone()),
            server_name: self.server_name.clone(),
        })
    }
}

/// One thread is enough for a caller.
///
/// # Errors
/// The system gives no thread.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the caller's thread")
}

/// A status as an error for people.
// By value, so that it stands in `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub fn refused(status: Status) -> anyhow::Error {
    anyhow!("{}", describe(&status))
}

/// The field of a message that a server always fills.
///
/// # Errors
/// It did not.
pub fn given<T>(field: Option<T>, name: &str) -> anyhow::Result<T> {
    field.ok_or_else(|| anyhow!("the server's answer has no {name}; is it another version?"))
}

/// A customer by a key.
#[must_use]
pub fn customer_key(source: &str, external_id: &str) -> CustomerRef {
    CustomerRef {
        customer: Some(customer_ref::Customer::Key(key(source, external_id))),
    }
}

/// A key.
#[must_use]
pub fn key(source: &str, external_id: &str) -> SourceKey {
    SourceKey {
        source: source.to_owned(),
        external_id: external_id.to_owned(),
    }
}

/// A customer as typed: a UUID, `source:id`, or an id of the usual source.
#[must_use]
pub fn customer(text: &str, usual: &str) -> CustomerRef {
    if uuid::Uuid::try_parse(text).is_ok() {
        return CustomerRef {
            customer: Some(customer_ref::Customer::Id(text.to_owned())),
        };
    }
    match text.split_once(':') {
        Some((source, id)) => customer_key(source, id),
        None => customer_key(usual, text),
    }
}

/// A day as typed.
///
/// # Errors
/// It is none.
pub fn typed_day(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Day>> {
    text.map(|text| Day::parse(text).map_err(|e| usage(format!("{flag} {text}: {e}"))))
        .transpose()
}

/// A day as typed, for the wire.
///
/// # Errors
/// It is none.
pub fn day(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Date>> {
    Ok(typed_day(flag, text)?.map(date))
}

/// A day on the wire.
#[must_use]
pub fn date(day: Day) -> Date {
    regard_server::wire::date(day)
}

/// A day of the wire as text; a dash where there is none.
#[must_use]
pub fn day_text(date: Option<&Date>) -> String {
    date.map_or_else(
        || "–".to_owned(),
        |d| format!("{:04}-{:02}-{:02}", d.year, d.month, d.day),
    )
}

/// The keys of customers by their ids, as `source:id`; empty where the caller may not ask or customers are elsewhere.
pub async fn names(client: &Client, ids: &[String]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for ids in ids.chunks(1_000) {
        let request = BatchGetCustomersRequest {
            customers: ids.iter().map(|id| customer(id, "")).collect(),
        };
        let Ok(answer) = client.customers().batch_get_customers(request).await else {
            return names;
        };
        for customer in answer.into_inner().customers {
            if let Some(key) = customer.key {
                names.insert(customer.id, format!("{}:{}", key.source, key.external_id));
            }
        }
    }
    names
}

/// Digits of the minor unit of the tenant's currency; 2 where the caller may not ask.
pub async fn places(client: &Client) -> i32 {
    let request = GetTenantRequest::default();
    let tenant = client.tenants().get_tenant(request).await;
    let currency = tenant.ok().and_then(|t| t.into_inner().tenant);
    let currency = currency.and_then(|t| regard_types::Currency::parse(&t.currency).ok());
    currency.map_or(2, |c| i32::try_from(c.digits()).unwrap_or(2))
}

//! Which services run, where their data lie, and where their neighbours are.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use regard_cache::Settings as CacheSettings;
use regard_client::{Client, Options};
use regard_database::{DatabaseSettings, LocalKey, MasterKeys};
use regard_scoring::follow::Source;
use regard_server::{
    Identity, IdentitySettings, KeySettings, Pipe, Running, ServerSettings, Shared,
    TelemetrySettings, TlsSettings, service_caller,
};
use regard_types::{Clock, IdSecret, Service};
use serde::{Deserialize, Serialize};

/// The key of a scoring service in another process.
pub const SERVICE_KEY: &str = "key-of-the-scoring-service";

/// The id secret of every test.
#[must_use]
pub fn ids() -> IdSecret {
    IdSecret([7; 32])
}

/// The key of a caller in a tenant, for servers behind TCP.
#[must_use]
pub fn key_of(tenant: &str) -> String {
    format!("key-of-tenant-{tenant}")
}

/// What a process serves; a service without a database is not served by it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// The customer service's database.
    pub customer: String,
    /// The feedback service's database.
    pub feedback: String,
    /// The scoring service's database.
    pub scoring: String,
    /// Where scoring finds a customer service that is not served here, such as `http://127.0.0.1:7400`.
    pub customer_at: String,
    /// Where scoring finds a feedback service that is not served here.
    pub feedback_at: String,
    /// Redis; empty for none.
    pub redis: String,
    /// Where gRPC listens; empty for the pipe alone.
    pub listen: String,
    /// The listener's certificates; none listens without TLS.
    pub tls: TlsSettings,
    /// Where the figures are; empty for none.
    pub figures: String,
    /// Where traces and figures go; only a process of its own sends them.
    pub telemetry: TelemetrySettings,
    /// Whether PostgreSQL's row-level security is off.
    pub bare: bool,
    /// Tenants that have a key, see [`key_of`].
    pub tenants: Vec<String>,
    /// Who else may call; none lets callers without a key act in the tenant `default`.
    pub identity: Option<IdentitySettings>,
    /// How long open calls may go on after a stop was asked for; 0: half a second.
    pub grace_ms: u64,
    /// How far scoring may be behind and still be ready; 0: a minute.
    pub ready_lag_ms: u64,
}

/// Services that run in this process.
pub struct Open {
    /// The server.
    pub running: Running,
    /// The way in.
    pub pipe: Pipe,
}

fn database(url: &str, bare: bool) -> DatabaseSettings {
    DatabaseSettings {
        row_security: !bare,
        max_connections: 12,
        acquire_ms: 10_000,
        heartbeat_ms: 100,
        master: Some(MasterKeys::new(LocalKey::new([9; 32]))),
        migrate_url: regard_testkit::migrate_url(url),
        ..DatabaseSettings::new(url)
    }
}

fn client_to(address: &str) -> anyhow::Result<Client> {
    let options = Options {
        api_key: Some(SERVICE_KEY.to_owned()),
        connect: Duration::from_secs(2),
        keepalive: (Duration::from_secs(1), Duration::from_secs(2)),
        ..Options::default()
    };
    Ok(Client::lazy(address, &options)?)
}

impl Plan {
    /// Opens the services and serves them.
    ///
    /// # Errors
    /// A store or an address that cannot be had.
    pub async fn open(&self, clock: &Clock) -> anyhow::Result<Open> {
        let pipe = Pipe::new();
        let services = self.services(clock, &pipe).await?;
        let settings = ServerSettings {
            listen: self.listen.clone(),
            tls: self.tls.clone(),
            metrics_listen: self.figures.clone(),
            grace_ms: if self.grace_ms == 0 {
                500
            } else {
                self.grace_ms
            },
            ready_ms: 200,
            ..ServerSettings::default()
        };
        let running = Running::start(services, &settings, self.identity()?, &pipe).await?;
        Ok(Open { running, pipe })
    }

    /// Opens the services, for whoever serves them.
    ///
    /// # Errors
    /// A store that cannot be had.
    pub async fn services(
        &self,
        clock: &Clock,
        pipe: &Pipe,
    ) -> anyhow::Result<Vec<regard_server::Service>> {
        let shared = || Shared {
            clock: clock.clone(),
            ids: ids(),
        };
        let mut services = Vec::new();
        if !self.customer.is_empty() {
            let settings = regard_customer::Settings::new(database(&self.customer, self.bare));
            let opened = regard_customer::open(settings, shared()).await;
            services.push(opened.map_err(|fault| anyhow!("customer: {fault:?}"))?);
        }
        if !self.feedback.is_empty() {
            let settings = regard_feedback::Settings {
                customer: self.customer_client("feedback", pipe)?,
                ..regard_feedback::Settings::new(database(&self.feedback, self.bare))
            };
            services.push(
                regard_feedback::open(settings, shared())
                    .await
                    .context("feedback")?,
            );
        }
        if !self.scoring.is_empty() {
            let settings = regard_scoring::Settings {
                database: database(&self.scoring, self.bare),
                cache: CacheSettings {
                    capacity: 16 << 20,
                    ..CacheSettings::default()
                },
                redis_url: self.redis.clone(),
                ready_lag: Duration::from_millis(if self.ready_lag_ms == 0 {
                    60_000
                } else {
                    self.ready_lag_ms
                }),
            };
            let sources = self.sources(pipe)?;
            let opened = regard_scoring::open(settings, shared(), sources).await;
            services.push(opened.map_err(|fault| anyhow!("scoring: {fault:?}"))?);
        }
        Ok(services)
    }

    /// The way of a service to the customer service; none where there is none.
    fn customer_client(&self, from: &str, pipe: &Pipe) -> anyhow::Result<Option<Client>> {
        if !self.customer_at.is_empty() {
            return Ok(Some(client_to(&self.customer_at)?));
        }
        if self.customer.is_empty() {
            return Ok(None);
        }
        let channel = pipe.channel_of(service_caller(from, &ids()));
        Ok(Some(Client::over(channel, &Options::default())?))
    }

    fn sources(&self, pipe: &Pipe) -> anyhow::Result<Vec<Source>> {
        let mut out = Vec::new();
        for (feed, here, there) in [
            (Service::Customer, &self.customer, &self.customer_at),
            (Service::Feedback, &self.feedback, &self.feedback_at),
        ] {
            if !there.is_empty() {
                out.push(Source {
                    feed,
                    client: client_to(there)?,
                });
            } else if !here.is_empty() {
                let channel = pipe.channel_of(service_caller("scoring", &ids()));
                out.push(Source {
                    feed,
                    client: Client::over(channel, &Options::default())?,
                });
            }
        }
        Ok(out)
    }

    /// Who may call.
    ///
    /// # Errors
    /// Settings that are none.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        let key = |key: String, name: &str, tenant: &str, all_tenants| KeySettings {
            key,
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            roles: Vec::new(),
            permissions: vec!["*".to_owned()],
            all_tenants,
        };
        let mut keys = vec![key(SERVICE_KEY.to_owned(), "scoring", "default", true)];
        keys.extend(
            self.tenants
                .iter()
                .map(|tenant| key(key_of(tenant), "test", tenant, false)),
        );
        let mut settings = self.identity.clone().unwrap_or(IdentitySettings {
            embedded: true,
            ..IdentitySettings::default()
        });
        settings.keys.extend(keys);
        Identity::new(&settings, &ids(), "identity").map_err(|bad| anyhow!("{bad:?}"))
    }
}

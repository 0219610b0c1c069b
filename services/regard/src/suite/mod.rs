//! The suite as one process runs it: which services, on which stores, behind which door.

mod identity;
#[cfg(test)]
mod mapping_tests;
mod master;
mod peer;
mod secret;
mod services;
mod store;

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, anyhow, bail};
use regard_client::{Client, Options};
use regard_server::{LimitSettings, Pipe, Running, ServerSettings, Shared};
use regard_types::Clock;

pub use identity::LOCAL_KEY;
pub use services::{Which, migrate};
pub use store::stores;

use crate::settings::Settings;

/// A suite that runs. [`Suite::stop`] ends it in order.
pub struct Suite {
    running: Running,
    pipe: Pipe,
    secure: bool,
}

/// How a suite is started.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The configuration in effect.
    pub settings: &'a Settings,
    /// The services of this process.
    pub services: &'a [Which],
    /// Whether callers without a key may come from other machines.
    pub insecure_default: bool,
    /// Whether callers may come from other machines without TLS.
    pub insecure_plaintext: bool,
}

impl Suite {
    /// Opens stores and services and begins to serve. An empty `server.listen` serves this process only.
    ///
    /// # Errors
    /// What cannot be opened, or must not be served as asked; each names its setting.
    pub async fn start(start: Start<'_>) -> anyhow::Result<Self> {
        let settings = start.settings;
        let server = server_settings(settings)?;
        refuse_open_door(&start, &server)?;
        let ids = secret::id_secret(settings, start.services)?;
        let identity = identity::identity(settings, start.services, &server, &ids)?;
        let pipe = Pipe::new();
        let shared = Shared {
            clock: Clock::System,
            ids,
        };
        let master = master::master(settings, start.services).await?;
        let services = services::open(settings, start.services, &shared, &pipe, master).await?;
        let directory = identity::directory(settings, start.services, &shared, &pipe)?;
        let identity = identity.with_directory(directory);
        let running = Running::start(services, &server, identity, &pipe).await?;
        Ok(Self {
            running,
            pipe,
            secure: server.tls.is_set(),
        })
    }

    /// Where gRPC listens; none if it serves this process only.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.address()
    }

    /// How callers reach it: `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Where the page of figures is.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.metrics_address()
    }

    /// A client through memory: the same edge as over TCP, without a port.
    ///
    /// # Errors
    /// The key cannot be sent.
    pub fn client(&self, key: &str) -> anyhow::Result<Client> {
        let options = Options {
            api_key: (!key.is_empty()).then(|| key.to_owned()),
            ..Options::default()
        };
        Ok(Client::over(self.pipe.channel(), &options)?)
    }

    /// Ends in order and in bounded time.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Many threads, so that a model that is fitted keeps no caller waiting.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve")
}

fn server_settings(settings: &Settings) -> anyhow::Result<ServerSettings> {
    let server = &settings.server;
    Ok(ServerSettings {
        listen: resolved("server.listen", &server.listen)?,
        metrics_listen: resolved("server.metrics_listen", &server.metrics_listen)?,
        deadline_ms: server.default_deadline_ms,
        keepalive_ms: server.keepalive_ms,
        keepalive_timeout_ms: server.keepalive_timeout_ms,
        max_connection_age_ms: server.max_connection_age_ms,
        max_connection_age_grace_ms: server.max_connection_age_grace_ms,
        stop_delay_ms: server.stop_delay_ms,
        grace_ms: server.drain_grace_ms,
        tls: server.tls.clone(),
        hand_back_ms: server.hand_back_ms,
        ready_ms: server.ready_ms,
        reflection: server.reflection,
        limits: LimitSettings {
            redis_url: secret::redis_url(settings)?,
            ..settings.limits.clone()
        },
    })
}

/// `localhost:7400` as an address of numbers.
fn resolved(key: &str, text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let mut found = text
        .to_socket_addrs()
        .with_context(|| format!("{key}: {text} is no address of this machine"))?;
    let first = found
        .next()
        .ok_or_else(|| anyhow!("{key}: {text} is no address of this machine"))?;
    Ok(first.to_string())
}

/// Whether this machine alone reaches the server.
fn is_near(server: &ServerSettings) -> bool {
    let address = server.listen.parse::<SocketAddr>();
    address.map_or(true, |address| address.ip().is_loopback())
}

/// What other machines reach is behind TLS, and each call names its caller.
fn refuse_open_door(start: &Start<'_>, server: &ServerSettings) -> anyhow::Result<()> {
    let far = !is_near(server);
    if far && start.settings.identity.allow_default && !start.insecure_default {
        bail!(
            "server.listen is {}, which other machines reach, and identity.allow_default lets every caller without a key do \
             everything in the tenant \"default\". Set identity.allow_default = false and give keys in identity.keys; or, where \
             all who reach it may do that, add --insecure-allow-default",
            server.listen
        );
    }
    if far && !server.tls.is_set() && !start.insecure_plaintext {
        bail!(
            "server.listen is {}, which other machines reach, and without TLS whoever sits between reads every key and every \
             customer. Set server.tls.cert_file and server.tls.key_file; or, where a proxy or a mesh in front of it does TLS, \
             add --insecure-plaintext",
            server.listen
        );
    }
    Ok(())
}

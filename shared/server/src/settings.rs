//! Settings of the server, with their bounds. Units stand in the names.

use serde::{Deserialize, Serialize};

/// A value out of bounds, named by its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {found} is not allowed; expected {expected}")]
pub struct SettingsError {
    /// The key, such as `server.grace_ms`.
    pub key: String,
    /// What it holds; never a secret.
    pub found: String,
    /// What is expected.
    pub expected: String,
}

impl SettingsError {
    /// An error of a key.
    // By value, so that literals and numbers can be given as they are.
    #[allow(clippy::needless_pass_by_value)]
    pub fn new(
        key: impl Into<String>,
        found: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

/// How the server listens, limits and stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Address of gRPC and gRPC-Web, such as `127.0.0.1:7400`; port 0 takes a free one; empty serves this process only.
    pub listen: String,
    /// Address of the Prometheus page `/metrics`; empty is off.
    pub metrics_listen: String,
    /// Longest time of a unary call, milliseconds: 1 to 3,600,000. A caller's shorter deadline goes first.
    pub deadline_ms: u64,
    /// Unary calls in flight at once, 1 to 1,000,000; more are refused with RESOURCE_EXHAUSTED.
    pub max_calls: usize,
    /// Streams open at once, 1 to 1,000,000; more are refused with RESOURCE_EXHAUSTED.
    pub max_streams: usize,
    /// Pause between keepalive pings, milliseconds: 1,000 to 3,600,000.
    pub keepalive_ms: u64,
    /// How long a ping may stay unanswered, milliseconds: 100 to 600,000.
    pub keepalive_timeout_ms: u64,
    /// Age at which a connection is asked to leave, so that load spreads, milliseconds: 0 (never), or 1,000 to 86,400,000.
    pub max_connection_age_ms: u64,
    /// Pause between NOT_SERVING and the end of accepting, milliseconds: 0 to 60,000. For balancers that must notice.
    pub stop_delay_ms: u64,
    /// How long open calls may go on after that, milliseconds: 0 to 600,000.
    pub grace_ms: u64,
    /// Pause between two questions whether a service is ready, milliseconds: 100 to 60,000.
    pub ready_ms: u64,
    /// Whether the reflection service is served.
    pub reflection: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7400".to_owned(),
            metrics_listen: String::new(),
            deadline_ms: 30_000,
            max_calls: 1_024,
            max_streams: 1_024,
            keepalive_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            max_connection_age_ms: 300_000,
            stop_delay_ms: 0,
            grace_ms: 10_000,
            ready_ms: 2_000,
            reflection: true,
        }
    }
}

impl ServerSettings {
    /// Checks every bound; `at` is the section's name.
    ///
    /// # Errors
    /// Every value out of bounds, each with its key.
    pub fn check(&self, at: &str) -> Result<(), Vec<SettingsError>> {
        let calls = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let bounds = [
            ("deadline_ms", self.deadline_ms, 1, 3_600_000),
            ("max_calls", calls(self.max_calls), 1, 1_000_000),
            ("max_streams", calls(self.max_streams), 1, 1_000_000),
            ("keepalive_ms", self.keepalive_ms, 1_000, 3_600_000),
            (
                "keepalive_timeout_ms",
                self.keepalive_timeout_ms,
                100,
                600_000,
            ),
            ("stop_delay_ms", self.stop_delay_ms, 0, 60_000),
            ("grace_ms", self.grace_ms, 0, 600_000),
            ("ready_ms", self.ready_ms, 100, 60_000),
        ];
        let mut bad = bounds
            .iter()
            .filter(|(_, value, least, most)| value < least || value > most)
            .map(|(name, value, least, most)| {
                SettingsError::new(format!("{at}.{name}"), value, format!("{least} to {most}"))
            })
            .collect::<Vec<_>>();
        let age = self.max_connection_age_ms;
        if age != 0 && !(1_000..=86_400_000).contains(&age) {
            bad.push(SettingsError::new(
                format!("{at}.max_connection_age_ms"),
                age,
                "0, or 1000 to 86400000",
            ));
        }
        for (name, value) in [
            ("listen", &self.listen),
            ("metrics_listen", &self.metrics_listen),
        ] {
            if !value.is_empty() && value.parse::<std::net::SocketAddr>().is_err() {
                let expected = "an address and port such as 127.0.0.1:7400, or nothing";
                bad.push(SettingsError::new(format!("{at}.{name}"), value, expected));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or levels by target: `info,regard_server=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentitySettings {
    /// Whether a call without a key is the default caller of the tenant `default` with every permission.
    pub embedded: bool,
    /// Static keys.
    pub keys: Vec<KeySettings>,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            embedded: true,
            keys: Vec::new(),
        }
    }
}

/// One static key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The secret that the caller sends as `authorization: Bearer …` or `x-api-key`; 16 to 256 visible ASCII characters.
    pub key: String,
    /// The caller's name, 1 to 64 characters.
    pub name: String,
    /// The tenant's name: lower case letters, digits, dash; 1 to 63 characters.
    pub tenant: String,
    /// Permissions such as `order.write`; `*` is every one.
    #[serde(default = "every_permission")]
    pub permissions: Vec<String>,
    /// Whether it reads every tenant's changes: for the scoring service.
    #[serde(default)]
    pub all_tenants: bool,
}

fn every_permission() -> Vec<String> {
    vec!["*".to_owned()]
}

impl std::fmt::Debug for KeySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySettings")
            .field("key", &"***")
            .field("name", &self.name)
            .field("tenant", &self.tenant)
            .field("permissions", &self.permissions)
            .field("all_tenants", &self.all_tenants)
            .finish()
    }
}

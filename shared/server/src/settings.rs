//! Settings of the server, with their bounds. Units stand in the names.

use serde::{Deserialize, Serialize};

use crate::limit::LimitSettings;

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
    /// Pause between keepalive pings, milliseconds: 1,000 to 3,600,000.
    pub keepalive_ms: u64,
    /// How long a ping may stay unanswered, milliseconds: 100 to 600,000.
    pub keepalive_timeout_ms: u64,
    /// Age at which a connection is asked to leave, so that load spreads, milliseconds: 0 (never), or 1,000 to 86,400,000.
    pub max_connection_age_ms: u64,
    /// How long the calls of a connection that was asked to leave may go on, milliseconds: 0 (as they like) to 86,400,000.
    /// Then its streams are ended with UNAVAILABLE, and a second later it is cut.
    pub max_connection_age_grace_ms: u64,
    /// Pause between NOT_SERVING and the end of accepting, milliseconds: 0 to 60,000. For balancers that must notice.
    pub stop_delay_ms: u64,
    /// How long open calls may go on after that, milliseconds: 0 to 600,000.
    pub grace_ms: u64,
    /// How long jobs may then take to end what they have begun and to hand back what they hold, milliseconds: 0 to 600,000.
    pub hand_back_ms: u64,
    /// Pause between two questions whether a service is ready, milliseconds: 100 to 60,000.
    pub ready_ms: u64,
    /// Whether the reflection service is served.
    pub reflection: bool,
    /// How much is taken in.
    pub limits: LimitSettings,
    /// Certificates of the listener.
    pub tls: TlsSettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7400".to_owned(),
            metrics_listen: String::new(),
            deadline_ms: 30_000,
            keepalive_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            max_connection_age_ms: 300_000,
            max_connection_age_grace_ms: 1_800_000,
            stop_delay_ms: 0,
            grace_ms: 10_000,
            hand_back_ms: 5_000,
            ready_ms: 2_000,
            reflection: true,
            limits: LimitSettings::default(),
            tls: TlsSettings::default(),
        }
    }
}

impl ServerSettings {
    /// Checks every bound; `at` is the section's name.
    ///
    /// # Errors
    /// Every value out of bounds, each with its key.
    pub fn check(&self, at: &str) -> Result<(), Vec<SettingsError>> {
        let bounds = [
            ("deadline_ms", self.deadline_ms, 1, 3_600_000),
            ("keepalive_ms", self.keepalive_ms, 1_000, 3_600_000),
            (
                "keepalive_timeout_ms",
                self.keepalive_timeout_ms,
                100,
                600_000,
            ),
            ("stop_delay_ms", self.stop_delay_ms, 0, 60_000),
            ("grace_ms", self.grace_ms, 0, 600_000),
            ("hand_back_ms", self.hand_back_ms, 0, 600_000),
            (
                "max_connection_age_grace_ms",
                self.max_connection_age_grace_ms,
                0,
                86_400_000,
            ),
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
        self.limits.check("limits", &mut bad);
        self.tls.check(at, &mut bad);
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

/// Certificates of the listener: PEM files, read again within seconds after they change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The server's certificate, then those between it and its authority; empty listens without TLS.
    pub cert_file: String,
    /// The private key of the certificate.
    pub key_file: String,
    /// The authorities that sign callers' certificates; empty asks callers for none.
    pub client_ca_file: String,
    /// Whether a caller must show a certificate.
    pub client_auth: ClientAuth,
}

/// Whether a caller must show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A connection without one is refused.
    #[default]
    Required,
    /// A connection without one is taken, and its calls are known by other credentials; a wrong one is refused.
    Optional,
}

impl TlsSettings {
    /// Whether the listener speaks TLS.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        !self.cert_file.is_empty()
    }

    fn check(&self, at: &str, bad: &mut Vec<SettingsError>) {
        if self.is_set() == self.key_file.is_empty() {
            let expected = "cert_file and key_file both set, or neither";
            bad.push(SettingsError::new(
                format!("{at}.tls.key_file"),
                format!("{:?}", self.key_file),
                expected,
            ));
        }
        if !self.client_ca_file.is_empty() && !self.is_set() {
            bad.push(SettingsError::new(
                format!("{at}.tls.client_ca_file"),
                &self.client_ca_file,
                "nothing, as cert_file is not set: without TLS callers show no certificate",
            ));
        }
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentitySettings {
    /// Whether a call without a key is the default caller of the tenant `default` with every permission.
    pub embedded: bool,
    /// Static keys.
    pub keys: Vec<KeySettings>,
    /// Whom DNS names of client certificates stand for. Certificates may name every role, as servers of the suite know each
    /// other by them: whoever signs them (`tls.client_ca_file`) decides who is a server and who an operator. A certificate may name its caller itself, by the URI
    /// `regard://TENANT/CALLER?role=ROLE` among its subject alternative names.
    pub certificates: Vec<CertificateSettings>,
    /// Signed tokens; none takes no tokens.
    pub jwt: Option<JwtSettings>,
}

/// Whom a DNS name of a client certificate stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// The DNS name among the certificate's subject alternative names.
    pub san: String,
    /// The tenant's name.
    pub tenant: String,
    /// The caller's name, 1 to 64 characters.
    pub name: String,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Which signed tokens (JSON Web Tokens by RS256, ES256 or EdDSA) are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSettings {
    /// Who issues them: the claim `iss`.
    pub issuer: String,
    /// Whom they are for: one of these must be in the claim `aud`.
    pub audience: Vec<String>,
    /// A file with the issuer's key set (RFC 7517); it is read again when it changes.
    pub jwks_file: String,
    /// An https address of the key set (http on this machine only); asked again after 10 minutes, and for a key that is
    /// missing, at most every 30 s.
    pub jwks_url: String,
    /// PEM file of the authorities that are believed at that address, instead of the public ones.
    pub jwks_ca_file: String,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The claim that names the roles: a list, or one text with spaces.
    pub roles_claim: String,
    /// Which of Regard's own roles tokens may name, never `service`; others that they name grant nothing. A tenant's own
    /// roles may always be named: its managers made them.
    pub roles: Vec<String>,
    /// How far clocks may differ, seconds: 0 to 60.
    pub skew_s: u64,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            jwks_file: String::new(),
            jwks_url: String::new(),
            jwks_ca_file: String::new(),
            tenant_claim: "regard_tenant".to_owned(),
            roles_claim: "regard_roles".to_owned(),
            roles: [
                "reader",
                "writer",
                "agent",
                "analyst",
                "manager",
                "privacy-officer",
            ]
            .map(str::to_owned)
            .to_vec(),
            skew_s: 30,
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
    /// Roles, of Regard or of the tenant.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Permissions beside those of the roles, such as `order.write` or `order.*`; `*` is every one. Without roles and
    /// permissions the caller has every one.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Whether it reads every tenant's changes: for the scoring service.
    #[serde(default)]
    pub all_tenants: bool,
}

impl std::fmt::Debug for KeySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySettings")
            .field("key", &"***")
            .field("name", &self.name)
            .field("tenant", &self.tenant)
            .field("roles", &self.roles)
            .field("permissions", &self.permissions)
            .field("all_tenants", &self.all_tenants)
            .finish()
    }
}

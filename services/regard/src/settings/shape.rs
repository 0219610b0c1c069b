//! The settings as structs. Meaning, units and defaults stand in `default.toml`.

use std::path::PathBuf;

use regard_server::LimitSettings;
use serde::Deserialize;

use super::Secret;

/// Everything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data: Data,
    pub server: Server,
    pub limits: LimitSettings,
    pub log: Log,
    pub telemetry: Telemetry,
    pub identity: Identity,
    pub secrets: Secrets,
    pub peer: Peer,
    pub customer: Store,
    pub feedback: Store,
    pub scoring: Scoring,
    pub cache: Cache,
}

/// `[data]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub folder: PathBuf,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: String,
    pub metrics_listen: String,
    pub default_deadline_ms: u64,
    pub keepalive_ms: u64,
    pub keepalive_timeout_ms: u64,
    pub max_connection_age_ms: u64,
    pub max_connection_age_grace_ms: u64,
    pub stop_delay_ms: u64,
    pub drain_grace_ms: u64,
    pub hand_back_ms: u64,
    pub ready_ms: u64,
    pub reflection: bool,
    pub tls: regard_server::TlsSettings,
}

/// `[peer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub customer_address: String,
    pub feedback_address: String,
    pub ca_file: String,
    pub server_name: String,
    pub cert_file: String,
    pub key_file: String,
    pub api_key: Secret,
    pub api_key_file: String,
    pub token_file: String,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub otlp_endpoint: String,
    pub otlp_ca_file: String,
    pub sample_ratio: f64,
    pub service_name: String,
    pub instance: String,
    pub export_interval_ms: u64,
    pub timeout_ms: u64,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Pretty,
    Json,
}

/// `[identity]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub allow_default: bool,
    pub keys: Vec<Key>,
    pub certificates: Vec<Certificate>,
    pub jwt: Jwt,
}

/// `[[identity.certificates]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub san: String,
    pub tenant: String,
    pub name: String,
    #[serde(default)]
    pub roles: Vec<String>,
}

/// `[identity.jwt]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    pub issuer: String,
    pub audience: String,
    pub jwks_file: String,
    pub jwks_url: String,
    pub jwks_ca_file: String,
    pub tenant_claim: String,
    pub roles_claim: String,
    pub roles: String,
    pub skew_s: u64,
}

/// `[[identity.keys]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    #[serde(default)]
    pub key: Secret,
    pub key_file: Option<PathBuf>,
    pub tenant: String,
    pub name: String,
    #[serde(default)]
    pub roles: Vec<String>,
    #[serde(default)]
    pub permissions: Vec<String>,
    #[serde(default)]
    pub all_tenants: bool,
}

/// `[secrets]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    pub id_secret: Secret,
    pub id_secret_file: String,
    pub master_key: Secret,
    pub master_key_file: String,
    pub master_key_command: String,
    pub former_master_key_file: String,
    pub former_master_key_command: String,
    pub master_key_timeout_ms: u64,
}

/// `[customer]`, `[feedback]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub database: Database,
    pub keep_changes_days: u32,
}

/// `[<service>.database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: Secret,
    pub migrate_url: Secret,
    pub row_security: RowSecurity,
    pub keep_audit_days: u32,
    pub max_connections: u32,
    pub acquire_ms: u64,
    pub statement_timeout_ms: u64,
    pub migrate: bool,
    pub pooler: bool,
    pub open_wait_ms: u64,
    pub sqlite_full_sync: bool,
    pub heartbeat_ms: u64,
}

/// Whether PostgreSQL itself keeps tenants apart, behind the services' own doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowSecurity {
    On,
    Off,
}

/// `[scoring]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    pub database: Database,
    pub stale_ms: u64,
    pub ready_lag_s: u64,
}

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub redis_url: Secret,
    pub redis_url_file: String,
    pub capacity_bytes: u64,
    pub ttl_ms: u64,
    pub answer_ms: u64,
}

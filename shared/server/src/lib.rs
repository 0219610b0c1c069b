//! regard-server: how any service starts, is secured, observed, limited and stopped; and the exit from values and
//! faults to the wire. It knows no service and no table.

pub mod audit;
mod caller;
mod command;
mod edge;
pub mod feed;
pub mod identity;
mod ingest;
mod limit;
pub mod page;
mod pipe;
pub mod privacy;
mod retention;
mod serve;
mod service;
mod settings;
mod status;
mod telemetry;
pub mod wire;

pub use caller::{caller, caller_of};
pub use command::command;
pub use edge::Unprotected;
pub use identity::{Directory, Identity, RemoteDirectory, TenantAccess, Verdict, service_caller};
pub use ingest::{Answers, Taken, answers, ingest, keyless};
pub use limit::LimitSettings;
pub use page::{KeyPart, Page};
pub use pipe::Pipe;
pub use privacy::Privacy;
pub use regard_database::{self, Command};
/// For [`audited!`] and [`change_service!`].
pub use regard_proto;
/// For [`change_service!`].
pub use regard_types;
#[doc(hidden)]
pub use serve::serve_bare;
pub use serve::{PeerCertificate, Running, ServeError, TlsError, serve, stop_signal};
pub use service::{BoxFuture, Grpc, Job, Ready, Service, Shared};
pub use settings::{
    CertificateSettings, ClientAuth, IdentitySettings, JwtSettings, KeySettings, LogFormat,
    LogSettings, ServerSettings, SettingsError, TlsSettings,
};
pub use status::{MAX_VIOLATIONS, code, status};
pub use telemetry::{
    FIGURES, Figure, FigureKind, Telemetry, TelemetrySettings, caused_by, collect_figures,
    init_logs, init_telemetry, job_ran, rows_came, set_log_level,
};
/// For [`Job::handing_back`].
pub use tokio_util::sync::CancellationToken;
/// For [`limited!`].
pub use tonic;

/// Largest message in bytes, both ways, everywhere.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

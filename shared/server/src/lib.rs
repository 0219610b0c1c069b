//! regard-server: how any service starts, is secured, observed, limited and stopped; and the exit from values and
//! faults to the wire. It knows no service and no table.

mod caller;
mod command;
mod edge;
pub mod feed;
mod figures;
mod identity;
mod ingest;
mod logs;
pub mod page;
mod pipe;
mod retention;
mod serve;
mod service;
mod settings;
mod status;
pub mod wire;

pub use caller::caller;
pub use command::command;
pub use edge::Unprotected;
pub use figures::collect_figures;
pub use identity::{Identity, service_caller};
pub use ingest::{Answers, answers, ingest};
pub use logs::init_logs;
pub use page::{KeyPart, Page};
pub use pipe::Pipe;
pub use regard_database::Command;
pub use serve::{Running, ServeError, serve, stop_signal};
pub use service::{BoxFuture, Grpc, Job, Ready, Service, Shared};
pub use settings::{
    IdentitySettings, KeySettings, LogFormat, LogSettings, ServerSettings, SettingsError,
};
pub use status::{MAX_VIOLATIONS, code, status};
/// For [`limited!`].
pub use tonic;

/// Largest message in bytes, both ways, everywhere.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

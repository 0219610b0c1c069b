//! regard-server: how any service starts, is secured, observed, limited and stopped; and the exit from values and
//! faults to the wire. It knows no service and no table.

mod caller;
mod command;
mod ingest;
pub mod page;
mod service;
mod status;
pub mod wire;

pub use caller::caller;
pub use command::command;
pub use ingest::{Answers, answers, ingest};
pub use page::{KeyPart, Page};
pub use service::{BoxFuture, Grpc, Job, Ready, Service, Shared};
pub use status::{MAX_VIOLATIONS, code, status};
/// For [`limited!`].
pub use tonic;

/// Largest message in bytes, both ways, everywhere.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// A mutating request as the database sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// The RPC.
    pub method: &'static str,
    /// Names the call for its repeats; empty where the caller wants none.
    pub request_id: &'a str,
    /// Of the content without the request id.
    pub digest: [u8; 32],
    /// Whether everything is checked and nothing stored.
    pub validate_only: bool,
}

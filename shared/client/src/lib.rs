//! regard-client: the Rust client of the suite: connections to all servers behind a name, TLS, keys and tokens, deadlines,
//! retries that are safe, change tokens, and errors that people can read. Every request goes through the contract's own
//! stubs.

mod address;
mod balance;
mod budget;
mod carry;
mod client;
mod credential;
mod describe;
mod failed;
mod lent;
mod retry;
mod session;
mod tls;
mod transport;

pub use client::{Client, ConnectError, Options};
pub use describe::describe;
pub use session::Session;
pub use tls::Tls;
pub use transport::Transport;

/// Largest message in bytes, both ways.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// HTTP/2 windows: batches of some megabytes must not wait for window updates.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

//! regard-client: the Rust client of the suite: a channel that notices dead connections, keys, deadlines, retries that
//! are safe, change tokens, and errors that people can read. Every request goes through the contract's own stubs.

mod client;
mod describe;
mod retry;
mod session;
mod transport;

pub use client::{Client, ConnectError, Options};
pub use describe::describe;
pub use session::Session;
pub use transport::Transport;

/// Largest message in bytes, both ways.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

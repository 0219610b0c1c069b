//! `regard log-level`: what a running server of this machine logs from now on.

use std::io::{Read as _, Write as _, stdout};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::config::SettingsArgs;

/// Longest wait for the server.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `regard log-level`.
#[derive(Debug, Args)]
#[command(
    after_help = "Holds until the server stops; log.level of the settings is what it begins with. The server must have a \
listener of figures (server.metrics_listen), and be on this machine."
)]
pub struct LogLevel {
    /// error, warn, info, debug, trace, off, or a filter such as info,regard_scoring=debug.
    level: String,
    /// Where the server's figures are [default: server.metrics_listen of the settings].
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl LogLevel {
    /// Runs the command.
    ///
    /// # Errors
    /// No listener of figures, no server there, or a level that is none.
    pub fn run(self) -> anyhow::Result<()> {
        let address = match self.metrics {
            Some(address) => address,
            None => self.settings.load()?.settings.server.metrics_listen,
        };
        if address.is_empty() {
            bail!(
                "server.metrics_listen is not set: the server has no listener that the level could be changed at; set it to an \
                 address such as 127.0.0.1:7401 and start the server again, or name the address with --metrics"
            );
        }
        put(&address, &self.level)?;
        writeln!(stdout(), "the server at {address} logs {}", self.level)?;
        Ok(())
    }
}

fn put(address: &str, level: &str) -> anyhow::Result<()> {
    let away = || format!("no server has its figures at {address}");
    let found = address.to_socket_addrs().with_context(away)?.next();
    let found = found.ok_or_else(|| anyhow!("{address} is no address"))?;
    let mut stream = TcpStream::connect_timeout(&found, PATIENCE).with_context(away)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = level.len();
    write!(
        stream,
        "PUT /log-level HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{level}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(away)?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let text = text.trim();
    if text.is_empty() {
        bail!("what answers at {address} is no server of this suite");
    }
    bail!("{level}: {text}")
}

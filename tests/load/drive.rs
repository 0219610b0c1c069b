//! The load generator: unary calls with a fixed number in flight. It runs as a process of its own, so that it can
//! be pinned and its cost is not the server's.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::wire::Raw;

/// Callers that share a connection.
const A_CONNECTION: usize = 16;

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Drive {
    /// `http://host:port`.
    #[arg(long)]
    pub address: String,
    /// `/package.Service/Method`.
    #[arg(long)]
    pub path: String,
    /// Calls in flight.
    #[arg(long)]
    pub concurrency: usize,
    /// Encoded requests, each after its length as four bytes, little endian.
    #[arg(long)]
    pub bodies: PathBuf,
    /// Sends the bodies in turn for this long.
    #[arg(long, default_value_t = 0.0)]
    pub seconds: f64,
    /// Sends bodies `from` to `from + count`, each once.
    #[arg(long, default_value_t = 0)]
    pub from: usize,
    /// How many; 0 for a run by time.
    #[arg(long, default_value_t = 0)]
    pub count: usize,
    /// The key that each call brings along; empty for none.
    #[arg(long, default_value = "")]
    pub key: String,
    /// The certificate authority of a server that speaks TLS; empty for one that does not.
    #[arg(long, default_value = "")]
    pub ca: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Driven {
    /// Calls that were answered well.
    pub calls: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// Bytes of the last answer.
    pub answer_bytes: usize,
    /// Median time of a call, microseconds.
    pub p50_us: f64,
    /// 99th percentile of a call, microseconds.
    pub p99_us: f64,
}

impl Drive {
    /// Runs in a process of its own, pinned to a core where one is given.
    ///
    /// # Errors
    /// When a call failed.
    pub fn spawn(&self, core: Option<usize>) -> anyhow::Result<Driven> {
        let own = std::env::current_exe()?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(own);
                command
            }
            None => Command::new(own),
        };
        let output = command
            .args(["drive", "--address", &self.address, "--path", &self.path])
            .arg("--bodies")
            .arg(&self.bodies)
            .args(["--concurrency", &self.concurrency.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--from", &self.from.to_string()])
            .args(["--count", &self.count.to_string()])
            .args(["--key", &self.key, "--ca", &self.ca])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("the load generator failed on {}", self.path);
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs in this process.
    ///
    /// # Errors
    /// The first call that failed.
    pub fn run(&self) -> anyhow::Result<Driven> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.calls())
    }

    async fn calls(&self) -> anyhow::Result<Driven> {
        let bodies = Arc::new(read(&self.bodies)?);
        if bodies.is_empty() || self.from + self.count > bodies.len() {
            bail!("{} has {} requests", self.bodies.display(), bodies.len());
        }
        let path: PathAndQuery = self.path.parse()?;
        let key = match self.key.as_str() {
            "" => None,
            key => Some(format!("Bearer {key}").parse::<MetadataValue<Ascii>>()?),
        };
        let mut channels: Vec<Channel> = Vec::new();
        for _ in 0..self.concurrency.div_ceil(A_CONNECTION) {
            let mut endpoint = Endpoint::new(self.address.clone())?;
            if !self.ca.is_empty() {
                let ca = Certificate::from_pem(std::fs::read(&self.ca)?);
                let tls = ClientTlsConfig::new().ca_certificate(ca);
                endpoint = endpoint.tls_config(tls.domain_name("localhost"))?;
            }
            channels.push(endpoint.connect().await?);
        }
        let next = Arc::new(AtomicUsize::new(self.from));
        let done = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let end = (self.count == 0).then(|| start + Duration::from_secs_f64(self.seconds));
        let last = self.from + self.count;
        let mut tasks = Vec::new();
        for caller in 0..self.concurrency {
            let mut client = Grpc::new(channels[caller / A_CONNECTION].clone());
            let (bodies, path, key) = (bodies.clone(), path.clone(), key.clone());
            let (next, done) = (next.clone(), done.clone());
            tasks.push(tokio::spawn(async move {
                let (mut bytes, mut times) = (0, Vec::new());
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let over = match end {
                        Some(end) => Instant::now() >= end,
                        None => index >= last,
                    };
                    if over {
                        return anyhow::Ok((bytes, times));
                    }
                    let body = bodies[index % bodies.len()].clone();
                    let began = Instant::now();
                    client.ready().await?;
                    let mut request = tonic::Request::new(body);
                    if let Some(key) = &key {
                        request.metadata_mut().insert("authorization", key.clone());
                    }
                    let answer: tonic::Response<Bytes> = client
                        .unary(request, path.clone(), Raw)
                        .await
                        .with_context(|| path.to_string())?;
                    times.push(began.elapsed());
                    bytes = answer.get_ref().len();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let (mut answer_bytes, mut times) = (0, Vec::new());
        for task in tasks {
            let (bytes, some) = task.await??;
            answer_bytes = bytes.max(answer_bytes);
            times.extend(some);
        }
        let seconds = start.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times.get(index).map_or(0.0, |t| t.as_secs_f64() * 1e6)
        };
        Ok(Driven {
            calls: done.load(Ordering::Relaxed),
            seconds,
            answer_bytes,
            p50_us: at(0.5),
            p99_us: at(0.99),
        })
    }
}

/// Writes requests for [`Drive::bodies`].
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    file: &std::path::Path,
    bodies: impl IntoIterator<Item = Vec<u8>>,
) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for body in bodies {
        out.write_all(&u32::try_from(body.len())?.to_le_bytes())?;
        out.write_all(&body)?;
    }
    Ok(out.flush()?)
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<Bytes>> {
    let mut rest = Bytes::from(std::fs::read(file).with_context(|| file.display().to_string())?);
    let mut bodies = Vec::new();
    while rest.len() >= 4 {
        let head = rest.split_to(4);
        let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if size > rest.len() {
            bail!("{} is cut short", file.display());
        }
        bodies.push(rest.split_to(size));
    }
    Ok(bodies)
}

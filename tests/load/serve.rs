//! `regard serve` as a process of its own, and calls to it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::wire::Raw;
use crate::{Plan, process};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Services that run apart need the same one.
const ID_SECRET: &str = "6c6f616400000000000000000000000000000000000000000000000000000001";

/// A server under test; stopped when dropped.
pub struct Serve {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub address: String,
    /// From its start until it said that it serves.
    pub start: Duration,
}

impl Serve {
    /// Starts the given services (none: all) on the data in `folder`, and waits until they are ready.
    ///
    /// # Errors
    /// When it ends early or is not ready in time; its log is in the message.
    pub fn start(
        plan: &Plan,
        folder: &Path,
        services: &[&str],
        settings: &[(&str, &str)],
        core: Option<usize>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut command = pinned(&plan.regard, core);
        let port = regard_testkit::free_port();
        command
            .arg("serve")
            .args(services)
            .env("REGARD_SECRETS__ID_SECRET", ID_SECRET)
            // The rows measure handlers and stores; what callers cost has a row of its own (platform).
            .env("REGARD_IDENTITY__ALLOW_DEFAULT", "true")
            .env("REGARD_SECRETS__MASTER_KEY", ID_SECRET)
            .env("REGARD_DATA__FOLDER", folder)
            .env("REGARD_SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .envs(settings.iter().copied());
        Self::spawn(command, port, folder)
    }

    /// Starts the bare echo, whose answers have `answer` bytes.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn echo(plan: &Plan, answer: usize, core: Option<usize>) -> anyhow::Result<Self> {
        let port = regard_testkit::free_port();
        let mut command = pinned(&std::env::current_exe()?, core);
        command
            .arg("echo")
            .arg(format!("127.0.0.1:{port}"))
            .arg(answer.to_string());
        Self::spawn(command, port, &plan.scratch)
    }

    fn spawn(mut command: Command, port: u16, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("serve.log");
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let address = format!("http://127.0.0.1:{port}");
        let mut serve = Self {
            child,
            address,
            start: Duration::ZERO,
        };
        let echo = command.get_args().any(|a| a == "echo");
        loop {
            let up = if echo {
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
            } else {
                serve.serving()
            };
            if up {
                serve.start = began.elapsed();
                return Ok(serve);
            }
            if serve.child.try_wait()?.is_some() || began.elapsed() > START_LIMIT {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{command:?} is not ready:\n{text}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn serving(&self) -> bool {
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let status = block_on(async {
            let mut client = Grpc::new(self.channel().await?);
            client.ready().await?;
            let request = tonic::Request::new(Bytes::new());
            let answer = client.unary(request, path, Raw).await?;
            anyhow::Ok(answer.into_inner())
        });
        // HealthCheckResponse { status: SERVING }
        status.is_ok_and(|s: Bytes| s.as_ref() == [8, 1])
    }

    /// A connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        Ok(Endpoint::new(self.address.clone())?.connect().await?)
    }

    /// One unary call.
    ///
    /// # Errors
    /// The call's status.
    pub fn call<A: Message + Default>(
        &self,
        path: &'static str,
        request: &impl Message,
    ) -> anyhow::Result<A> {
        let body = Bytes::from(request.encode_to_vec());
        block_on(async {
            let mut client = Grpc::new(self.channel().await?);
            client.ready().await?;
            let mut request = tonic::Request::new(body);
            request.set_timeout(Duration::from_secs(30));
            let path = PathAndQuery::from_static(path);
            let answer = client.unary(request, path, Raw).await?;
            Ok(A::decode(answer.into_inner())?)
        })
    }

    /// Streams encoded requests and gives the encoded answers.
    ///
    /// # Errors
    /// The stream's status.
    pub fn stream(&self, path: &'static str, requests: Vec<Bytes>) -> anyhow::Result<Vec<Bytes>> {
        block_on(async {
            let mut client = Grpc::new(self.channel().await?);
            client.ready().await?;
            let path = PathAndQuery::from_static(path);
            let request = tonic::Request::new(tokio_stream::iter(requests));
            let mut stream = client.streaming(request, path, Raw).await?.into_inner();
            let mut answers = Vec::new();
            while let Some(answer) = stream.message().await? {
                answers.push(answer);
            }
            Ok(answers)
        })
    }

    /// CPU seconds so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        process::cpu(self.child.id())
    }

    /// Bytes in memory.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident(&self) -> anyhow::Result<f64> {
        process::resident(self.child.id())
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > STOP_LIMIT {
                bail!("the server does not stop");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on one core, where one is given.
fn pinned(program: &Path, core: Option<usize>) -> Command {
    let mut command = match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    // What tells the harness of its servers would be taken for settings.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REGARD_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs one piece of client work.
///
/// # Errors
/// Its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

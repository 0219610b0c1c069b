//! What the platform costs: server CPU time of `GetScores` through all layers against the same handlers served bare, in one
//! process, so that store, cache and whatever runs beside are the same. All layers: an API key of the customer service, its
//! permission, rates, the adaptive limit, deadline, figures, spans of which 1% leave by OTLP. A second row adds TLS. The
//! figures of stores and caches are part of the handlers and count on both sides.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use prost::Message as _;
use regard_client::{Client, Options};
use regard_proto::customer::v1 as customer;
use regard_server::{
    LogSettings, Pipe, Running, ServerSettings, TelemetrySettings, TlsSettings, init_telemetry,
    serve_bare,
};
use regard_tests::collector::Collector;
use regard_tests::plan::{self, Plan as Suite};
use regard_tests::values::{order, record, scores};
use regard_types::{Caller, Clock};
use tokio::net::TcpListener;

use super::l1;
use crate::drive::{self, Drive};
use crate::report::Row;
use crate::stats::{Run, abba};
use crate::{Plan, process};

/// Customers that are asked for; each has an order and is in the cache.
const CUSTOMERS: usize = 1_000;
const CONCURRENCY: usize = 64;
const GOAL: f64 = 1.18;

/// Both servers in one process.
#[derive(Debug, Clone, clap::Args)]
pub struct Serve {
    /// Folder of the stores.
    #[arg(long)]
    data: PathBuf,
    /// Collector of traces and figures.
    #[arg(long)]
    otlp: String,
    /// Certificate and key; empty: no TLS.
    #[arg(long, default_value = "")]
    cert: String,
    #[arg(long, default_value = "")]
    key: String,
}

impl Serve {
    /// Serves until a signal. Prints the address of all layers, the bare one, and the key.
    ///
    /// # Errors
    /// A store, an address or a certificate that cannot be had.
    pub fn run(&self) -> anyhow::Result<()> {
        let telemetry = TelemetrySettings {
            otlp_endpoint: self.otlp.clone(),
            ..TelemetrySettings::default()
        };
        let log = LogSettings::default();
        let mut telemetry = init_telemetry((&log, "log"), (&telemetry, "telemetry"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            telemetry.start();
            let running = self.serve().await?;
            regard_server::stop_signal().await;
            running.stop().await;
            telemetry.stop().await;
            Ok(())
        })
    }

    async fn serve(&self) -> anyhow::Result<Running> {
        let store = |name: &str| format!("sqlite://{}/{name}.db", self.data.display());
        let suite = Suite {
            customer: store("customer"),
            feedback: store("feedback"),
            scoring: store("scoring"),
            ..Suite::default()
        };
        let pipe = Pipe::new();
        let services = suite.services(&Clock::System, &pipe).await?;
        let scoring = services.iter().find(|service| service.name == "scoring");
        let handlers = scoring.context("scoring")?.grpc.clone();
        let settings = ServerSettings {
            listen: "127.0.0.1:0".to_owned(),
            metrics_listen: "127.0.0.1:0".to_owned(),
            tls: TlsSettings {
                cert_file: self.cert.clone(),
                key_file: self.key.clone(),
                ..TlsSettings::default()
            },
            ..ServerSettings::default()
        };
        let running = Running::start(services, &settings, suite.identity()?, &pipe).await?;
        let bare = TcpListener::bind("127.0.0.1:0").await?;
        let at = bare.local_addr()?;
        let caller = Caller::new(plan::ids().tenant_id("default"), "default", "bare");
        tokio::spawn(serve_bare(handlers, bare, caller));

        let client = Client::over(pipe.channel(), &Options::default())?;
        let mut last = String::new();
        for n in 0..CUSTOMERS {
            let amount = i64::try_from(1_000 + n)?;
            last = record(
                &client,
                order(&format!("o{n}"), &id(n), amount, "2026-01-10"),
            )
            .await;
        }
        scores(&client, &id(0), &[last]).await;
        let key = customer::CreateApiKeyRequest {
            api_key: Some(customer::ApiKey {
                name: "load".to_owned(),
                roles: vec!["reader".to_owned()],
                ..customer::ApiKey::default()
            }),
            ..customer::CreateApiKeyRequest::default()
        };
        let key = client.access().create_api_key(key).await?.into_inner();
        let all = running.address().context("no address")?;
        writeln!(std::io::stdout(), "{all} {at} {}", key.secret)?;
        Ok(running)
    }
}

fn id(number: usize) -> String {
    format!("c{number}")
}

/// A process of [`Serve`]; gone when dropped.
struct Both {
    child: Child,
    all: String,
    bare: String,
    key: String,
}

impl Both {
    fn start(plan: &Plan, name: &str, otlp: &str, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let data = plan.scratch.join(name);
        std::fs::create_dir_all(&data)?;
        let own = std::env::current_exe()?;
        let mut command = match plan.cores.0 {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(own);
                command
            }
            None => Command::new(own),
        };
        command.arg("platform").arg("--data").arg(&data);
        command.args(["--otlp", otlp]);
        if let Some(tls) = tls {
            command
                .arg("--cert")
                .arg(&tls.cert)
                .arg("--key")
                .arg(&tls.key);
        }
        let log = std::fs::File::create(data.join("serve.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut both = Self {
            child,
            all: String::new(),
            bare: String::new(),
            key: String::new(),
        };
        let mut line = String::new();
        BufReader::new(both.child.stdout.take().context("no output")?).read_line(&mut line)?;
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [all, bare, key] = parts.as_slice() else {
            let told = std::fs::read_to_string(data.join("serve.log")).unwrap_or_default();
            bail!("the server of the row does not start: {told}");
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        both.all = format!("{scheme}://{all}");
        both.bare = format!("http://{bare}");
        both.key = (*key).to_owned();
        Ok(both)
    }

    /// CPU seconds of one call.
    fn cost(&self, drive: &Drive, core: Option<usize>) -> anyhow::Result<Run> {
        let before = process::cpu(self.child.id())?;
        let driven = drive.spawn(core)?;
        let cpu = (process::cpu(self.child.id())? - before) / driven.calls as f64;
        Ok(Run {
            figure: cpu * 1e6,
            cpu,
        })
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files of a certificate for this machine.
struct Tls {
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .map_err(|error| anyhow!("{error}"))?;
        let tls = Self {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&tls.cert, made.cert.pem())?;
        std::fs::write(&tls.key, made.signing_key.serialize_pem())?;
        Ok(tls)
    }
}

/// The rows.
///
/// # Errors
/// A server or a call that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    // The collector lives on the caller's side, in this process.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let collector = runtime.block_on(Collector::start());
    let bodies = plan.scratch.join("platform.bodies");
    let asked = (0..CUSTOMERS).map(|n| ask(n).encode_to_vec());
    drive::write(&bodies, asked)?;
    let tls = Tls::make(&plan.scratch)?;
    let mut rows = Vec::new();
    for (name, tls) in [("platform", None), ("platform.tls", Some(&tls))] {
        let both = Both::start(plan, name, &collector.address, tls)?;
        let pairs = measured(plan, &both, &bodies, tls)?;
        let spans = collector.spans().len();
        let note = format!(
            "server CPU a call; all layers (API key, permission, rates, adaptive limit, figures, 1% of spans by OTLP: {spans} so \
             far{}) against the same handlers bare, in one process; {CONCURRENCY} in flight",
            if tls.is_some() { ", TLS" } else { "" }
        );
        rows.push(Row::cost(name, "µs", GOAL, &pairs, note));
    }
    Ok(rows)
}

fn measured(
    plan: &Plan,
    both: &Both,
    bodies: &Path,
    tls: Option<&Tls>,
) -> anyhow::Result<crate::stats::Pairs> {
    let seconds = if plan.short { 2.0 } else { 4.0 };
    let drive = |address: &str, key: &str, tls: Option<&Tls>, seconds| Drive {
        address: address.to_owned(),
        path: l1::GET.to_owned(),
        concurrency: CONCURRENCY,
        bodies: bodies.to_owned(),
        seconds,
        from: 0,
        count: 0,
        key: key.to_owned(),
        ca: tls.map_or_else(String::new, |tls| tls.cert.display().to_string()),
    };
    let core = plan.cores.1;
    let all = |seconds| both.cost(&drive(&both.all, &both.key, tls, seconds), core);
    let bare = |seconds| both.cost(&drive(&both.bare, "", None, seconds), core);
    // Every entry is in the cache after the first pass.
    all(1.0)?;
    bare(1.0)?;
    std::thread::sleep(Duration::from_millis(500));
    abba(plan.pairs, |_| all(seconds), |_| bare(seconds))
}

fn ask(number: usize) -> regard_proto::scoring::v1::GetScoresRequest {
    regard_proto::scoring::v1::GetScoresRequest {
        customer: Some(regard_tests::values::customer_ref(&id(number))),
        ..regard_proto::scoring::v1::GetScoresRequest::default()
    }
}

//! `regard serve`: the services, until a signal stops them.

use std::io::{Write as _, stdout};

use clap::Args;
use regard_server::{
    LogFormat, LogSettings, Telemetry, TelemetrySettings, init_telemetry, stop_signal,
};

use super::config::SettingsArgs;
use crate::settings::{self, Settings};
use crate::suite::{Start, Suite, Which, runtime};

/// Arguments of `regard serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without settings everything lies in the data folder: one SQLite file a service, the cache in the process, \
the secrets, and the key by which the commands of this machine are known (local-key). `regard config` shows all settings."
)]
pub struct Serve {
    /// Services of this process [default: all].
    #[arg(value_enum)]
    services: Vec<Which>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Fill an empty suite with the demo's data, stay up, and print calls to try.
    #[arg(long)]
    demo: bool,
    /// Folder of the demo's data files [default: tests/data of the repository].
    #[arg(long, value_name = "FOLDER", requires = "demo")]
    data_dir: Option<std::path::PathBuf>,
    /// Let callers without a key come from other machines: whoever reaches the address may do everything in the tenant
    /// "default".
    #[arg(long)]
    insecure_allow_default: bool,
    /// Let callers come from other machines without TLS: whoever sits between reads keys and customers. For a listener
    /// behind a proxy or a mesh that does TLS.
    #[arg(long)]
    insecure_plaintext: bool,
}

impl Serve {
    /// Runs the command.
    ///
    /// # Errors
    /// Settings that do not fit, stores that cannot be opened, an address that cannot be taken.
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = self.settings.load()?;
        let settings = loaded.settings;
        let mut telemetry = start_telemetry(&settings)?;
        let mut services = if self.services.is_empty() {
            Which::ALL.to_vec()
        } else {
            self.services.clone()
        };
        services.sort_unstable();
        services.dedup();
        runtime()?.block_on(Box::pin(async {
            telemetry.start();
            let served = self.serve(settings, &services).await;
            telemetry.stop().await;
            served
        }))
    }

    async fn serve(&self, settings: Settings, services: &[Which]) -> anyhow::Result<()> {
        if self.demo {
            let (data, insecure) = (self.data_dir.as_deref(), self.insecure_allow_default);
            return Box::pin(crate::demo::serve(settings, data, insecure)).await;
        }
        let suite = Suite::start(Start {
            settings: &settings,
            services,
            insecure_default: self.insecure_allow_default,
            insecure_plaintext: self.insecure_plaintext,
        })
        .await?;
        announce(&suite, services)?;
        stop_signal().await;
        suite.stop().await;
        Ok(())
    }
}

fn announce(suite: &Suite, services: &[Which]) -> anyhow::Result<()> {
    let names: Vec<&str> = services.iter().map(|which| which.name()).collect();
    let mut out = stdout().lock();
    if let Some(address) = suite.address() {
        writeln!(
            out,
            "regard serves {} at {}://{address}",
            names.join(", "),
            suite.scheme()
        )?;
    }
    if let Some(address) = suite.metrics_address() {
        writeln!(out, "figures at http://{address}/metrics")?;
    }
    out.flush()?;
    Ok(())
}

/// Tells every step of a new schema at the level of our own code.
const MIGRATOR: &str = "sea_orm_migration";

/// Logs, figures and traces as the settings say.
///
/// # Errors
/// A level that is none; a collector that cannot be one.
fn start_telemetry(settings: &Settings) -> anyhow::Result<Telemetry> {
    let mut level = settings.log.level.clone();
    if !level.contains(MIGRATOR) {
        level.push_str(&format!(",{MIGRATOR}=warn"));
    }
    let logs = LogSettings {
        level,
        format: match settings.log.format {
            settings::LogFormat::Auto => LogFormat::Auto,
            settings::LogFormat::Pretty => LogFormat::Pretty,
            settings::LogFormat::Json => LogFormat::Json,
        },
    };
    let given = settings.telemetry.clone();
    let telemetry = TelemetrySettings {
        otlp_endpoint: given.otlp_endpoint,
        otlp_ca_file: given.otlp_ca_file,
        sample_ratio: given.sample_ratio,
        service_name: given.service_name,
        instance: given.instance,
        export_interval_ms: given.export_interval_ms,
        timeout_ms: given.timeout_ms,
    };
    Ok(init_telemetry((&logs, "log"), (&telemetry, "telemetry"))?)
}

//! `regard serve`: the services, until a signal stops them.

use std::io::{Write as _, stdout};
use std::time::Duration;

use clap::Args;
use regard_server::{
    LogFormat, LogSettings, Telemetry, TelemetrySettings, init_telemetry, stop_signal,
};

use super::config::SettingsArgs;
use crate::settings::{self, Settings};
use crate::suite::{Start, Suite, Which, runtime};

/// How long work that cannot be interrupted, such as a model that is fitted, is waited for in the end.
const LEFT: Duration = Duration::from_secs(1);

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
        to_the_end(runtime()?, async {
            telemetry.start();
            let served = tokio::select! {
                served = self.serve(settings, &services) => served,
                () = twice() => Ok(()),
            };
            telemetry.stop().await;
            served
        })
    }

    async fn serve(&self, settings: Settings, services: &[Which]) -> anyhow::Result<()> {
        let start = Start {
            settings: &settings,
            services,
            insecure_default: self.insecure_allow_default,
            insecure_plaintext: self.insecure_plaintext,
        };
        if self.demo {
            let data = self.data_dir.as_deref();
            return Box::pin(crate::demo::serve(start, data)).await;
        }
        // From the first moment on: a start may wait long for its store.
        let mut stop = std::pin::pin!(stop_signal());
        let suite = tokio::select! {
            suite = Box::pin(Suite::start(start)) => suite?,
            () = &mut stop => return Ok(()),
        };
        announce(&suite, services)?;
        stop.await;
        suite.stop().await;
        Ok(())
    }
}

/// A second signal: whoever sends it does not want to wait.
async fn twice() {
    stop_signal().await;
    stop_signal().await;
}

/// Runs the work, and ends in bounded time after it, whatever else the runtime still does.
fn to_the_end<T>(runtime: tokio::runtime::Runtime, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(Box::pin(work));
    runtime.shutdown_timeout(LEFT);
    done
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
    let (logs, telemetry) = telemetry(settings);
    Ok(init_telemetry((&logs, "log"), (&telemetry, "telemetry"))?)
}

pub(crate) fn telemetry(settings: &Settings) -> (LogSettings, TelemetrySettings) {
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
    (logs, telemetry)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use super::*;

    #[test]
    fn work_that_cannot_be_interrupted_holds_up_no_end() {
        let began = Instant::now();
        let done = to_the_end(runtime().unwrap(), async {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(30)));
            tokio::time::sleep(Duration::from_millis(50)).await;
            7
        });
        assert_eq!(done, 7);
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}

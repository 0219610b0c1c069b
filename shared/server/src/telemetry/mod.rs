//! What a process tells of itself: logs, figures and traces; by lines, by the page of figures, and by OTLP.
//!
//! Figures are recorded once, in one registry; the page shows them and OTLP sends what the page shows. Spans are made for
//! sampled calls only: everybody else pays for a look at a number. Nothing here ever makes a call wait.

mod collector;
mod count;
mod figures;
mod logs;
mod otlp;
mod queue;
mod settings;
mod table;
mod trace;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, filter};

pub use count::{job_ran, rows_came};
pub use figures::collect_figures;
pub(crate) use figures::serve as serve_figures;
pub use logs::set_log_level;
pub use settings::TelemetrySettings;
pub use table::{FIGURES, Figure, FigureKind};
pub use trace::caused_by;
pub(crate) use trace::{Begun, begin, ended};

use crate::settings::{LogSettings, SettingsError};
use collector::Collector;

/// How long spans wait for others to leave with them, at most.
const GATHER: Duration = Duration::from_secs(1);
/// Pause between two foldings of recorded values into the histograms: bounds the memory when nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);

/// That calls are traced in this process, and which.
static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    sample_ratio: f64,
    /// Ends its spans' way when dropped: kept for as long as the process.
    _provider: SdkTracerProvider,
}

/// What [`init_telemetry`] set up: started within the runtime, stopped at the end.
#[derive(Default)]
#[must_use]
pub struct Telemetry {
    off: Option<Off>,
    running: Option<(CancellationToken, Vec<JoinHandle<()>>)>,
}

/// All that is known before there is a runtime.
struct Off {
    spans: queue::Spans,
    endpoint: Endpoint,
    resource: Resource,
    interval: Duration,
    timeout: Duration,
}

/// Sets the process's logs up, and its traces where they shall go somewhere; a second call changes nothing. `at` and
/// `log_at` are the names of the sections.
///
/// # Errors
/// Values out of bounds, named by their keys.
pub fn init_telemetry(
    (log, log_at): (&LogSettings, &str),
    (settings, at): (&TelemetrySettings, &str),
) -> Result<Telemetry, SettingsError> {
    settings.check(at).map_err(|bad| {
        bad.into_iter()
            .next()
            .unwrap_or_else(|| SettingsError::new(at, "", ""))
    })?;
    let lines = logs::layer(log, log_at)?;
    if settings.otlp_endpoint.is_empty() {
        // An error means that some logs are set up already, which is what was asked for.
        let _ = Registry::default().with(lines).try_init();
        return Ok(Telemetry::default());
    }
    let endpoint = collector::endpoint(settings, at)?;
    let resource = collector::resource(settings);
    let (queue, spans) = queue::queue();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        // The edge decides before a span is made; what has no parent here was wanted.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_resource(resource.clone())
        .build();
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("regard"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_context_activation(false)
        .with_filter(filter::filter_fn(|meta| {
            meta.is_span() && meta.target() == regard_types::TRACE_TARGET
        }));
    if Registry::default()
        .with(lines)
        .with(traces)
        .try_init()
        .is_err()
    {
        return Ok(Telemetry::default());
    }
    let _ = TRACING.set(Tracing {
        sample_ratio: settings.sample_ratio,
        _provider: provider,
    });
    collect_figures();
    Ok(Telemetry {
        off: Some(Off {
            spans,
            endpoint,
            resource,
            interval: Duration::from_millis(settings.export_interval_ms),
            timeout: Duration::from_millis(settings.timeout_ms),
        }),
        running: None,
    })
}

/// Sets the process's logs up, and nothing else; a second call changes nothing. `at` is the section's name.
///
/// # Errors
/// A level that is none, named by its key.
pub fn init_logs(log: &LogSettings, at: &str) -> Result<(), SettingsError> {
    let nothing = TelemetrySettings::default();
    let _started = init_telemetry((log, at), (&nothing, "telemetry"))?;
    Ok(())
}

impl Telemetry {
    /// Begins to export, where that was asked for. Needs a runtime.
    pub fn start(&mut self) {
        let Some(off) = self.off.take() else { return };
        let stop = CancellationToken::new();
        let collector = Collector::new(&off.endpoint, &off.resource, off.timeout);
        let tasks = vec![
            tokio::spawn(queue::export(
                off.spans,
                collector.clone(),
                off.interval.min(GATHER),
                off.timeout,
                stop.clone(),
            )),
            tokio::spawn(export_figures(collector, off.interval, stop.clone())),
        ];
        self.running = Some((stop, tasks));
    }

    /// Sends what is left, within the timeout of one export.
    pub async fn stop(self) {
        let Some((stop, tasks)) = self.running else {
            return;
        };
        stop.cancel();
        for task in tasks {
            let _ = task.await;
        }
    }
}

async fn export_figures(collector: Collector, interval: Duration, stop: CancellationToken) {
    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut export = tokio::time::interval(interval);
    export.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = upkeep.tick() => figures::upkeep(),
            _ = export.tick() => {
                collector.metrics(&figures::page()).await;
            }
        }
    }
    collector.metrics(&figures::page()).await;
}

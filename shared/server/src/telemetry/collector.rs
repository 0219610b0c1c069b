//! The way to a collector: OTLP over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::otlp;
use super::settings::TelemetrySettings;
use crate::settings::SettingsError;

/// A collector, connected to when something is sent.
#[derive(Clone)]
pub(super) struct Collector {
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    resource: Arc<ResourceAttributesWithSchema>,
    /// Since when counters count, nanoseconds since 1970.
    since: u64,
    timeout: Duration,
    away: Arc<AtomicBool>,
}

/// Where a collector is; made before there is a runtime.
pub(super) fn endpoint(settings: &TelemetrySettings, at: &str) -> Result<Endpoint, SettingsError> {
    let wrong = || {
        let expected = "an address such as http://collector:4317";
        SettingsError::new(
            format!("{at}.otlp_endpoint"),
            &settings.otlp_endpoint,
            expected,
        )
    };
    let timeout = Duration::from_millis(settings.timeout_ms);
    let endpoint = Endpoint::from_shared(settings.otlp_endpoint.clone())
        .map_err(|_| wrong())?
        .connect_timeout(timeout)
        .timeout(timeout);
    if settings.otlp_ca_file.is_empty() {
        return Ok(endpoint);
    }
    let file = |what: &dyn std::fmt::Display| {
        let key = format!("{at}.otlp_ca_file");
        SettingsError::new(key, &settings.otlp_ca_file, format!("a PEM file ({what})"))
    };
    let pem = std::fs::read(&settings.otlp_ca_file).map_err(|error| file(&error))?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    endpoint.tls_config(tls).map_err(|error| file(&error))
}

/// Who we are.
pub(super) fn resource(settings: &TelemetrySettings) -> Resource {
    let instance = if settings.instance.is_empty() {
        uuid::Uuid::new_v4().to_string()
    } else {
        settings.instance.clone()
    };
    Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Collector {
    /// Needs a runtime.
    pub(super) fn new(endpoint: &Endpoint, resource: &Resource, timeout: Duration) -> Self {
        let channel = endpoint.connect_lazy();
        Self {
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel),
            resource: Arc::new(resource.into()),
            since: now(),
            timeout,
            away: Arc::default(),
        }
    }

    /// Sends spans; whether they were taken.
    pub(super) async fn traces(&self, spans: Vec<SpanData>) -> bool {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let mut client = self.traces.clone();
        self.told("traces", client.export(request)).await
    }

    /// Sends the page of figures; whether it was taken.
    pub(super) async fn metrics(&self, page: &str) -> bool {
        let metrics = otlp::metrics(page, self.since, now());
        let resource_metrics = vec![otlp::of_resource(metrics, &self.resource)];
        let request = ExportMetricsServiceRequest { resource_metrics };
        let mut client = self.metrics.clone();
        self.told("metrics", client.export(request)).await
    }

    async fn told<T>(
        &self,
        signal: &'static str,
        sent: impl Future<Output = Result<T, Status>>,
    ) -> bool {
        let sent = tokio::time::timeout(self.timeout, sent).await;
        let error = match sent {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(status.message().to_owned()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let outcome = if error.is_none() { "ok" } else { "failed" };
        metrics::counter!("regard_telemetry_exports_total", "signal" => signal, "outcome" => outcome)
            .increment(1);
        let away = self.away.swap(error.is_some(), Ordering::Relaxed);
        match &error {
            Some(error) if !away => {
                tracing::warn!(error, "the collector of traces and figures is away");
            }
            None if away => tracing::info!("the collector of traces and figures answers again"),
            _ => {}
        }
        error.is_none()
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

//! A collector that keeps what it is told: spans, and the last state of every metric.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A collector on this machine.
#[derive(Clone, Default)]
pub struct Collector {
    kept: Arc<Mutex<Kept>>,
    /// `http://127.0.0.1:port`.
    pub address: String,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    metrics: BTreeMap<String, Metric>,
    /// `service.name` of whoever told something.
    services: Vec<String>,
}

impl Collector {
    /// Starts one; it lives as long as the runtime.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    /// Starts one where a listener is.
    ///
    /// # Panics
    /// When the listener has no address.
    #[must_use]
    pub fn on(listener: TcpListener) -> Self {
        let collector = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    fn with<T>(&self, read: impl FnOnce(&mut Kept) -> T) -> T {
        read(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.with(|kept| kept.spans.clone())
    }

    /// The spans of a trace, given as hexadecimal digits.
    #[must_use]
    pub fn of_trace(&self, id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| hex(&span.trace_id) == id);
        spans
    }

    /// The metrics as last told.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        self.with(|kept| kept.metrics.clone())
    }

    /// Who told something.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        self.with(|kept| kept.services.clone())
    }

    fn told(&self, attributes: &[KeyValue]) {
        for attribute in attributes {
            if attribute.key == "service.name" {
                self.with(|kept| kept.services.push(text(attribute)));
            }
        }
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute's value as text.
#[must_use]
pub fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// The value of an attribute of a span.
#[must_use]
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|a| a.key == key).map(text)
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            self.told(&of_resource.resource.unwrap_or_default().attributes);
            for of_scope in of_resource.scope_spans {
                self.with(|kept| kept.spans.extend(of_scope.spans));
            }
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_metrics {
            self.told(&of_resource.resource.unwrap_or_default().attributes);
            for metric in of_resource
                .scope_metrics
                .into_iter()
                .flat_map(|s| s.metrics)
            {
                self.with(|kept| kept.metrics.insert(metric.name.clone(), metric));
            }
        }
        Ok(Response::new(Default::default()))
    }
}

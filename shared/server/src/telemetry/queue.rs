//! Finished spans on their way out: a bounded queue that never makes a call wait, and the task that empties it.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::collector::Collector;

/// Spans that wait at most; more are dropped and counted. About 4 MiB.
const WAITING: usize = 8_192;
/// Spans of one export.
const BATCH: usize = 512;
/// First and longest pause after an export that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where spans enter.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<SpanData>);

/// Where they leave.
pub(super) type Spans = mpsc::Receiver<SpanData>;

pub(super) fn queue() -> (Queue, Spans) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Queue(sender), receiver)
}

fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("regard_trace_spans_total", "outcome" => outcome).increment(spans as u64);
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            count("dropped", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(()) // the task empties the queue by itself
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Exports what comes until `stop`, then what is left within `bound`. A batch that the collector did not take is tried again
/// for as long as it takes; what does not fit into the queue meanwhile is dropped.
pub(super) async fn export(
    mut spans: Spans,
    collector: Collector,
    gather: Duration,
    bound: Duration,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(()) = stop
        .run_until_cancelled(fill(&mut spans, &mut batch, gather))
        .await
    {
        let mut pause = PAUSE.0;
        loop {
            let sent = stop
                .run_until_cancelled(collector.traces(batch.clone()))
                .await;
            match sent {
                Some(true) => {
                    count("exported", batch.len());
                    batch.clear();
                    break;
                }
                Some(false) => {
                    if stop
                        .run_until_cancelled(tokio::time::sleep(pause))
                        .await
                        .is_none()
                    {
                        break;
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
                None => break,
            }
        }
        if stop.is_cancelled() {
            break;
        }
    }
    let rest = async {
        loop {
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() || !collector.traces(batch.clone()).await {
                return;
            }
            count("exported", batch.len());
            batch.clear();
        }
    };
    let _ = tokio::time::timeout(bound, rest).await;
    count("dropped", batch.len() + spans.len());
}

/// A whole batch, or what came within `gather` of the first span.
async fn fill(spans: &mut Spans, batch: &mut Vec<SpanData>, gather: Duration) {
    if batch.is_empty() && spans.recv_many(batch, BATCH).await == 0 {
        return std::future::pending().await; // no sender is left; the stop comes
    }
    let more = async {
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            if spans.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(gather, more).await;
}

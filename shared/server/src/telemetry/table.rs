//! Every figure that the suite tells, in one table: the page describes them by it, and tests hold the page to it.
//!
//! Names follow Prometheus: `regard_` first, the unit last, `_total` for what only grows. Labels take values of small closed
//! sets; no id, no tenant, no caller, no text of anybody is ever a label. Shares are made where figures are read, such as
//! the hit share of a cache: `hit / (hit + miss)` of `regard_cache_requests_total`.

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values fell into which range.
    Histogram,
}

/// One figure.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: FigureKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Figure {
    Figure {
        name,
        kind: FigureKind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Figure {
    Figure {
        name,
        kind: FigureKind::Gauge,
        labels,
        help,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Figure {
    Figure {
        name,
        kind: FigureKind::Histogram,
        labels,
        help,
    }
}

/// All figures, by name.
#[rustfmt::skip]
pub const FIGURES: &[Figure] = &[
    counter("regard_cache_requests_total", &["cache", "outcome"], "Keys asked for or set, by cache (local, redis) and outcome (hit, miss, error, skipped)."),
    histogram("regard_cache_trip_seconds", &["cache"], "Time to a cache outside of the process and back."),
    gauge("regard_calls_in_work", &[], "Unary calls that hold a place in the concurrency limit."),
    gauge("regard_concurrency_limit", &[], "Unary calls that may be in work at once, as it adapts to their latency."),
    gauge("regard_feed_lag_changes", &["feed"], "Changes that a feed is ahead of what is applied here, in the lane furthest behind; 0 where another replica follows it."),
    gauge("regard_feed_lag_seconds", &["feed"], "Time since the lane furthest behind was last applied to its end; at rest, the time since its heartbeat."),
    counter("regard_follow_breaks_total", &["feed"], "How often following a feed was interrupted."),
    counter("regard_follow_changes_total", &["feed"], "Changes of a feed that were applied."),
    counter("regard_ingest_rows_total", &["rows", "outcome"], "Rows that came in bulk, by what they hold and outcome (accepted, unchanged, rejected)."),
    counter("regard_job_panics_total", &["job"], "Jobs that panicked."),
    counter("regard_job_runs_total", &["store", "job", "outcome"], "Rounds of jobs, by outcome (ok, failed)."),
    gauge("regard_job_success_timestamp_seconds", &["store", "job"], "When a job's last round ended well, seconds since 1970."),
    gauge("regard_lease_held", &["lease"], "Whether this replica holds a lease, 0 or 1."),
    gauge("regard_models", &["kind", "state"], "Models by kind and whether they serve (serving, old)."),
    gauge("regard_operations", &["state"], "Operations by their state."),
    counter("regard_panics_total", &["service", "method"], "Handlers that panicked; each answered INTERNAL."),
    counter("regard_refused_total", &["scope"], "Calls and connections refused because there was too much, by what it was too much for."),
    histogram("regard_request_seconds", &["service", "method", "code"], "Time from a call's arrival to the end of its answer."),
    gauge("regard_requests_in_flight", &["service", "method"], "Calls that are being answered."),
    counter("regard_requests_total", &["service", "method", "code"], "Calls by the code that they ended with."),
    counter("regard_retention_removed_total", &["store", "kind"], "Rows that retention removed, by kind (changes, requests)."),
    gauge("regard_store_connections", &["store", "state"], "Connections of a store's pools, by state (busy, idle)."),
    histogram("regard_store_transaction_seconds", &["store", "door"], "Time that transactions stay open, by the door that they came by."),
    histogram("regard_store_wait_seconds", &["store", "door"], "Time that callers wait for a transaction: a lane, a connection and BEGIN."),
    gauge("regard_store_waiting", &["store"], "Callers that wait for a transaction."),
    gauge("regard_streams_open", &[], "Streams that are open."),
    counter("regard_telemetry_exports_total", &["signal", "outcome"], "Exports by OTLP (traces, metrics) and whether the collector took them (ok, failed)."),
    counter("regard_tls_refused_total", &[], "Connections that did not come to an agreement on TLS."),
    counter("regard_trace_spans_total", &["outcome"], "Spans that left for the collector (exported), or could not (dropped)."),
];

/// Tells the recorder what each figure says.
pub(super) fn describe() {
    for figure in FIGURES {
        match figure.kind {
            FigureKind::Counter => metrics::describe_counter!(figure.name, figure.help),
            FigureKind::Gauge => metrics::describe_gauge!(figure.name, figure.help),
            FigureKind::Histogram => metrics::describe_histogram!(figure.name, figure.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for (before, figure) in FIGURES.iter().zip(&FIGURES[1..]) {
            assert!(before.name < figure.name, "{}: in order, once", figure.name);
        }
        for Figure {
            name,
            kind,
            labels,
            help,
        } in FIGURES
        {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(name.starts_with("regard_") && plain, "{name}");
            assert_eq!(
                name.ends_with("_total"),
                *kind == FigureKind::Counter,
                "{name}"
            );
            assert!(
                *kind != FigureKind::Histogram || name.ends_with("_seconds"),
                "{name}"
            );
            assert!(help.ends_with('.'), "{name}");
            for label in *labels {
                assert!(
                    !["tenant", "caller", "id", "customer", "key"].contains(label),
                    "{name}"
                );
            }
        }
    }
}

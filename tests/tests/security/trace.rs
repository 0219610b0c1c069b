//! Telemetry: one trace from a caller in Python to the cache; figures of closed sets; a collector that is away.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use regard_proto::common::v1::customer_ref;
use regard_proto::customer::v1 as customer;
use regard_server::{FIGURES, Figure, FigureKind, TelemetrySettings};
use regard_testkit::{Engine, TestStore, free_port, run};
use regard_tests::child::Process;
use regard_tests::collector::{Collector, attribute, hex, text};
use regard_tests::plan::Plan;
use regard_tests::values::{ingest, order, record, row, score, scores};
use regard_tests::world::until;
use tonic::Request;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A suite of its own process that tells a collector; the stores live as long as they are held.
async fn suite(otlp: &str, figures: &str) -> (Process, [TestStore; 3]) {
    sampling(otlp, figures, 0.0).await
}

async fn sampling(otlp: &str, figures: &str, share: f64) -> (Process, [TestStore; 3]) {
    let stores = [
        TestStore::new(Engine::Sqlite).await,
        TestStore::new(Engine::Sqlite).await,
        TestStore::new(Engine::Sqlite).await,
    ];
    let plan = Plan {
        customer: stores[0].url.clone(),
        feedback: stores[1].url.clone(),
        scoring: stores[2].url.clone(),
        listen: "127.0.0.1:0".to_owned(),
        figures: figures.to_owned(),
        telemetry: TelemetrySettings {
            otlp_endpoint: otlp.to_owned(),
            sample_ratio: share,
            service_name: "suite".to_owned(),
            export_interval_ms: 100,
            timeout_ms: 1_000,
            ..TelemetrySettings::default()
        },
        ..Plan::default()
    };
    let process = tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan));
    (process.await.unwrap(), stores)
}

fn with_trace<T>(message: T, parent: &str) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.insert("tracestate", "vendor=abc".parse().unwrap());
    request
}

/// The one span of a name in a trace, once it came.
async fn span(collector: &Collector, trace: &str, name: &str) -> Span {
    until(name, || async {
        let spans = collector.of_trace(trace);
        spans.into_iter().find(|span| span.name == name)
    })
    .await
}

/// Records an order as a back end does that traces its calls: in Python where it is at hand, else in Rust. The ids that
/// came back.
async fn recorded_by_a_foreign_caller(suite: &Process) -> Vec<String> {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    if let Some(python) = std::env::var_os("REGARD_TEST_PYTHON") {
        let address = suite.address.trim_start_matches("http://").to_owned();
        let caller = tokio::process::Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/traced.py"))
            .args([&address, &parent])
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&caller.stdout).into_owned();
        let failed = String::from_utf8_lossy(&caller.stderr).into_owned();
        assert!(caller.status.success(), "{told}{failed}");
        return told.split_whitespace().map(str::to_owned).collect();
    }
    let message = customer::RecordOrderRequest {
        order: Some(order("o-traced", "c-traced", 4_200, "2026-01-10")),
        create_missing: true,
        ..Default::default()
    };
    let answer = suite
        .client("default")
        .orders()
        .record_order(with_trace(message, &parent))
        .await
        .unwrap()
        .into_inner();
    let order = answer.order.unwrap();
    let Some(customer_ref::Customer::Id(customer)) = order.customer.and_then(|c| c.customer) else {
        panic!("an order names its customer by id");
    };
    let ids = [
        order.id,
        customer,
        "o-traced".to_owned(),
        "c-traced".to_owned(),
    ];
    ids.into()
}

#[test]
fn one_trace_goes_from_a_foreign_caller_through_customer_feed_and_scoring_to_the_cache() {
    run(async {
        let collector = Collector::start().await;
        let (suite, _stores) = suite(&collector.address, "").await;
        let ids = recorded_by_a_foreign_caller(&suite).await;
        assert!(
            ids.len() >= 4 && ids.iter().all(|id| id.len() > 3),
            "{ids:?}"
        );

        let rpc = span(
            &collector,
            TRACE,
            "regard.customer.v1.OrderService/RecordOrder",
        )
        .await;
        assert_eq!(hex(&rpc.parent_span_id), SPAN, "the caller is the parent");
        assert_eq!(rpc.kind, i32::from(SpanKind::Server));
        assert_eq!(rpc.trace_state, "vendor=abc", "what others noted is kept");
        assert_eq!(
            attribute(&rpc, "rpc.grpc.status_code").as_deref(),
            Some("0")
        );
        assert_eq!(attribute(&rpc, "regard.tenant").as_deref(), Some("default"));

        let apply = span(&collector, TRACE, "apply").await;
        assert_eq!(apply.parent_span_id, rpc.span_id, "by the feed");
        assert_eq!(apply.kind, i32::from(SpanKind::Consumer));
        assert_eq!(attribute(&apply, "feed").as_deref(), Some("customer"));
        let put = span(&collector, TRACE, "put").await;
        assert_eq!(put.parent_span_id, apply.span_id, "into the cache");

        for span in collector.of_trace(TRACE) {
            assert_ne!(
                hex(&span.parent_span_id),
                "",
                "{}: no second root",
                span.name
            );
            assert!(span.events.is_empty(), "{}", span.name);
            for attribute in &span.attributes {
                let value = text(attribute);
                let named = ids.iter().any(|id| value.contains(id.as_str()));
                assert!(!named, "{}: {} = {value}", span.name, attribute.key);
            }
        }
        assert!(collector.services().iter().all(|name| name == "suite"));
    });
}

#[test]
fn a_call_is_traced_as_its_caller_says_and_several_causes_are_linked() {
    run(async {
        let collector = Collector::start().await;
        let (suite, _stores) = suite(&collector.address, "").await;
        let client = suite.client("default");
        let send = async |n: usize, parent: String| {
            let message = customer::RecordOrderRequest {
                order: Some(order(&format!("o{n}"), &format!("c{n}"), 100, "2026-01-10")),
                create_missing: true,
                ..Default::default()
            };
            let mut orders = client.orders();
            let sent = orders.record_order(with_trace(message, &parent)).await;
            sent.unwrap();
        };
        let quiet = format!("{:032x}", 0xbad);
        send(0, format!("00-{quiet}-{SPAN}-00")).await;
        // The share of calls without a word of their caller is 0 here.
        record(&client, order("o1", "c1", 100, "2026-01-10")).await;
        send(2, "00-nonsense".to_owned()).await;
        let loud: Vec<String> = (1..=40).map(|n| format!("{n:032x}")).collect();
        let all = loud.iter().enumerate();
        let all = all.map(|(n, trace)| send(10 + n, format!("00-{trace}-{SPAN}-01")));
        // Fewer at once than any limit refuses.
        futures::stream::iter(all)
            .buffer_unordered(8)
            .collect::<Vec<()>>()
            .await;

        // Each trace goes on: in a span of its own, or by a link of one that has several causes.
        let goes_on = |trace: &String| {
            collector.spans().iter().any(|span| {
                span.name == "apply"
                    && (hex(&span.trace_id) == *trace
                        || span.links.iter().any(|link| hex(&link.trace_id) == *trace))
            })
        };
        let goes_on = &goes_on;
        until("all traces to go on", || async {
            loud.iter().all(goes_on).then_some(())
        })
        .await;
        for span in collector.spans() {
            assert_ne!(hex(&span.trace_id), quiet, "{}", span.name);
            assert!(span.links.len() <= 33, "{}", span.links.len());
        }
        let calls = collector.spans();
        let calls = calls
            .iter()
            .filter(|span| span.kind == i32::from(SpanKind::Server));
        assert_eq!(calls.count(), loud.len());
    });
}

/// Values that a label may have, by its name; an empty list: those of the contract or of the code, which are plain words.
fn closed(label: &str, value: &str) -> bool {
    let words: &[&str] = match label {
        "service" | "method" => {
            return value == "unknown"
                || value.starts_with("grpc.")
                || regard_proto::METHODS.iter().any(|method| {
                    method.service == value || method.path.ends_with(&format!("/{value}"))
                })
                || ["Check", "Watch", "ServerReflectionInfo"].contains(&value);
        }
        "code" => {
            return value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        }
        "store" | "feed" => &["customer", "feedback", "scoring"],
        "lease" => &["feed:customer", "feed:feedback", "roll", "operations"],
        "door" => &["read", "mutate", "system", "read_system"],
        _ => {
            let plain = |b: u8| b.is_ascii_lowercase() || b"_-.".contains(&b);
            return (1..=32).contains(&value.len()) && value.bytes().all(plain);
        }
    };
    words.contains(&value)
}

/// Name and labels of every line of a page.
fn lines(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let label = regex::Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    page.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let labels = label
                .captures_iter(rest)
                .map(|found| (found[1].to_owned(), found[2].to_owned()));
            (name.to_owned(), labels.collect())
        })
        .collect()
}

fn figure(name: &str) -> &'static Figure {
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .and_then(|base| FIGURES.iter().find(|f| f.name == base))
        .filter(|figure| figure.kind == FigureKind::Histogram);
    histogram
        .or_else(|| FIGURES.iter().find(|figure| figure.name == name))
        .unwrap_or_else(|| panic!("{name} is in no table: add it to FIGURES of regard-server"))
}

/// Figures that a quiet run cannot show: they tell of what went wrong, of other processes, or of what takes longer.
const RARE: &[&str] = &[
    "regard_cache_trip_seconds",
    "regard_follow_breaks_total",
    "regard_job_panics_total",
    "regard_panics_total",
    "regard_refused_total",
    "regard_retention_removed_total",
    "regard_tls_refused_total",
];

async fn get(address: &str, path: &str) -> String {
    http(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
}

async fn http(address: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn every_figure_is_told_twice_and_none_has_an_open_label() {
    run(async {
        let collector = Collector::start().await;
        let address = format!("127.0.0.1:{}", free_port());
        let (suite, _stores) = suite(&collector.address, &address).await;
        let client = suite.client("default");
        let token = record(&client, order("o-secret", "c-secret", 4_200, "2026-01-10")).await;
        let read = scores(&client, "c-secret", &[token]).await;
        assert!(score(&read, "historic_value").value.is_some());
        scores(&client, "c-secret", &[]).await;
        ingest(
            &client,
            vec![vec![row("o-bulk", "c-bulk", 100, "2026-01-10")]],
        )
        .await
        .unwrap();
        let traced = customer::GetTenantRequest::default();
        let traced = with_trace(traced, &format!("00-{TRACE}-{SPAN}-01"));
        client.tenants().get_tenant(traced).await.unwrap();

        let expected = || FIGURES.iter().filter(|f| !RARE.contains(&f.name));
        let missing = std::cell::RefCell::new(Vec::new());
        let page = until("every figure", || async {
            let page = get(&address, "/metrics").await;
            let (_, page) = page.split_once("\r\n\r\n").unwrap();
            let told = |f: &&Figure| page.contains(&format!("# TYPE {} ", f.name));
            let untold = expected().filter(|f| !told(f)).map(|f| f.name);
            missing.replace(untold.collect::<Vec<_>>());
            missing.borrow().is_empty().then(|| page.to_owned())
        });
        let page = tokio::time::timeout(Duration::from_secs(30), page).await;
        let page = page.unwrap_or_else(|_| panic!("not told: {missing:?}"));
        for (name, labels) in lines(&page) {
            let figure = figure(&name);
            for (label, value) in labels {
                if label == "le" && figure.kind == FigureKind::Histogram {
                    continue;
                }
                assert!(figure.labels.contains(&label.as_str()), "{name}: {label}");
                assert!(closed(&label, &value), "{name}: {label} = {value:?}");
            }
            let help = format!("# HELP {} {}\n", figure.name, figure.help);
            assert!(page.contains(&help), "{name} is not described");
        }
        assert!(!page.contains("secret") && !page.contains("default"));

        let told = until("the same by OTLP", || async {
            let told = collector.metrics();
            expected()
                .all(|f| told.contains_key(f.name))
                .then_some(told)
        })
        .await;
        for (name, metric) in &told {
            let kind = match metric.data {
                Some(Data::Sum(_)) => FigureKind::Counter,
                Some(Data::Gauge(_)) => FigureKind::Gauge,
                Some(Data::Histogram(_)) => FigureKind::Histogram,
                _ => panic!("{metric:?}"),
            };
            assert_eq!(figure(name).kind, kind, "{name}");
            assert_eq!(figure(name).help, metric.description, "{name}");
        }
    });
}

#[test]
fn a_collector_that_is_away_delays_nobody() {
    run(async {
        // It takes connections and never says a word.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let otlp = format!("http://{}", silent.local_addr().unwrap());
        let figures = format!("127.0.0.1:{}", free_port());
        let (mut suite, _stores) = sampling(&otlp, &figures, 1.0).await;
        let client = suite.client("default");
        let ask = async |calls: usize| {
            let began = Instant::now();
            let mut tenants = client.tenants();
            for _ in 0..calls {
                let message = customer::GetTenantRequest::default();
                tenants.get_tenant(message).await.unwrap();
            }
            began.elapsed()
        };
        let eight = || futures::future::join_all((0..8).map(|_| ask(1_200)));
        eight().await; // 9,600 spans: more than wait
        let dropped = until("dropped spans", || async {
            let page = get(&figures, "/metrics").await;
            let line = "regard_trace_spans_total{outcome=\"dropped\"} ";
            let rest = page.split_once(line)?.1;
            rest.lines().next()?.parse::<u64>().ok()
        })
        .await;
        assert!(dropped > 0);
        let began = Instant::now();
        suite.terminate();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "the stop took {took:?}");
    });
}

#[test]
fn the_level_of_the_logs_changes_while_it_runs() {
    run(async {
        let figures = format!("127.0.0.1:{}", free_port());
        let (_suite, _stores) = suite("", &figures).await;
        let put = |level: &str, more: &str| {
            format!(
                "PUT /log-level HTTP/1.1\r\nhost: x\r\n{more}content-length: {}\r\n\r\n{level}",
                level.len()
            )
        };
        let changed = http(&figures, &put("debug", "")).await;
        assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
        let wrong = http(&figures, &put("loud", "")).await;
        assert!(
            wrong.starts_with("HTTP/1.1 400") && wrong.contains("expected"),
            "{wrong}"
        );
        let browser = http(&figures, &put("trace", "origin: http://evil.example\r\n")).await;
        assert!(browser.starts_with("HTTP/1.1 403"), "{browser}");
        let read = get(&figures, "/log-level").await;
        assert!(read.starts_with("HTTP/1.1 405"), "{read}");
    });
}

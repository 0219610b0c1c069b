//! Tens of thousands of calls that no honest client makes, at a server in a process of its own: only codes that the contract
//! knows, each with its reason; no panic; no growth of memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use regard_testkit::{CacheKind, Engine, TestCache, TestStore, run};
use regard_tests::child::Process;
use regard_tests::plan::Plan;
use regard_tests::raw::{figure, figures};
use regard_tests::storm::{Case, Storm};
use regard_tests::values::{create, make_survey, order, reason, record, scores};
use regard_tests::{long, sized};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _};

/// Codes that no input may bring about.
const NEVER: [Code; 5] = [
    Code::Unknown,
    Code::Internal,
    Code::DataLoss,
    Code::OutOfRange,
    Code::Cancelled,
];

/// Cases, as long as there is time.
const COUNT: usize = 50_000;

/// What the server may hold more after all cases than after the first third of them: allocators keep what they had.
const GROWTH: u64 = 40 << 20;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// How a call ended; none where the server goes on answering.
async fn send(channel: &Channel, case: &Case) -> Result<Option<Status>, String> {
    let mut channel = channel.clone();
    let body =
        Full::new(case.body.clone()).map_err(|never: std::convert::Infallible| match never {});
    let mut request = http::Request::post(format!("http://suite{}", case.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if !timed(case) {
        request = request.header("grpc-timeout", "10S");
    }
    for (name, value) in &case.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Body::new(body)).map_err(|e| e.to_string())?;
    let ready = channel
        .ready()
        .await
        .map_err(|e| format!("not ready: {e}"))?;
    let response = match ready.call(request).await {
        Ok(response) => response,
        // Our own side keeps to the time that it states.
        Err(error) if format!("{error:?}").contains("TimeoutExpired") && timed(case) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("no answer: {error:?}")),
    };
    if !response.status().is_success() {
        return Err(format!("HTTP {}", response.status()));
    }
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Ok(Some(status));
    }
    let mut body = response.into_body();
    while let Some(part) = body.frame().await {
        match part
            .map_err(|e| format!("the stream broke: {e:?}"))?
            .into_data()
        {
            Ok(_) if case.streams => return Ok(None),
            Ok(_) => {}
            Err(part) => {
                let trailers = part.into_trailers().unwrap_or_default();
                return Status::from_header_map(&trailers)
                    .map(Some)
                    .ok_or_else(|| "no status".to_owned());
            }
        }
    }
    Err("no trailers".to_owned())
}

/// Whether a case states a time of its own.
fn timed(case: &Case) -> bool {
    case.headers.iter().any(|(name, _)| *name == "grpc-timeout")
}

/// What is wrong with an answer.
fn fault(answer: &Result<Option<Status>, String>) -> Option<String> {
    match answer {
        Err(broken) => Some(broken.clone()),
        Ok(None) => None,
        Ok(Some(status)) if status.code() == Code::Ok => None,
        Ok(Some(status)) => {
            let bad = NEVER.contains(&status.code())
                || reason(status).is_empty()
                || status.message().len() > 1_024
                || status.details().len() > 8 * 1_024;
            bad.then(|| format!("{status:?}"))
        }
    }
}

/// Bytes on the wire that are no HTTP/2: the server hangs up, and that is all.
async fn garbage(address: &str, seed: u64) {
    let place = address.trim_start_matches("http://");
    let Ok(mut stream) = tokio::net::TcpStream::connect(place).await else {
        return;
    };
    let mut bytes: Vec<u8> = (0..200_u64)
        .map(|n| {
            (seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n * n * 7_919)
                >> 13) as u8
        })
        .collect();
    if seed.is_multiple_of(3) {
        bytes.splice(0..0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().copied());
    }
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    let mut sink = [0; 1_024];
    let read = async { while matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
}

#[test]
fn bad_input_brings_nothing_down() {
    run(async {
        let stores = [
            TestStore::new(Engine::Sqlite).await,
            TestStore::new(Engine::Sqlite).await,
            TestStore::new(Engine::Sqlite).await,
        ];
        let _cache = TestCache::new(CacheKind::Memory).await;
        let page = format!("127.0.0.1:{}", free_port());
        let plan = Plan {
            customer: stores[0].url.clone(),
            feedback: stores[1].url.clone(),
            scoring: stores[2].url.clone(),
            listen: "127.0.0.1:0".to_owned(),
            figures: page.clone(),
            ..Plan::default()
        };
        let server = Process::start(env!("CARGO_BIN_EXE_suite"), &plan);
        let client = server.client("default");
        create(&client, "c").await;
        make_survey(&client, "s").await;
        let token = record(&client, order("o", "c", 1_000, "2026-01-01")).await;
        scores(&client, "c", &[token]).await;

        let storm = Arc::new(Storm::new());
        let (began, time) = (
            Instant::now(),
            Duration::from_secs(if long() { 1_200 } else { 240 }),
        );
        let (next, tried) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let faults = Arc::new(Mutex::new(Vec::new()));
        let settled = Arc::new(Mutex::new(None));
        let mut workers = Vec::new();
        for _ in 0..8 {
            let address = server.address.clone();
            let (storm, next, tried) = (storm.clone(), next.clone(), tried.clone());
            let (faults, settled) = (faults.clone(), settled.clone());
            let memory = server.memory_of();
            workers.push(tokio::spawn(async move {
                let channel = Endpoint::from_shared(address.clone())
                    .unwrap()
                    .connect_lazy();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= COUNT || began.elapsed() > time {
                        return;
                    }
                    if number >= COUNT / 3 || began.elapsed() > time / 3 {
                        settled.lock().unwrap().get_or_insert_with(&memory);
                    }
                    if number % 100 == 99 {
                        garbage(&address, number as u64).await;
                    }
                    let case = storm.case(number);
                    let answer =
                        tokio::time::timeout(Duration::from_secs(30), send(&channel, &case)).await;
                    let answer = answer.unwrap_or_else(|_| Err("no end within 30 s".to_owned()));
                    if let Some(fault) = fault(&answer) {
                        faults.lock().unwrap().push(format!(
                            "case {number}, {} of {}: {fault}",
                            case.kind, case.path
                        ));
                    }
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let first = server.memory();
        for worker in workers {
            worker.await.unwrap();
        }
        let tried = tried.load(Ordering::Relaxed);
        let mut faults = std::mem::take(&mut *faults.lock().unwrap());
        // Whoever is honest is served as before.
        scores(&client, "c", &[]).await;
        let page = figures(page.parse().unwrap()).await;
        let panics =
            figure(&page, "regard_panics_total", "") + figure(&page, "regard_job_panics_total", "");
        if panics > 0.0 {
            faults.push(format!("{panics} panics"));
        }
        let (settled, last) = (settled.lock().unwrap().unwrap_or(first), server.memory());
        if last > settled + GROWTH {
            faults.push(format!(
                "memory grew from {} to {} MiB",
                settled >> 20,
                last >> 20
            ));
        }
        println!(
            "{tried} bad inputs, {} violations; memory {} MiB after a third, {} MiB at the end",
            faults.len(),
            settled >> 20,
            last >> 20
        );
        if let Some(path) = std::env::var_os("REGARD_SECURITY_OUT_WILD") {
            let told = format!(
                "{{\"bad_inputs\":{tried},\"violations\":{}}}\n",
                faults.len()
            );
            std::fs::write(path, told).unwrap();
        }
        assert!(
            faults.is_empty(),
            "{} violations:\n{}",
            faults.len(),
            faults[..faults.len().min(30)].join("\n")
        );
        // All of them, or as many as a slow machine has time for.
        assert!(tried >= sized(5_000, COUNT), "{tried} cases only");
    });
}

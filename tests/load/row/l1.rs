//! L1: `GetScores` from the in-process cache against a bare tonic echo whose request and answer have the same sizes.
//! One core serves, the other calls; the caller neither encodes nor decodes, for both alike.

use std::path::Path;

use prost::Message;
use regard_proto::scoring::v1 as scoring;
use regard_types::ChangeToken;

use crate::drive::{self, Drive};
use crate::report::Row;
use crate::serve::Serve;
use crate::stats::{Run, abba};
use crate::{Plan, market, wire};

pub const GET: &str = "/regard.scoring.v1.ScoreService/GetScores";
const CUSTOMERS: u64 = 1_000;
const ORDERS: usize = 5_000;
const CONCURRENCY: usize = 64;

/// The row.
///
/// # Errors
/// A server or a call that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let (server, client) = plan.cores;
    let serve = Serve::start(plan, &plan.scratch.join("l1"), &[], &[], server)?;
    let orders = market::batches("l1", ORDERS, CUSTOMERS, true);
    let token = market::ingest(&serve, orders, ORDERS)?;
    super::scored(&serve, 0, &token)?;
    let answer: scoring::GetScoresResponse = serve.call(GET, &ask(0, None))?;
    let answer = answer.encoded_len();

    let asked = plan.scratch.join("l1.bodies");
    drive::write(&asked, (0..CUSTOMERS).map(|n| ask(n, None).encode_to_vec()))?;
    let size = ask(0, None).encoded_len();
    let same = plan.scratch.join("l1.echo");
    drive::write(&same, [wire::blob(size).encode_to_vec()])?;
    let echo = Serve::echo(plan, answer, server)?;

    let seconds = if plan.short { 2.0 } else { 4.0 };
    let drive = |serve: &Serve, path: &str, bodies: &Path, seconds: f64| -> anyhow::Result<Run> {
        let drive = Drive {
            address: serve.address.clone(),
            path: path.to_owned(),
            concurrency: CONCURRENCY,
            bodies: bodies.to_owned(),
            seconds,
            from: 0,
            count: 0,
            key: String::new(),
            ca: String::new(),
        };
        let cpu = serve.cpu()?;
        let driven = drive.spawn(client)?;
        Ok(Run {
            figure: driven.calls as f64 / driven.seconds,
            cpu: (serve.cpu()? - cpu) / driven.calls as f64,
        })
    };
    // Every entry is in the cache after the first pass.
    drive(&serve, GET, &asked, 1.0)?;
    drive(&echo, wire::ECHO, &same, 1.0)?;
    let pairs = abba(
        plan.pairs,
        |_| drive(&serve, GET, &asked, seconds),
        |_| drive(&echo, wire::ECHO, &same, seconds),
    )?;
    let note = format!(
        "request {size} B, answer {answer} B, {CONCURRENCY} in flight, {CUSTOMERS} customers; server on core {server:?}, caller on {client:?}"
    );
    serve.stop()?;
    Ok(vec![Row::of("L1", "requests/s", 0.80, &pairs, note)])
}

/// A request for all scores.
pub fn ask(number: u64, token: Option<&ChangeToken>) -> scoring::GetScoresRequest {
    scoring::GetScoresRequest {
        customer: Some(market::customer(number)),
        change_tokens: token.map(ChangeToken::encode).into_iter().collect(),
        ..scoring::GetScoresRequest::default()
    }
}

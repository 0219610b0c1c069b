//! L4: one order by one unary call, durable, against pgbench running the statements that the service runs, in the same
//! database. The script is made from PostgreSQL's own log of a call, so that the two cannot drift apart.

use std::cell::RefCell;
use std::process::Command;

use anyhow::{Context, bail};
use prost::Message;
use regard_proto::customer::v1 as pb;

use crate::Plan;
use crate::drive::{self, Drive};
use crate::market;
use crate::postgres::{Store, psql};
use crate::report::Row;
use crate::script::Script;
use crate::stats::{Run, abba, median};

const RECORD: &str = "/regard.customer.v1.OrderService/RecordOrder";
const CUSTOMERS: u64 = 10_000;
const FIRST: usize = 50_000;
const CLIENTS: usize = 16;
/// Calls whose statements are logged; one of them is on a lane whose number stands for nothing else.
const LOGGED: u64 = 16;
/// Units of the logged order, which occur nowhere else.
const UNITS: i64 = 424_242;

/// The row.
///
/// # Errors
/// A server, a call or a statement that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let store = Store::new()?;
    let serve = store.serve(plan, &plan.scratch.join("l4"), &["customer"])?;
    market::ingest(
        &serve,
        market::batches("first", FIRST, CUSTOMERS, true),
        FIRST,
    )?;
    serve.stop()?;

    let admin = store.admin_url("customer");
    let database = admin.rsplit('/').next().context("a database has a name")?;
    let log = |what: &str| {
        psql(
            admin,
            &[&format!(
                "ALTER DATABASE {database} SET log_statement = '{what}'"
            )],
        )
    };
    log("all")?;
    let serve = store.serve(plan, &plan.scratch.join("l4"), &["customer"])?;
    for number in 0..LOGGED {
        let mut request = request("logged", number);
        if let Some(order) = &mut request.order {
            order.units = UNITS;
        }
        let _: pb::RecordOrderResponse = serve.call(RECORD, &request)?;
    }
    serve.stop()?;
    log("none")?;
    let script = Script::of_log(&store.log()?, UNITS)?;
    let file = plan.scratch.join("l4.sql");
    std::fs::write(&file, &script.text)?;

    let serve = store.serve(plan, &plan.scratch.join("l4"), &["customer"])?;
    let count = if plan.short { 3_000 } else { 8_000 };
    let bodies = plan.scratch.join("l4.bodies");
    let all = (plan.pairs + 1) * count;
    drive::write(
        &bodies,
        (0..all as u64).map(|n| request("unary", n).encode_to_vec()),
    )?;
    let (own, late) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let ours = |run: usize| {
        let drive = Drive {
            address: serve.address.clone(),
            path: RECORD.to_owned(),
            concurrency: CLIENTS,
            bodies: bodies.clone(),
            seconds: 0.0,
            from: run * count,
            count,
            key: String::new(),
            ca: String::new(),
        };
        let (cpu, all) = (serve.cpu()?, store.cpu()?);
        let driven = drive.spawn(None)?;
        let cpu = (serve.cpu()? - cpu) / driven.calls as f64;
        own.borrow_mut().push(cpu * 1e6);
        late.borrow_mut().push(driven.p99_us / 1e3);
        anyhow::Ok(Run {
            figure: driven.calls as f64 / driven.seconds,
            cpu: cpu + (store.cpu()? - all) / driven.calls as f64,
        })
    };
    let theirs = |run: usize| {
        let each = count / CLIENTS;
        let cpu = store.cpu()?;
        let output = Command::new("pgbench")
            .args([
                "-n",
                "-M",
                "prepared",
                "-j",
                "2",
                "-c",
                &CLIENTS.to_string(),
                "-t",
                &each.to_string(),
            ])
            .args(["-D", &format!("run={run}"), "-D", "i=0", "-f"])
            .arg(&file)
            .arg(store.url("customer"))
            .output()
            .context("pgbench")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|l| l.strip_prefix("tps = "));
        let tps = line
            .and_then(|l| l.split(' ').next())
            .and_then(|n| n.parse().ok());
        let (true, Some(figure)) = (output.status.success(), tps) else {
            bail!(
                "pgbench: {text}{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                script.text
            );
        };
        Ok(Run {
            figure,
            cpu: (store.cpu()? - cpu) / (each * CLIENTS) as f64,
        })
    };
    ours(plan.pairs)?;
    theirs(plan.pairs)?;
    let pairs = abba(plan.pairs, ours, theirs)?;
    serve.stop()?;
    let note = format!(
        "{CLIENTS} clients, fsync on, {} statements a transaction; p99 {:.1} ms; of the CPU, regard {:.0} µs, the rest PostgreSQL",
        script.statements,
        median(&late.borrow()),
        median(&own.borrow())
    );
    Ok(vec![Row::of("L4", "orders/s", 0.70, &pairs, note)])
}

fn request(series: &str, number: u64) -> pb::RecordOrderRequest {
    pb::RecordOrderRequest {
        order: Some(market::order(series, number, CUSTOMERS, false)),
        request_id: format!("{series}-{number}"),
        ..pb::RecordOrderRequest::default()
    }
}

//! RLS: the same service with row-level security behind its doors (its role owns nothing and sees one tenant) against
//! without (its role owns the tables): one read by id, one order by one unary call, orders in bulk. Each server has a
//! database of its own, filled alike.

use prost::Message;
use regard_proto::customer::v1 as pb;

use crate::Plan;
use crate::drive::{self, Drive};
use crate::market::{self, BATCH};
use crate::postgres::Store;
use crate::report::Row;
use crate::serve::Serve;
use crate::stats::{Run, abba};

const GET: &str = "/regard.customer.v1.CustomerService/GetCustomer";
const RECORD: &str = "/regard.customer.v1.OrderService/RecordOrder";
const CUSTOMERS: u64 = 10_000;
const FIRST: usize = 50_000;
const READERS: usize = 32;
const WRITERS: usize = 16;

/// One server and the store that it works on.
struct Side {
    store: Store,
    serve: Serve,
}

impl Side {
    fn open(plan: &Plan, row_security: bool) -> anyhow::Result<Self> {
        let store = Store::new()?;
        let folder = plan.scratch.join(format!("rls-{row_security}"));
        let serve = store.serve_with(plan, &folder, &["customer"], row_security)?;
        let first = market::batches("first", FIRST, CUSTOMERS, true);
        market::ingest(&serve, first, FIRST)?;
        Ok(Self { store, serve })
    }

    /// CPU seconds of the service and of all of PostgreSQL.
    fn cpu(&self) -> anyhow::Result<f64> {
        Ok(self.serve.cpu()? + self.store.cpu()?)
    }

    fn calls(&self, drive: Drive) -> anyhow::Result<Run> {
        let drive = Drive {
            address: self.serve.address.clone(),
            ..drive
        };
        let cpu = self.cpu()?;
        let driven = drive.spawn(None)?;
        Ok(Run {
            figure: driven.calls as f64 / driven.seconds,
            cpu: (self.cpu()? - cpu) / driven.calls as f64,
        })
    }

    fn ingest(&self, series: &str, rows: usize) -> anyhow::Result<Run> {
        let batches = market::batches(series, rows, CUSTOMERS, false);
        let (cpu, start) = (self.cpu()?, std::time::Instant::now());
        market::ingest(&self.serve, batches, rows)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Run {
            figure: rows as f64 / seconds,
            cpu: (self.cpu()? - cpu) / rows as f64,
        })
    }
}

/// The rows.
///
/// # Errors
/// A server or a call that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let walled = Side::open(plan, true)?;
    let open = Side::open(plan, false)?;
    let rows = vec![
        read(plan, &walled, &open)?,
        write(plan, &walled, &open)?,
        bulk(plan, &walled, &open)?,
    ];
    walled.serve.stop()?;
    open.serve.stop()?;
    Ok(rows)
}

fn drive(path: &str, concurrency: usize, bodies: std::path::PathBuf) -> Drive {
    Drive {
        address: String::new(),
        path: path.to_owned(),
        concurrency,
        bodies,
        seconds: 0.0,
        from: 0,
        count: 0,
        key: String::new(),
        ca: String::new(),
    }
}

fn read(plan: &Plan, walled: &Side, open: &Side) -> anyhow::Result<Row> {
    let bodies = plan.scratch.join("rls.get");
    let ask = |n| pb::GetCustomerRequest {
        customer: Some(market::customer(n)),
    };
    drive::write(&bodies, (0..CUSTOMERS).map(|n| ask(n).encode_to_vec()))?;
    let get = |side: &Side, seconds: f64| {
        side.calls(Drive {
            seconds,
            ..drive(GET, READERS, bodies.clone())
        })
    };
    let seconds = if plan.short { 2.0 } else { 4.0 };
    get(walled, 1.0)?;
    get(open, 1.0)?;
    let pairs = abba(plan.pairs, |_| get(walled, seconds), |_| get(open, seconds))?;
    let note = format!("GetCustomer, {READERS} in flight; CPU with PostgreSQL's");
    Ok(Row::of("RLS.read", "requests/s", 0.79, &pairs, note))
}

fn write(plan: &Plan, walled: &Side, open: &Side) -> anyhow::Result<Row> {
    let count = if plan.short { 3_000 } else { 8_000 };
    let bodies = plan.scratch.join("rls.record");
    let request = |number| pb::RecordOrderRequest {
        order: Some(market::order("unary", number, CUSTOMERS, false)),
        request_id: format!("unary-{number}"),
        ..pb::RecordOrderRequest::default()
    };
    let all = ((plan.pairs + 1) * count) as u64;
    drive::write(&bodies, (0..all).map(|n| request(n).encode_to_vec()))?;
    let record = |side: &Side, run: usize| {
        side.calls(Drive {
            from: run * count,
            count,
            ..drive(RECORD, WRITERS, bodies.clone())
        })
    };
    record(walled, plan.pairs)?;
    record(open, plan.pairs)?;
    let pairs = abba(
        plan.pairs,
        |run| record(walled, run),
        |run| record(open, run),
    )?;
    let note = format!("RecordOrder, {WRITERS} in flight, fsync on; CPU with PostgreSQL's");
    Ok(Row::of("RLS.write", "orders/s", 0.90, &pairs, note))
}

fn bulk(plan: &Plan, walled: &Side, open: &Side) -> anyhow::Result<Row> {
    let rows = BATCH * if plan.short { 4 } else { 10 };
    let series = |run: usize| format!("bulk{run:03}");
    walled.ingest(&series(999), rows)?;
    open.ingest(&series(999), rows)?;
    let pairs = abba(
        plan.pairs,
        |run| walled.ingest(&series(run), rows),
        |run| open.ingest(&series(run), rows),
    )?;
    let note =
        format!("IngestOrders, {rows} orders a run in batches of {BATCH}; CPU with PostgreSQL's");
    Ok(Row::of("RLS.bulk", "rows/s", 0.80, &pairs, note))
}

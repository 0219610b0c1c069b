//! L5: `IngestOrders` on PostgreSQL against psql's COPY of the same rows into tables of the same shape and indexes.
//! L6: the same on SQLite against prepared inserts by Python's sqlite3, one transaction a batch, same pragmas.
//! Subject and baseline grow alike. The baseline takes the rows that an earlier run of the subject stored.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::Plan;
use crate::market::{self, BATCH};
use crate::postgres::{Store, psql};
use crate::report::Row;
use crate::serve::Serve;
use crate::stats::{Run, abba, median};

const CUSTOMERS: u64 = 10_000;
const FIRST: usize = 50_000;

/// Series of orders that were stored and not yet copied.
type Ready = RefCell<VecDeque<String>>;

fn size(plan: &Plan) -> usize {
    BATCH * if plan.short { 4 } else { 10 }
}

fn series(pair: usize) -> String {
    format!("run{pair:03}")
}

/// One run of the subject; `others` is CPU of other processes that serve it.
fn subject(
    serve: &Serve,
    name: &str,
    rows: usize,
    others: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<(Run, f64)> {
    let orders = market::batches(name, rows, CUSTOMERS, false);
    let (own, other, start) = (serve.cpu()?, others()?, Instant::now());
    market::ingest(serve, orders, rows)?;
    let seconds = start.elapsed().as_secs_f64();
    let own = (serve.cpu()? - own) / rows as f64;
    let run = Run {
        figure: rows as f64 / seconds,
        cpu: own + (others()? - other) / rows as f64,
    };
    Ok((run, own))
}

/// L5.
///
/// # Errors
/// A server or a statement that fails.
pub fn l5(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let store = Store::new()?;
    let serve = store.serve(plan, &plan.scratch.join("l5"), &["customer"])?;
    let rows = size(plan);
    market::ingest(
        &serve,
        market::batches("first", FIRST, CUSTOMERS, true),
        FIRST,
    )?;
    // COPY is refused under row-level security: the baseline is the superuser's.
    let url = store.admin_url("customer");
    psql(
        url,
        &[
            "CREATE TABLE copied_order (LIKE sales_order INCLUDING ALL)",
            "CREATE TABLE copied_change (LIKE change INCLUDING ALL)",
        ],
    )?;
    let file = |name: &str, table: &str| plan.scratch.join(format!("{name}.{table}"));
    let export = |name: &str| {
        let chosen = format!("o.key_source = 'shop' AND o.key_external LIKE '{name}-%'");
        let orders = format!(
            "\\copy (SELECT o.* FROM sales_order o WHERE {chosen} ORDER BY o.tenant, o.id) TO '{}'",
            file(name, "order").display()
        );
        let changes = format!(
            "\\copy (SELECT c.* FROM change c JOIN sales_order o ON o.tenant = c.tenant AND o.id = c.record \
             WHERE {chosen} ORDER BY c.lane, c.position) TO '{}'",
            file(name, "change").display()
        );
        psql(url, &[&orders, &changes])
    };
    let (ready, own) = (Ready::default(), RefCell::new(Vec::new()));
    let ours = |name: String| {
        let (run, cpu) = subject(&serve, &name, rows, || store.cpu())?;
        own.borrow_mut().push(cpu * 1e6);
        export(&name)?;
        ready.borrow_mut().push_back(name);
        anyhow::Ok(run)
    };
    ours(series(999))?;
    let pairs = abba(
        plan.pairs,
        |pair| ours(series(pair)),
        |_| {
            let name = ready.borrow_mut().pop_front().context("nothing to copy")?;
            let copies =
                [("copied_order", "order"), ("copied_change", "change")].map(|(table, part)| {
                    format!("\\copy {table} FROM '{}'", file(&name, part).display())
                });
            let (cpu, start) = (store.cpu()?, Instant::now());
            psql(url, &["BEGIN", &copies[0], &copies[1], "COMMIT"])?;
            let seconds = start.elapsed().as_secs_f64();
            let cpu = (store.cpu()? - cpu) / rows as f64;
            for part in ["order", "change"] {
                std::fs::remove_file(file(&name, part))?;
            }
            Ok(Run {
                figure: rows as f64 / seconds,
                cpu,
            })
        },
    )?;
    let note = format!(
        "{rows} orders a run in batches of {BATCH}, each durable when answered (COPY: one transaction); of the CPU, regard {:.1} µs, the rest PostgreSQL",
        median(&own.borrow())
    );
    serve.stop()?;
    Ok(vec![Row::of("L5", "rows/s", 0.60, &pairs, note)])
}

/// L6.
///
/// # Errors
/// A server or a statement that fails.
pub fn l6(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let folder = plan.scratch.join("l6");
    let serve = Serve::start(plan, &folder, &["customer"], &[], None)?;
    let rows = size(plan);
    market::ingest(
        &serve,
        market::batches("first", FIRST, CUSTOMERS, true),
        FIRST,
    )?;
    let source = database(&folder)?;
    let script = plan.folder.join("sqlite_insert.py");
    let target = folder.join("inserted.db");
    let ready = Ready::default();
    let ours = |name: String| {
        let (run, _) = subject(&serve, &name, rows, || Ok(0.0))?;
        ready.borrow_mut().push_back(name);
        anyhow::Ok(run)
    };
    ours(series(999))?;
    let pairs = abba(
        plan.pairs,
        |pair| ours(series(pair)),
        |_| {
            let name = ready
                .borrow_mut()
                .pop_front()
                .context("nothing to insert")?;
            let output = Command::new("python3")
                .arg(&script)
                .args([&source, &target])
                .args([&name, &BATCH.to_string()])
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Vec<f64> = text
                .split_whitespace()
                .filter_map(|w| w.parse().ok())
                .collect();
            let [inserted, seconds, cpu] = numbers[..] else {
                bail!(
                    "sqlite_insert.py: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            };
            if inserted as usize != rows {
                bail!("sqlite_insert.py inserted {inserted} of {rows} orders");
            }
            Ok(Run {
                figure: inserted / seconds,
                cpu: cpu / inserted,
            })
        },
    )?;
    let note =
        format!("{rows} orders a run in batches of {BATCH}; the baseline has its rows in memory");
    serve.stop()?;
    Ok(vec![Row::of("L6", "rows/s", 0.50, &pairs, note)])
}

/// The customer service's file in a data folder.
fn database(folder: &Path) -> anyhow::Result<PathBuf> {
    let files = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path());
    let found = files.filter(|path| path.extension().is_some_and(|e| e == "db"));
    let mut named = found.filter(|path| path.to_string_lossy().contains("customer"));
    named.next().with_context(|| {
        format!(
            "no database of the customer service in {}",
            folder.display()
        )
    })
}

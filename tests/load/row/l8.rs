//! L8: scoring catches up from nothing (events, summaries, scores) against a plain SQL cursor over the same changes.

use std::time::Instant;

use crate::Plan;
use crate::market;
use crate::postgres::{Store, ask, psql};
use crate::report::Row;
use crate::serve::Serve;
use crate::stats::{Run, abba, median};

const FETCH: usize = 2_000;

/// The row on PostgreSQL.
///
/// # Errors
/// A server or a statement that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let store = Store::new()?;
    let orders = if plan.short { 50_000 } else { 200_000 };
    let customers = orders as u64 / 10;
    let folder = plan.scratch.join("l8");
    let serve = store.serve(plan, &folder, &["customer"])?;
    let token = market::ingest(
        &serve,
        market::batches("l8", orders, customers, true),
        orders,
    )?;
    serve.stop()?;
    let url = store.url("customer");
    psql(url, &["VACUUM ANALYZE change"])?;
    let rows: f64 = ask(url, "SELECT count(*) FROM change")?.parse()?;

    let mut own = Vec::new();
    let pairs = abba(
        plan.pairs,
        |_| {
            // An empty scoring database each time.
            let fresh = Store::new()?;
            let settings = [
                ("REGARD_CUSTOMER__DATABASE__URL", url),
                ("REGARD_FEEDBACK__DATABASE__URL", store.url("feedback")),
                ("REGARD_SCORING__DATABASE__URL", fresh.url("scoring")),
            ];
            let (cpu, start) = (store.cpu()?, Instant::now());
            let serve = Serve::start(plan, &folder, &[], &settings, None)?;
            super::scored(&serve, 0, &token)?;
            let seconds = start.elapsed().as_secs_f64();
            let ours = serve.cpu()? / rows;
            own.push(ours * 1e6);
            let run = Run {
                figure: rows / seconds,
                cpu: ours + (store.cpu()? - cpu) / rows,
            };
            serve.stop()?;
            Ok(run)
        },
        |_| {
            let (cpu, start) = (store.cpu()?, Instant::now());
            let fetch = format!("\\set FETCH_COUNT {FETCH}");
            psql(
                url,
                &[&fetch, "SELECT * FROM change ORDER BY lane, position"],
            )?;
            Ok(Run {
                figure: rows / start.elapsed().as_secs_f64(),
                cpu: (store.cpu()? - cpu) / rows,
            })
        },
    )?;
    let note = format!(
        "{rows} changes ({orders} orders of {customers} customers), from spawn of the server; of the CPU, regard {:.1} µs, the rest PostgreSQL",
        median(&own)
    );
    Ok(vec![Row::of("L8", "changes/s", 0.25, &pairs, note)])
}

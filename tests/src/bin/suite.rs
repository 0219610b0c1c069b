//! Services of the suite in a process of their own, so that a test can kill it: `suite PLAN`, the plan as JSON
//! (see `regard_tests::plan::Plan`). Prints `ready` and the address once it serves.

use std::io::Write as _;

use anyhow::Context as _;
use regard_server::{LogSettings, init_telemetry};
use regard_tests::plan::Plan;
use regard_types::Clock;

fn main() -> anyhow::Result<()> {
    let plan = std::env::args().nth(1).context("expected a plan as JSON")?;
    let plan: Plan = serde_json::from_str(&plan).context("the plan")?;
    let log = LogSettings {
        level: std::env::var("SUITE_LOG").unwrap_or_else(|_| "error".to_owned()),
        ..LogSettings::default()
    };
    let mut telemetry = init_telemetry((&log, "SUITE_LOG"), (&plan.telemetry, "telemetry"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        telemetry.start();
        let open = plan.open(&Clock::System).await?;
        let address = open
            .running
            .address()
            .map(|address| address.to_string())
            .unwrap_or_default();
        writeln!(std::io::stdout(), "ready {address}")?;
        regard_server::stop_signal().await;
        open.running.stop().await;
        telemetry.stop().await;
        Ok(())
    })
}

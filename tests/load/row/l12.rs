//! L12: what an idle suite weighs, how long it takes to start, and how large the binary is.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::Plan;
use crate::report::Row;
use crate::serve::Serve;

const MIB: f64 = 1_048_576.0;

/// The rows.
///
/// # Errors
/// A server that does not start.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let folder = plan.scratch.join("l12");
    Serve::start(plan, &folder, &[], &[], None)?.stop()?;
    let (mut memory, mut start) = (Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        let serve = Serve::start(plan, &folder, &[], &[], None)?;
        start.push(serve.start.as_secs_f64());
        std::thread::sleep(Duration::from_secs(if plan.short { 2 } else { 5 }));
        memory.push(serve.resident()? / MIB);
        serve.stop()?;
    }
    let stripped = plan.scratch.join("stripped");
    let done = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&plan.regard)
        .status();
    if !done.context("strip (Debian: binutils)")?.success() {
        bail!("strip failed on {}", plan.regard.display());
    }
    let size = std::fs::metadata(&stripped)?.len() as f64 / MIB;
    Ok(vec![
        Row::small(
            "L12.memory",
            "MiB",
            40.0,
            &memory,
            "resident, all services, SQLite, idle".to_owned(),
        ),
        Row::small(
            "L12.start",
            "s",
            0.5,
            &start,
            "from spawn to SERVING, stores migrated".to_owned(),
        ),
        Row::small("L12.binary", "MiB", 40.0, &[size], "stripped".to_owned()),
    ])
}

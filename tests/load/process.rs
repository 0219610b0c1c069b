//! What a process costs.

use std::fs;

use anyhow::Context;

/// Linux counts in these units since it fixed USER_HZ.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds that a process used so far, all threads, user and system.
///
/// # Errors
/// When the process is gone.
pub fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = Stat::read(pid)?;
    Ok(stat.own)
}

/// CPU seconds of this process so far.
///
/// # Errors
/// When `/proc` is not there.
pub fn own_cpu() -> anyhow::Result<f64> {
    cpu(std::process::id())
}

/// CPU seconds of a server of processes (PostgreSQL): itself, its children that live, and those that ended.
///
/// # Errors
/// When the process is gone.
pub fn cpu_family(pid: u32) -> anyhow::Result<f64> {
    let head = Stat::read(pid)?;
    let mut sum = head.own + head.ended;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process may end while we look.
        if let Ok(stat) = Stat::read(id)
            && stat.parent == pid
        {
            sum += stat.own;
        }
    }
    Ok(sum)
}

/// Bytes of a process that lie in memory.
///
/// # Errors
/// When the process is gone.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

struct Stat {
    parent: u32,
    own: f64,
    ended: f64,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is gone"))?;
        // The name stands in brackets and may hold anything.
        let (_, rest) = text.rsplit_once(") ").context("/proc stat")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks = |i: usize| -> anyhow::Result<f64> {
            Ok(fields.get(i).context("/proc stat")?.parse::<f64>()? / TICKS_A_SECOND)
        };
        Ok(Self {
            parent: fields.get(1).context("/proc stat")?.parse()?,
            own: ticks(11)? + ticks(12)?,
            ended: ticks(13)? + ticks(14)?,
        })
    }
}

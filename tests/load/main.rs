//! The load table: each row is a ratio against a baseline of the same run. `tests/load/run` builds and starts it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod drive;
mod market;
mod postgres;
mod process;
mod report;
mod row;
mod script;
mod serve;
mod stats;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use report::Row;

/// Measures the rows of the load table.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// Only these rows, such as L5 (all of its parts) or L9.cdnow; may be given more than once.
    #[arg(long = "row")]
    rows: Vec<String>,
    /// Fewer and shorter runs.
    #[arg(long)]
    short: bool,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
    /// The release binary under test.
    #[arg(long, default_value = "regard")]
    regard: PathBuf,
    /// A Python with the package lifetimes.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The folder of the scripts.
    #[arg(long, default_value = "tests/load")]
    folder: PathBuf,
    /// Pairs of runs a row: 10, or 3 in short.
    #[arg(long)]
    pairs: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Sends load to a server (used by the rows).
    Drive(drive::Drive),
    /// Serves the bare echo (used by L1).
    Echo {
        address: SocketAddr,
        /// Bytes of an answer.
        answer: usize,
    },
    /// Serves the suite with all of the platform, and beside it bare (used by the row platform).
    Platform(row::platform::Serve),
}

/// What every row needs to know.
#[derive(Debug)]
pub struct Plan {
    pub short: bool,
    pub pairs: usize,
    pub regard: PathBuf,
    pub python: Option<PathBuf>,
    pub folder: PathBuf,
    /// Gone at the end.
    pub scratch: PathBuf,
    /// Cores for a server and its caller, where there are two.
    pub cores: (Option<usize>, Option<usize>),
}

type Measure = fn(&Plan) -> anyhow::Result<Vec<Row>>;
const ROWS: [(&str, Measure); 9] = [
    ("L1", row::l1::run),
    ("L4", row::l4::run),
    ("L5", row::ingest::l5),
    ("L6", row::ingest::l6),
    ("L8", row::l8::run),
    ("L9", row::l9::run),
    ("L12", row::l12::run),
    ("platform", row::platform::run),
    ("RLS", row::rls::run),
];

fn main() -> std::process::ExitCode {
    match work() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("regard-load: {why:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn work() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Drive(drive)) => {
            println!("{}", serde_json::to_string(&drive.run()?)?);
            return Ok(());
        }
        Some(Part::Echo { address, answer }) => return wire::serve_echo(address, answer),
        Some(Part::Platform(serve)) => return serve.run(),
        None => {}
    }
    let scratch = tempfile::Builder::new().prefix("regard-load.").tempdir()?;
    let plan = Plan {
        short: cli.short,
        pairs: cli.pairs.unwrap_or(if cli.short { 3 } else { 10 }).max(1),
        regard: cli.regard,
        python: cli.python,
        folder: cli.folder,
        scratch: scratch.path().to_owned(),
        cores: match std::thread::available_parallelism() {
            Ok(n) if n.get() >= 2 => (Some(0), Some(1)),
            _ => (None, None),
        },
    };
    let wanted = |id: &str| {
        cli.rows.is_empty()
            || cli.rows.iter().any(|r| {
                let family = r.split('.').next().unwrap_or(r);
                family.eq_ignore_ascii_case(id)
            })
    };
    for row in &cli.rows {
        let family = row.split('.').next().unwrap_or(row);
        if !ROWS.iter().any(|(id, _)| id.eq_ignore_ascii_case(family)) {
            let known: Vec<&str> = ROWS.iter().map(|(id, _)| *id).collect();
            anyhow::bail!("--row {row}: expected one of {}", known.join(", "));
        }
    }
    let mut done = Vec::new();
    let mut failed = false;
    for (id, measure) in ROWS.iter().filter(|(id, _)| wanted(id)) {
        match measure(&plan).with_context(|| format!("row {id}")) {
            Ok(rows) => {
                for row in rows {
                    if !cli.json {
                        println!("{}", row.line());
                    }
                    done.push(row);
                }
            }
            // The other rows are still worth their time.
            Err(e) => {
                eprintln!("{e:#}");
                failed = true;
            }
        }
    }
    if cli.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({ "rows": done }))?
        );
    }
    if failed {
        anyhow::bail!("a row could not be measured");
    }
    Ok(())
}

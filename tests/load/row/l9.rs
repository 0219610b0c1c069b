//! L9: the BG/NBD fit against the Python package `lifetimes`, both in memory, fit only.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use regard_models::purchase::{self, Params};
use regard_models::simulate::{self, Market};
use regard_models::{Model, Parameters, Stat};

use crate::Plan;
use crate::process::own_cpu;
use crate::report::Row;
use crate::stats::{Pairs, Run, abba};

const TRUTH: Params = Params {
    r: 0.25,
    alpha: 4.5,
    a: 0.8,
    b: 2.5,
};

/// A Python process that keeps the data in memory and fits when told to.
struct Lifetimes {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Lifetimes {
    fn start(python: &Path, script: &Path, file: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the pipes of {} are gone", python.display());
        };
        let mut it = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        it.line()?;
        Ok(it)
    }

    fn line(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("lifetimes ended; its error is above");
        }
        line.split_whitespace()
            .map(|word| {
                word.parse()
                    .with_context(|| format!("lifetimes said {line:?}"))
            })
            .collect()
    }

    /// Seconds, and r, alpha, a, b.
    fn fit(&mut self) -> anyhow::Result<(f64, Vec<f64>)> {
        writeln!(self.input, "fit")?;
        self.input.flush()?;
        let numbers = self.line()?;
        let (seconds, params) = numbers.split_first().context("lifetimes said nothing")?;
        Ok((*seconds, params.to_vec()))
    }
}

impl Drop for Lifetimes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both sizes.
///
/// # Errors
/// Missing files, or a fit that fails.
pub fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let python = plan
        .python
        .clone()
        .context("--python is needed for L9: a Python that has the package lifetimes")?;
    let script = plan.folder.join("lifetimes_fit.py");
    let cdnow = plan
        .folder
        .join("../data/cdnow_customers_summary_with_transactions.csv");
    let small = read(&cdnow)?;
    let (pairs, same) = compare(&python, &script, &cdnow, &small, plan.pairs)?;
    let mut rows = vec![Row::of(
        "L9.cdnow",
        "fits/s",
        10.0,
        &pairs,
        format!(
            "{} customers; largest relative difference of a parameter {same:.1e}",
            small.len()
        ),
    )];

    let market = Market {
        customers: 1_000_000,
        weeks: 13.0..=78.0,
        future_weeks: 0.0,
        seed: 1,
    };
    let stats: Vec<Stat> = simulate::market(Model::BgNbd, &TRUTH, &market)
        .iter()
        .map(|c| c.stat)
        .collect();
    let file = plan.scratch.join("million.csv");
    write(&file, &stats)?;
    // A fit of lifetimes takes a minute or more.
    let count = if plan.short { 1 } else { plan.pairs };
    let (pairs, same) = compare(&python, &script, &file, &stats, count)?;
    rows.push(Row::of(
        "L9.million",
        "fits/s",
        40.0,
        &pairs,
        format!("1,000,000 customers, all rows distinct; largest relative difference of a parameter {same:.1e}"),
    ));
    Ok(rows)
}

fn compare(
    python: &Path,
    script: &Path,
    file: &Path,
    stats: &[Stat],
    count: usize,
) -> anyhow::Result<(Pairs, f64)> {
    let mut other = Lifetimes::start(python, script, file)?;
    let fit = purchase::fit(Model::BgNbd, stats)?;
    let ours = fit.params.values();
    let mut apart = 0.0_f64;
    let pairs = abba(
        count,
        |_| {
            let (mut fits, start, cpu) = (0, Instant::now(), own_cpu()?);
            // A fit of CDNOW takes milliseconds: enough of them for a steady figure.
            while fits == 0 || (start.elapsed().as_secs_f64() < 0.3 && fits < 1000) {
                purchase::fit(Model::BgNbd, std::hint::black_box(stats))?;
                fits += 1;
            }
            Ok(Run {
                figure: f64::from(fits) / start.elapsed().as_secs_f64(),
                cpu: (own_cpu()? - cpu) / f64::from(fits),
            })
        },
        |_| {
            let pid = other.child.id();
            let cpu = crate::process::cpu(pid)?;
            let (seconds, theirs) = other.fit()?;
            for (a, b) in ours.iter().zip(&theirs) {
                apart = apart.max((a - b).abs() / b.abs());
            }
            Ok(Run {
                figure: 1.0 / seconds,
                cpu: crate::process::cpu(pid)? - cpu,
            })
        },
    )?;
    Ok((pairs, apart))
}

/// Reads id, x, t_x, T.
fn read(file: &Path) -> anyhow::Result<Vec<Stat>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut stats = Vec::new();
    for line in text.lines().skip(1) {
        let fields = line
            .split(',')
            .skip(1)
            .take(3)
            .map(str::parse)
            .collect::<Result<Vec<f64>, _>>()?;
        let [x, t_x, t] = fields[..] else {
            bail!("{}: expected id,x,t_x,T", file.display());
        };
        stats.push(Stat::new(x, t_x, t));
    }
    Ok(stats)
}

fn write(file: &PathBuf, stats: &[Stat]) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "id,x,t_x,T")?;
    for (id, s) in stats.iter().enumerate() {
        writeln!(out, "{},{},{},{}", id + 1, s.x, s.t_x, s.t)?;
    }
    Ok(out.flush()?)
}

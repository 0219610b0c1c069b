//! `regard audit`: whether the services' audits are as they were written.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use regard_database::audit::{Anchor, Report};
use serde_json::{Value, json};

use super::config::SettingsArgs;
use crate::failure::usage;
use crate::suite::{Which, runtime, stores};

/// `regard audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Read all audit entries in the stores and tell what was changed, removed or added behind the services' backs. A whole
    /// store that was put back to an earlier state shows against heads that were kept elsewhere: --anchor (the services log
    /// them once an hour).
    Verify(Verify),
    /// Print where the audits stand, to be kept where nobody who can write to the stores gets at it; for `verify --anchor`.
    Heads(Heads),
}

impl Audit {
    /// Runs the command.
    ///
    /// # Errors
    /// Stores that cannot be read; an audit that is not as it was written.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(command) => command.run(),
            Self::Heads(command) => command.run(),
        }
    }
}

#[derive(Debug, Args)]
struct Common {
    /// Services [default: all].
    #[arg(value_enum)]
    services: Vec<Which>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Common {
    fn services(&self) -> Vec<Which> {
        let mut services = self.services.clone();
        if services.is_empty() {
            services = Which::ALL.to_vec();
        }
        services.sort_unstable();
        services.dedup();
        services
    }
}

/// Arguments of `regard audit heads`.
#[derive(Debug, Args)]
pub struct Heads {
    #[command(flatten)]
    common: Common,
}

impl Heads {
    fn run(&self) -> anyhow::Result<()> {
        let settings = self.common.settings.load()?.settings;
        runtime()?.block_on(async {
            let mut out = stdout().lock();
            for (which, db) in stores(&settings, &self.common.services()).await? {
                for anchor in db.audit().heads().await? {
                    if anchor.sequence > 0 {
                        writeln!(out, "{} {}", which.name(), anchor)?;
                    }
                }
                db.close().await;
            }
            Ok(())
        })
    }
}

/// Arguments of `regard audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    common: Common,
    /// A file of lines that `regard audit heads` printed.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Print one JSON document: {service: {entries, seals, unsealed, findings: [{lane, sequence, what}]}}.
    #[arg(long)]
    json: bool,
}

impl Verify {
    fn run(&self) -> anyhow::Result<()> {
        let settings = self.common.settings.load()?.settings;
        let anchors = self.anchors()?;
        let services = self.common.services();
        let reports = runtime()?.block_on(async {
            let mut reports = Vec::with_capacity(services.len());
            for (which, db) in stores(&settings, &services).await? {
                let of: Vec<Anchor> = anchors
                    .iter()
                    .filter(|(service, _)| service == which.name())
                    .map(|(_, anchor)| anchor.clone())
                    .collect();
                reports.push((which, db.audit().verify(&of).await?));
                db.close().await;
            }
            anyhow::Ok(reports)
        })?;
        let mut out = stdout().lock();
        if self.json {
            let all: serde_json::Map<_, _> = reports
                .iter()
                .map(|(which, report)| (which.name().to_owned(), to_json(report)))
                .collect();
            writeln!(out, "{}", Value::Object(all))?;
        } else {
            for (which, report) in &reports {
                print(&mut out, which.name(), report)?;
            }
        }
        let found: usize = reports.iter().map(|(_, r)| r.findings.len()).sum();
        if found > 0 {
            bail!("the audit is not as it was written: {found} findings");
        }
        Ok(())
    }

    fn anchors(&self) -> anyhow::Result<Vec<(String, Anchor)>> {
        let Some(path) = &self.anchor else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--anchor: cannot read {}", path.display()))?;
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| {
                parse(line).ok_or_else(|| {
                    usage(format!(
                        "--anchor: line {} of {} is none that `regard audit heads` prints: service, lane, entry and seal",
                        number + 1,
                        path.display()
                    ))
                })
            })
            .collect()
    }
}

fn print(out: &mut impl std::io::Write, name: &str, report: &Report) -> std::io::Result<()> {
    write!(
        out,
        "{name}: {} entries in {} seals, {} not sealed yet",
        report.entries, report.seals, report.unsealed
    )?;
    if report.outdated_anchors > 0 {
        write!(
            out,
            ", {} anchors older than what is kept",
            report.outdated_anchors
        )?;
    }
    if report.findings.is_empty() {
        return writeln!(out, ": as written");
    }
    writeln!(out)?;
    for f in &report.findings {
        writeln!(out, "  lane {} entry {}: {}", f.lane, f.sequence, f.what)?;
    }
    Ok(())
}

fn to_json(report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|f| json!({"lane": f.lane, "sequence": f.sequence, "what": f.what.to_string()}))
        .collect();
    json!({
        "entries": report.entries,
        "seals": report.seals,
        "unsealed": report.unsealed,
        "outdated_anchors": report.outdated_anchors,
        "findings": findings,
    })
}

fn parse(line: &str) -> Option<(String, Anchor)> {
    let mut words = line.split_whitespace();
    let service = words.next()?;
    Which::ALL.iter().find(|which| which.name() == service)?;
    let (lane, sequence) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let text = words.next()?;
    if text.len() != 64 || !text.is_ascii() || words.next().is_some() {
        return None;
    }
    let mut hash = [0; 32];
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok()?;
    }
    let anchor = Anchor {
        lane,
        sequence,
        hash,
    };
    Some((service.to_owned(), anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_read_as_they_were_printed() {
        let anchor = Anchor {
            lane: 3,
            sequence: 17,
            hash: [0xa5; 32],
        };
        let text = format!("customer {anchor}");
        assert_eq!(parse(&text), Some(("customer".to_owned(), anchor)));
        for bad in [
            "",
            "customer 3 17",
            "shop 3 17 00",
            "customer 3 17 zz",
            "customer 99999 1 00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

//! `regard demo`: real data in, what a manager would want to see out.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::demo;
use crate::suite::runtime;

/// Arguments of `regard demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Keep the suite's stores in this folder, which must be new or empty; else they are gone in the end.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Folder of the data files [default: tests/data of the repository].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl Demo {
    /// Runs the command.
    ///
    /// # Errors
    /// The data files are not found, or the suite refuses what it should not.
    pub fn run(self) -> anyhow::Result<()> {
        let scratch = tempfile::tempdir().context("cannot make a folder for the demo")?;
        let folder = match &self.keep {
            Some(keep) => {
                empty(keep)?;
                keep.as_path()
            }
            None => scratch.path(),
        };
        let report = runtime()?.block_on(Box::pin(demo::run(folder, self.data_dir.as_deref())))?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        } else {
            demo::print(&mut out, &report)?;
        }
        Ok(())
    }
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    std::fs::create_dir_all(folder).with_context(|| format!("--keep: cannot create {shown}"))?;
    let mut inside =
        std::fs::read_dir(folder).with_context(|| format!("--keep: cannot read {shown}"))?;
    if inside.next().is_some() {
        bail!("--keep {shown}: the folder is not empty; name a new one");
    }
    Ok(())
}

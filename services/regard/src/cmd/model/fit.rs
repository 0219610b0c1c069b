//! `regard model fit`.

use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::anyhow;
use regard_models::{Fit, FitError, bgnbd, gamma_gamma, mbgnbd};

use super::Kind;
use crate::fitted::Fitted;
use crate::read::{Needs, Statistics};

pub(super) fn run(args: &super::Fit) -> anyhow::Result<()> {
    let needs = if args.model == Kind::GammaGamma {
        Needs::Values
    } else {
        Needs::Purchases
    };
    let data = Statistics::read(&args.file, needs)?;
    let name = args.model.as_str();
    let fitted = match args.model {
        Kind::GammaGamma => Fitted::new(name, &values(&data, &args.file)?),
        kind => Fitted::new(name, &purchases(kind, &data, &args.file)?),
    };
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &fitted)?;
        writeln!(out)?;
    } else {
        fitted.print(&mut out)?;
    }
    Ok(())
}

/// Fits BG/NBD or MBG/NBD.
pub(super) fn purchases(
    kind: Kind,
    data: &Statistics,
    path: &Path,
) -> anyhow::Result<Fit<bgnbd::Params>> {
    let fit = if kind == Kind::Mbgnbd {
        mbgnbd::fit(&data.stats)
    } else {
        bgnbd::fit(&data.stats)
    };
    fit.map_err(|e| explain(&e, kind, data, path))
}

/// Fits Gamma-Gamma.
pub(super) fn values(data: &Statistics, path: &Path) -> anyhow::Result<Fit<gamma_gamma::Params>> {
    gamma_gamma::fit(&data.spends).map_err(|e| explain(&e, Kind::GammaGamma, data, path))
}

fn explain(error: &FitError, kind: Kind, data: &Statistics, path: &Path) -> anyhow::Error {
    let (path, model) = (path.display(), kind.as_str());
    match error {
        FitError::Row { row, error } => {
            anyhow!(
                "{path}, line {}: {error}",
                data.lines.get(*row).copied().unwrap_or_default()
            )
        }
        other => anyhow!("{path}: {model} cannot be fitted: {other}"),
    }
}

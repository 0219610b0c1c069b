//! `regard model`: the statistics alone, on a file of sufficient statistics.

mod fit;
mod params;
mod predict;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `regard model …`
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Maximum likelihood estimates with standard errors, log-likelihood and grade.
    Fit(Fit),
    /// What each customer of the file is expected to do next.
    Predict(Predict),
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Purchases; nobody leaves before the first repeat purchase (Fader, Hardie, Lee 2005).
    Bgnbd,
    /// Purchases; a customer may leave after the first one too (Batislam and others 2007).
    Mbgnbd,
    /// Mean value of a purchase (Fader, Hardie 2013).
    GammaGamma,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bgnbd => "bgnbd",
            Self::Mbgnbd => "mbgnbd",
            Self::GammaGamma => "gamma-gamma",
        }
    }
}

/// Arguments of `regard model fit`.
#[derive(Debug, Args)]
pub struct Fit {
    /// CSV of customers: id,x,t_x,T and optionally m or zbar, weight (or customer_id,frequency,recency,T,monetary_value).
    file: PathBuf,
    /// The model.
    #[arg(long)]
    model: Kind,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `regard model predict`.
#[derive(Debug, Args)]
#[command(
    after_help = "expected_value is the mean value of a future purchase. It needs a column m (or zbar, monetary_value) and \
Gamma-Gamma parameters: fitted with the rest where --params is left out, or given as p, q, gamma in --params."
)]
pub struct Predict {
    /// CSV of customers: as for fit.
    file: PathBuf,
    /// The model.
    #[arg(long)]
    model: Kind,
    /// Parameters, such as r=0.243,alpha=4.414,a=0.793,b=2.426; fitted to the file where left out.
    #[arg(long, value_name = "NAME=VALUE,…")]
    params: Option<String>,
    /// Weeks to look ahead.
    #[arg(long, default_value_t = 39.0)]
    horizon: f64,
    /// Print one JSON object a row (JSON lines).
    #[arg(long)]
    json: bool,
}

impl Model {
    /// Runs the command.
    ///
    /// # Errors
    /// The file, a row or the parameters cannot be used, or the model cannot be fitted.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Fit(args) => fit::run(&args),
            Self::Predict(args) => predict::run(&args),
        }
    }
}

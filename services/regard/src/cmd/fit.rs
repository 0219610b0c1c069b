//! `regard fit`: fits models to the tenant's customers, and waits for them.

use std::io::{Write as _, stdout};

use clap::{Args, ValueEnum};
use regard_proto::scoring::v1::{Model, ModelKind};

use crate::operation;
use crate::reach::{self, Server};
use crate::{show, told};

/// A kind of model.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    /// Purchases of customers who may leave unnoticed.
    Bgnbd,
    /// The same with departure possible right after the first purchase.
    Mbgnbd,
    /// Value of a purchase.
    GammaGamma,
    /// Quintile edges of recency, frequency and value.
    Rfm,
}

impl From<Kind> for ModelKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Bgnbd => Self::Bgnbd,
            Kind::Mbgnbd => Self::Mbgnbd,
            Kind::GammaGamma => Self::GammaGamma,
            Kind::Rfm => Self::Rfm,
        }
    }
}

/// Arguments of `regard fit`.
#[derive(Debug, Args)]
pub struct Fit {
    /// Models to fit [default: all].
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// The day that the data end with [default: the tenant's today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Fit {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses; a model cannot be fitted.
    pub fn run(self) -> anyhow::Result<()> {
        let as_of = reach::day("--as-of", self.as_of.as_deref())?;
        let kinds = if self.kinds.is_empty() {
            Kind::value_variants()
        } else {
            &self.kinds
        };
        reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let mut models = Vec::new();
            for kind in kinds {
                let kind = ModelKind::from(*kind);
                models.push(operation::fit(&client, kind, as_of, "", true).await?);
            }
            let mut out = stdout().lock();
            if self.json {
                let all: Vec<_> = models.iter().map(told::model_json).collect();
                serde_json::to_writer_pretty(&mut out, &all)?;
                writeln!(out)?;
                return Ok(());
            }
            for model in &models {
                print(&mut out, model)?;
            }
            Ok(())
        })
    }
}

fn print(out: &mut impl std::io::Write, model: &Model) -> anyhow::Result<()> {
    let kind = ModelKind::try_from(model.kind).map_or("model", told::kind);
    writeln!(
        out,
        "{kind}  {} customers  as of {}  grade {}{}",
        model.n,
        reach::day_text(model.as_of.as_ref()),
        told::grade(model.grade),
        if model.serving { "" } else { "  not serving" },
    )?;
    let mut table = show::table(&["parameter", "value", "standard error"], &[1, 2]);
    for e in &model.parameters {
        table.add_row([
            e.name.clone(),
            show::number(e.value, 6),
            show::maybe(e.standard_error, 3),
        ]);
    }
    show::print(out, &table)?;
    for reason in &model.reasons {
        writeln!(out, "  {reason}")?;
    }
    writeln!(out)?;
    Ok(())
}

//! `regard explain`: why a score is what it is.

use std::io::{Write, stdout};

use clap::Args;
use regard_proto::scoring::v1::{ExplainScoreRequest, ExplainScoreResponse};

use crate::reach::{self, Server, refused};
use crate::{show, told};

/// Arguments of `regard explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The customer: a UUID, SOURCE:ID, or an id of --source.
    customer: String,
    /// The score, such as residual_clv.
    score: String,
    /// The day that the answer is about [default: the tenant's today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<String>,
    /// Source of an id that names none.
    #[arg(long, default_value = "csv")]
    source: String,
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        let as_of = reach::day("--as-of", self.as_of.as_deref())?;
        reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let places = reach::places(&client).await;
            let request = ExplainScoreRequest {
                customer: Some(reach::customer(&self.customer, &self.source)),
                score: self.score.clone(),
                as_of,
                ..Default::default()
            };
            let answer = client.scores().explain_score(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            let mut out = stdout().lock();
            if self.json {
                serde_json::to_writer_pretty(&mut out, &told::explanation_json(&answer))?;
                writeln!(out)?;
                return Ok(());
            }
            print(&mut out, &answer, places)
        })
    }
}

fn print(out: &mut impl Write, answer: &ExplainScoreResponse, places: i32) -> anyhow::Result<()> {
    let unit = answer.score.as_ref().map_or("", |s| s.unit.as_str());
    if let Some(score) = &answer.score {
        writeln!(
            out,
            "{}  {} {}  {}  grade {}  as of {}",
            score.name,
            told::value(score.value, unit, places),
            if told::is_money(unit) { "" } else { unit },
            told::interval(score.interval.as_ref(), unit, places),
            told::grade(score.grade),
            reach::day_text(score.as_of.as_ref()),
        )?;
        for reason in &score.reasons {
            writeln!(out, "  {reason}")?;
        }
    }
    writeln!(out, "{}", answer.summary)?;
    if !answer.contributions.is_empty() {
        let mut table = show::table(&["what moved it", "by", ""], &[1]);
        for c in &answer.contributions {
            table.add_row([
                c.fact.clone(),
                told::value(Some(c.effect), unit, places),
                c.description.clone(),
            ]);
        }
        writeln!(out)?;
        show::print(out, &table)?;
    }
    let mut table = show::table(&["fact", "value", "unit", ""], &[1]);
    for fact in &answer.facts {
        table.add_row([
            fact.name.clone(),
            told::value(Some(fact.value), &fact.unit, places),
            if told::is_money(&fact.unit) {
                String::new()
            } else {
                fact.unit.clone()
            },
            fact.description.clone(),
        ]);
    }
    writeln!(out)?;
    show::print(out, &table)?;
    writeln!(out, "\n{}", answer.formula)?;
    Ok(())
}

//! `regard scores`: customers with their scores.

use std::collections::{BTreeSet, HashMap};
use std::io::{Write as _, stdout};

use clap::Args;
use regard_client::Client;
use regard_proto::scoring::v1::{BatchGetScoresRequest, CustomerScores, ListScoresRequest, Score};

use crate::failure::usage;
use crate::reach::{self, Server, refused};
use crate::{show, told};

/// Most customers in one call.
const PAGE: usize = 1_000;

/// Arguments of `regard scores`.
#[derive(Debug, Args)]
pub struct Scores {
    /// Customers: a UUID, SOURCE:ID, or an id of --source.
    customers: Vec<String>,
    /// The first N customers by a score instead.
    #[arg(long, value_name = "N", conflicts_with = "customers")]
    top: Option<usize>,
    /// The score that --top orders by.
    #[arg(long, value_name = "SCORE", default_value = "residual_clv")]
    by: String,
    /// Only these scores, comma-separated [default: all].
    #[arg(long, value_name = "SCORES", value_delimiter = ',')]
    scores: Vec<String>,
    /// The day that the answer is about [default: the tenant's today].
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "top")]
    as_of: Option<String>,
    /// Source of ids that name none.
    #[arg(long, default_value = "csv")]
    source: String,
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Scores {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        if self.customers.is_empty() && self.top.is_none() {
            return Err(usage(
                "name customers (such as crm:42), or ask for the first ones by --top 10 --by residual_clv",
            ));
        }
        reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let places = reach::places(&client).await;
            let found = match self.top {
                Some(count) => top(&client, &self.by, count).await?,
                None => self.named(&client).await?,
            };
            let ids: Vec<String> = found.iter().map(|c| c.customer_id.clone()).collect();
            let names = if self.json || ids.is_empty() {
                HashMap::new()
            } else {
                reach::names(&client, &ids).await
            };
            self.print(&found, &names, places)
        })
    }

    async fn named(&self, client: &Client) -> anyhow::Result<Vec<CustomerScores>> {
        let as_of = reach::day("--as-of", self.as_of.as_deref())?;
        let mut found = Vec::new();
        for customers in self.customers.chunks(PAGE) {
            let request = BatchGetScoresRequest {
                customers: customers
                    .iter()
                    .map(|text| reach::customer(text, &self.source))
                    .collect(),
                scores: self.scores.clone(),
                as_of,
                ..Default::default()
            };
            let answer = client.scores().batch_get_scores(request).await;
            found.extend(answer.map_err(refused)?.into_inner().customers);
        }
        Ok(found)
    }

    fn print(
        &self,
        found: &[CustomerScores],
        names: &HashMap<String, String>,
        places: i32,
    ) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        if self.json {
            let all: Vec<_> = found.iter().map(told::customer_json).collect();
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
            return Ok(());
        }
        let row = |customer: &CustomerScores, score: &Score| {
            let why = score.reasons.first().cloned().unwrap_or_default();
            [
                names
                    .get(&customer.customer_id)
                    .unwrap_or(&customer.customer_id)
                    .clone(),
                score.name.clone(),
                told::value(score.value, &score.unit, places),
                score.band.clone(),
                told::interval(score.interval.as_ref(), &score.unit, places),
                told::grade(score.grade).to_owned(),
                why,
            ]
        };
        let header = [
            "customer", "score", "value", "band", "interval", "grade", "note",
        ];
        let mut table = show::table(&header, &[2, 4]);
        for customer in found {
            for score in &customer.scores {
                table.add_row(row(customer, score));
            }
        }
        show::print(&mut out, &table)?;
        let days: BTreeSet<String> = found
            .iter()
            .flat_map(|c| &c.scores)
            .map(|s| reach::day_text(s.as_of.as_ref()))
            .collect();
        if !days.is_empty() {
            let days: Vec<_> = days.into_iter().collect();
            writeln!(out, "as of {}", days.join(", "))?;
        }
        Ok(())
    }
}

/// The first customers by a score.
///
/// # Errors
/// The server is away or refuses.
pub async fn top(client: &Client, by: &str, count: usize) -> anyhow::Result<Vec<CustomerScores>> {
    let mut found: Vec<CustomerScores> = Vec::new();
    let mut page_token = String::new();
    while found.len() < count {
        let size = (count - found.len()).min(PAGE);
        let request = ListScoresRequest {
            score: by.to_owned(),
            page_size: i32::try_from(size)?,
            page_token,
            ..Default::default()
        };
        let answer = client
            .scores()
            .list_scores(request)
            .await
            .map_err(refused)?;
        let answer = answer.into_inner();
        found.extend(answer.customers);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

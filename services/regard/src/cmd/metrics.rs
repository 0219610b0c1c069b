//! `regard metrics`: a number about the population.

use std::io::{Write as _, stdout};

use clap::{Args, ValueEnum};
use regard_proto::scoring::v1::{MetricGrouping, QueryMetricRequest};

use crate::reach::{self, Server, refused};
use crate::{show, told};

/// What to group by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// How it was said or bought.
    Channel,
    /// What aspect an answer is about.
    Dimension,
}

/// Arguments of `regard metrics`.
#[derive(Debug, Args)]
#[command(
    after_help = "Metrics: nps, csat, ces, churn_period, lapsed_share, repeat_purchase_rate, revenue, and every rating by its own name."
)]
pub struct Metrics {
    /// The metric.
    metric: String,
    /// First day of the period.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Last day of the period, included.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// One value a group.
    #[arg(long)]
    by: Option<By>,
    /// Only answers of this dimension.
    #[arg(long, default_value = "")]
    dimension: String,
    /// Days of the window, for churn_period, lapsed_share and repeat_purchase_rate [default: the definition's].
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    window: i32,
    /// The day whose knowledge counts [default: the tenant's today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Metrics {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub fn run(self) -> anyhow::Result<()> {
        let request = QueryMetricRequest {
            metric: self.metric.clone(),
            from: reach::day("--from", self.from.as_deref())?,
            to: reach::day("--to", self.to.as_deref())?,
            group_by: match self.by {
                None => MetricGrouping::Unspecified,
                Some(By::Channel) => MetricGrouping::Channel,
                Some(By::Dimension) => MetricGrouping::Dimension,
            }
            .into(),
            dimension: self.dimension.clone(),
            window_days: self.window,
            as_of: reach::day("--as-of", self.as_of.as_deref())?,
            ..Default::default()
        };
        reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let answer = client.metrics().query_metric(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            let mut out = stdout().lock();
            if self.json {
                serde_json::to_writer_pretty(&mut out, &told::metric_json(&answer))?;
                writeln!(out)?;
                return Ok(());
            }
            let places = reach::places(&client).await;
            let mut table = show::table(&["group", "value", "95% interval", "n", "note"], &[1, 3]);
            for value in &answer.values {
                let note = if value.suppressed {
                    "too few people to tell"
                } else {
                    value.reason.as_str()
                };
                table.add_row([
                    if value.group.is_empty() {
                        "all".to_owned()
                    } else {
                        value.group.clone()
                    },
                    told::value(value.value, &answer.unit, places),
                    told::interval(value.interval.as_ref(), &answer.unit, places),
                    value.n.to_string(),
                    note.to_owned(),
                ]);
            }
            show::print(&mut out, &table)?;
            let unit = if told::is_money(&answer.unit) {
                "money"
            } else {
                answer.unit.as_str()
            };
            writeln!(
                out,
                "{} ({unit}), {} to {}. {}",
                answer.metric,
                reach::day_text(answer.from.as_ref()),
                reach::day_text(answer.to.as_ref()),
                answer.method
            )?;
            Ok(())
        })
    }
}

//! Computing a metric from the events, on demand.

use regard_database::Tx;
use regard_types::{Caller, Day, Fault, Kind};

use super::attitude::{self, Measure};
use super::behaviour::{self, Counter, channel_code, end};
use super::domain::{Grouping, Measured, Span, Value};
use super::revenue::Adder;
use crate::core::Core;
use crate::definition::MetricDefinition;
use crate::definition::metric::MetricMethod;
use crate::event::store::Loads;
use crate::follow;
use crate::population::{answers, orders};
use crate::tenant::{self, TenantState};

/// How far a rating's period goes back unless it is given, in days.
const RATING_DAYS: i32 = 365;
/// Rating names that an error lists.
const NAMES: usize = 50;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The metric's name.
    pub metric: String,
    /// First day.
    pub from: Option<Day>,
    /// Last day.
    pub to: Option<Day>,
    /// What is known: up to this day.
    pub as_of: Option<Day>,
    /// What to group by.
    pub grouping: Grouping,
    /// Only answers of this dimension; empty takes all.
    pub dimension: String,
    /// In place of the definition's own; None takes it.
    pub window: Option<i32>,
}

/// Answers a question about the caller's tenant.
///
/// # Errors
/// `DEFINITION_UNKNOWN`, `FIELD_INVALID`; what the engine answers.
pub async fn query(core: &Core, caller: &Caller, question: &Question) -> Result<Measured, Fault> {
    let tx = core.db.read(caller).await?;
    let definition = core.book.metrics.get(&question.metric);
    if definition.is_none() && !answers::exists(&tx, caller.tenant, &question.metric).await? {
        return Err(unknown(core, &tx, caller, &question.metric).await);
    }
    check(question, definition)?;
    let Some(state) = tenant::store::get(&tx, caller.tenant).await? else {
        // Nothing was ever told of the tenant.
        return Ok(nothing(core, question, definition));
    };
    let loads = follow::store::loads(&tx).await?;
    let span = span(question, definition, state.today(core.clock()))?;
    let ask = Ask {
        tx: &tx,
        state: &state,
        loads,
        question,
        span,
    };
    let (unit, mut values) = match definition.map(|d| &d.method) {
        None => ask.rating().await?,
        Some(MetricMethod::Nps { .. }) => ("points".to_owned(), ask.answers(Measure::Nps).await?),
        Some(MetricMethod::Csat { .. }) => ("share".to_owned(), ask.answers(Measure::Csat).await?),
        Some(MetricMethod::Ces { .. }) => ("share".to_owned(), ask.answers(Measure::Ces).await?),
        Some(MetricMethod::ChurnPeriod { window_days }) => (
            "share".to_owned(),
            ask.customers(behaviour::Measure::Churn, *window_days)
                .await?,
        ),
        Some(MetricMethod::LapsedShare { window_days }) => (
            "share".to_owned(),
            ask.customers(behaviour::Measure::Lapsed, *window_days)
                .await?,
        ),
        Some(MetricMethod::RepeatPurchaseRate { window_days }) => (
            "share".to_owned(),
            ask.customers(behaviour::Measure::Repeat, *window_days)
                .await?,
        ),
        Some(MetricMethod::Revenue { .. }) => ("minor units".to_owned(), ask.revenue().await?),
    };
    values = values
        .into_iter()
        .map(|v| v.protect(state.minimum_group_size))
        .collect();
    Ok(measured(definition, unit, values, span))
}

struct Ask<'a> {
    tx: &'a Tx,
    state: &'a TenantState,
    loads: Loads,
    question: &'a Question,
    span: Span,
}

impl Ask<'_> {
    async fn read(&self) -> Result<Vec<answers::Answered>, Fault> {
        let zone = &self.state.zone;
        let from = self
            .span
            .from
            .map_or(regard_types::Micros(i64::MIN), |from| from.start(zone));
        let to = end(self.span.to, zone);
        let mut all = answers::between(
            self.tx,
            self.state.tenant,
            self.loads,
            &self.question.metric,
            from,
            to,
        )
        .await?;
        if !self.question.dimension.is_empty() {
            all.retain(|a| a.dimension == self.question.dimension);
        }
        Ok(all)
    }

    async fn answers(&self, measure: Measure) -> Result<Vec<Value>, Fault> {
        Ok(self.grouped(measure, &self.read().await?))
    }

    fn grouped(&self, measure: Measure, all: &[answers::Answered]) -> Vec<Value> {
        let groups = match self.question.grouping {
            Grouping::Whole => {
                return vec![attitude::measure(
                    measure,
                    "",
                    &all.iter().collect::<Vec<_>>(),
                )];
            }
            Grouping::Channel => attitude::by(all, |a| channel_code(a.channel)),
            Grouping::Dimension => attitude::by(all, |a| a.dimension.clone()),
        };
        groups
            .iter()
            .map(|(group, answers)| attitude::measure(measure, group, answers))
            .collect()
    }

    async fn rating(&self) -> Result<(String, Vec<Value>), Fault> {
        let all = self.read().await?;
        let scales = attitude::scales(&all);
        let unit = match scales.len() {
            0 => String::new(),
            1 => scales
                .first()
                .map(|(low, high)| format!("{low} to {high}"))
                .unwrap_or_default(),
            // Each group rescales for itself; so that they can be compared, all do.
            _ => "0 to 100, rescaled from several scales; a group of one scale on that scale"
                .to_owned(),
        };
        Ok((unit, self.grouped(Measure::Rating, &all)))
    }

    async fn customers(&self, measure: behaviour::Measure, own: i32) -> Result<Vec<Value>, Fault> {
        let window = self.question.window.unwrap_or(own);
        let by_channel = self.question.grouping == Grouping::Channel;
        let mut counter = Counter::new(
            measure,
            window,
            self.span,
            self.state.zone.clone(),
            self.state.history_start,
            by_channel,
        );
        let mut scan = orders::Scan::start(self.tx, self.state.tenant, self.loads).await?;
        while let Some(page) = scan.next(self.tx).await? {
            page.iter().for_each(|(_, events)| counter.add(events));
        }
        Ok(counter.values())
    }

    async fn revenue(&self) -> Result<Vec<Value>, Fault> {
        let by_channel = self.question.grouping == Grouping::Channel;
        let mut adder = Adder::new(self.span, self.state.zone.clone(), by_channel);
        let mut scan = orders::Scan::start(self.tx, self.state.tenant, self.loads).await?;
        while let Some(page) = scan.next(self.tx).await? {
            page.iter().for_each(|(_, events)| adder.add(events));
        }
        Ok(adder.values())
    }
}

/// What does not go together.
fn check(question: &Question, definition: Option<&MetricDefinition>) -> Result<(), Fault> {
    let method = definition.map(|d| &d.method);
    let of_customers = matches!(
        method,
        Some(
            MetricMethod::ChurnPeriod { .. }
                | MetricMethod::LapsedShare { .. }
                | MetricMethod::RepeatPurchaseRate { .. }
        )
    );
    let of_answers = matches!(
        method,
        None | Some(
            MetricMethod::Nps { .. } | MetricMethod::Csat { .. } | MetricMethod::Ces { .. }
        )
    );
    let mut wrong: Vec<(&str, &str)> = Vec::new();
    if !of_answers && question.grouping == Grouping::Dimension {
        wrong.push((
            "group_by",
            "answers alone have dimensions: leave it out, or group by channel",
        ));
    }
    if !of_answers && !question.dimension.is_empty() {
        wrong.push(("dimension", "answers alone have dimensions: leave it empty"));
    }
    if !of_customers && question.window.is_some() {
        wrong.push((
            "window_days",
            "is for churn_period, lapsed_share and repeat_purchase_rate: leave it 0",
        ));
    }
    let mut wrong = wrong.into_iter();
    match wrong.next() {
        None => Ok(()),
        Some((field, why)) => Err(
            wrong.fold(Fault::invalid(field, why), |fault, (field, why)| {
                fault.and_invalid(field, why)
            }),
        ),
    }
}

fn span(
    question: &Question,
    definition: Option<&MetricDefinition>,
    today: Day,
) -> Result<Span, Fault> {
    let as_of = question.as_of.unwrap_or(today);
    let to = question.to.map_or(as_of, |to| to.min(as_of));
    let back = match definition.map(|d| &d.method) {
        // All history unless the caller says.
        Some(MetricMethod::LapsedShare { .. } | MetricMethod::RepeatPurchaseRate { .. }) => None,
        Some(MetricMethod::ChurnPeriod { window_days }) => {
            Some(question.window.unwrap_or(*window_days))
        }
        Some(_) => definition.map(MetricDefinition::days),
        None => Some(RATING_DAYS),
    };
    let from = question.from.or_else(|| back.map(|days| to.plus(1 - days)));
    if from.is_some_and(|from| from > to) {
        return Err(Fault::invalid(
            "from",
            format!("must not lie after the period's last day, {to}"),
        ));
    }
    Ok(Span { from, to, as_of })
}

fn measured(
    definition: Option<&MetricDefinition>,
    unit: String,
    values: Vec<Value>,
    span: Span,
) -> Measured {
    match definition {
        Some(d) => Measured { unit, values, method: d.description.clone(), version: d.version.clone(), span },
        None => Measured {
            unit,
            values,
            method: "Mean answer; each customer's latest answer to each question within the period counts once. Interval: Student's t, level 0.95.".to_owned(),
            version: "1".to_owned(),
            span,
        },
    }
}

fn nothing(core: &Core, question: &Question, definition: Option<&MetricDefinition>) -> Measured {
    let today = Day::of(core.clock().now(), &regard_types::Zone::utc());
    let span = span(question, definition, today).unwrap_or(Span {
        from: None,
        to: today,
        as_of: today,
    });
    let values = match question.grouping {
        Grouping::Whole => vec![Value::absent("", "nothing is recorded yet")],
        Grouping::Channel | Grouping::Dimension => Vec::new(),
    };
    measured(
        definition,
        definition.map(|d| d.unit.clone()).unwrap_or_default(),
        values,
        span,
    )
}

async fn unknown(core: &Core, tx: &Tx, caller: &Caller, metric: &str) -> Fault {
    let mut names: Vec<String> = core.book.metrics.keys().cloned().collect();
    match answers::metrics(tx, caller.tenant, NAMES).await {
        Ok(ratings) => names.extend(
            ratings
                .into_iter()
                .filter(|r| !core.book.metrics.contains_key(r)),
        ),
        Err(error) => return error.into(),
    }
    let message = format!("no metric {metric}; known are {}", names.join(", "));
    Fault::new(Kind::NotFound, "DEFINITION_UNKNOWN", message)
        .meta("definition", metric)
        .meta("resource", "metric")
        .meta("id", metric)
}

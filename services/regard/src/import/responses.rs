//! Responses: one a row, one column a question.

use std::collections::HashMap;

use anyhow::bail;
use regard_client::Client;
use regard_proto::common::v1::RecordRef;
use regard_proto::feedback::v1::{
    Answer, IngestResponsesRequest, IngestResponsesResponse, QuestionKind, Response, ResponseRow,
    answer,
};
use regard_server::wire;
use regard_types::{Day, Micros, Zone};

use super::columns::{Columns, Place, Role, at, missing, names};
use super::orders::usual_channel;
use super::pump::{Parse, Way, pump};
use super::questions::{Sheet, survey, survey_key};
use super::reading::Row;
use super::{Outcome, Plan, terms};
use crate::failure::usage;
use crate::reach::{customer_key, key};
use crate::read::{DayReader, Delimited, LineFault, Record};

const ROLES: &[Role] = &[
    Role::optional("id", &["responseid", "answerid", "id"]),
    Role::optional(
        "customer",
        &[
            "customerid",
            "customer",
            "customerno",
            "respondentid",
            "respondent",
        ],
    ),
    Role::optional(
        "date",
        &[
            "date",
            "day",
            "answeredat",
            "answertime",
            "answerdate",
            "submittedat",
            "timestamp",
            "time",
        ],
    ),
    Role::optional("channel", &["channel"]),
    Role::optional("revision", &["revision"]),
];
/// What stands for no answer.
const NONE: &[&str] = &["", "NA", "N/A", "n/a"];

/// Of which survey, and when, where the file does not say.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The survey's key.
    pub survey: String,
    /// To create it from, where there is none yet.
    pub sheet: Option<Sheet>,
    /// The day of all answers of a file without one.
    pub day: Option<Day>,
}

/// Imports a file of responses.
///
/// # Errors
/// The file cannot be read, no question has a column, or the server refuses.
pub async fn responses(client: &Client, plan: &Plan, wanted: &Answers) -> anyhow::Result<Outcome> {
    let usual = usual_channel(&plan.channel)?;
    let (source, id) = wanted
        .survey
        .split_once(':')
        .unwrap_or((&plan.source, &wanted.survey));
    let survey = survey(client, (source, id), wanted.sheet.as_ref()).await?;
    let is_question = |role: &str| survey.questions.iter().any(|q| q.code == role);
    plan.columns.check(ROLES, is_question)?;
    let (zone, _) = terms(client, plan.zone.as_deref(), None).await?;
    let mut file = Delimited::open(&plan.file)?;
    let mut header = Record::default();
    file.next(&mut header)?;
    let shown = plan.file.display().to_string();
    let columns = Columns::by_header(&header, ROLES, &plan.columns, &shown)?;
    if columns.place("date").is_none() && wanted.day.is_none() {
        return Err(usage(format!(
            "{shown}, line 1: no column for the date; name it by --columns date=NAME, or say --date YYYY-MM-DD for all"
        )));
    }
    let names = names(&header);
    let mut questions = Vec::new();
    for question in &survey.questions {
        let asked = plan.columns.of(&question.code).or_else(|| {
            wanted
                .sheet
                .as_ref()
                .and_then(|sheet| sheet.column(&question.code))
        });
        let place = match asked {
            Some(column) => Some(
                at(&names, column)
                    .ok_or_else(|| missing(&shown, &question.code, column, &names))?,
            ),
            None => at(&names, &question.code),
        };
        if let Some(Place::Column(at, name)) = place {
            let text = question.kind() == QuestionKind::Text;
            questions.push(Asked {
                code: question.code.clone(),
                at,
                name,
                text,
            });
        }
    }
    if questions.is_empty() {
        let codes: Vec<&str> = survey.questions.iter().map(|q| q.code.as_str()).collect();
        bail!(
            "{shown}, line 1: no column for any question of the survey; it has {}: name them by --columns CODE=NAME",
            codes.join(", ")
        );
    }
    let mut reader = Reader {
        columns,
        questions,
        days: DayReader::new(zone.clone(), plan.day_order),
        day: wanted.day.map(|day| day.start(&zone)),
        zone,
        source: plan.source.clone(),
        survey: survey_key(source, id),
        usual,
        seen: HashMap::new(),
    };
    let parse: Parse<ResponseRow> = Box::new(move |record| reader.row(record));
    let way = Way {
        wrap: |rows| IngestResponsesRequest {
            rows,
            validate_only: false,
        },
        result: |answer: IngestResponsesResponse| answer.result,
    };
    let mut responses = client.responses();
    pump(plan, file, None, parse, way, |requests| async move {
        responses.ingest_responses(requests).await
    })
    .await
}

/// A question with its column.
struct Asked {
    code: String,
    at: usize,
    name: String,
    text: bool,
}

struct Reader {
    columns: Columns,
    questions: Vec<Asked>,
    days: DayReader,
    /// When the answers were given, where the file has no column.
    day: Option<Micros>,
    zone: Zone,
    source: String,
    survey: RecordRef,
    usual: i32,
    /// How often a customer and day stood in the file so far.
    seen: HashMap<(Box<str>, Day), u32>,
}

impl Reader {
    fn row(&mut self, record: &Record) -> Result<ResponseRow, LineFault> {
        let row = Row {
            record,
            columns: &self.columns,
        };
        let time = match (self.columns.place("date"), self.day) {
            (None, Some(day)) => day,
            _ => row.time("date", &self.days)?,
        };
        let customer = row.id("customer")?;
        let (channel, revision) = (row.channel(self.usual)?, row.whole("revision")?);
        let id = row.id("id")?;
        let mut answers = Vec::with_capacity(self.questions.len());
        for question in &self.questions {
            answers.extend(self.answer(record, question)?);
        }
        if answers.is_empty() {
            return Err(LineFault::new(
                record.line(),
                "answers",
                "",
                "at least one answer",
            ));
        }
        let id = if id.is_empty() {
            let day = Day::of(time, &self.zone);
            let seen = self
                .seen
                .entry((customer.as_ref().into(), day))
                .or_insert(0);
            *seen += 1;
            format!("{customer}/{day}/{seen}")
        } else {
            id.into_owned()
        };
        Ok(ResponseRow {
            response: Some(Response {
                key: Some(key(&self.source, &id)),
                survey: Some(self.survey.clone()),
                customer: (!customer.is_empty()).then(|| customer_key(&self.source, &customer)),
                answer_time: Some(wire::timestamp(time)),
                channel,
                answers,
                ..Response::default()
            }),
            revision,
        })
    }

    fn answer(&self, record: &Record, question: &Asked) -> Result<Option<Answer>, LineFault> {
        let fault = |expected: &str| {
            LineFault::new(
                record.line(),
                &question.name,
                &record.lossy(question.at),
                expected,
            )
        };
        if question.at >= record.len() {
            return Ok(None);
        }
        let text = record
            .text(question.at)
            .ok_or_else(|| fault("text in UTF-8"))?;
        if NONE.contains(&text) {
            return Ok(None);
        }
        let value = if question.text {
            answer::Value::Text(text.to_owned())
        } else {
            let number = text
                .parse()
                .map_err(|_| fault("a whole number on the question's scale"))?;
            answer::Value::Number(number)
        };
        Ok(Some(Answer {
            question: question.code.clone(),
            value: Some(value),
        }))
    }
}

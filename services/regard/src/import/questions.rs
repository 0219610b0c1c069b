//! A questionnaire as a TOML file: the survey's name and its questions.

use std::path::Path;

use anyhow::Context as _;
use regard_client::Client;
use regard_proto::common::v1::{ErrorReason, RecordRef, record_ref};
use regard_proto::feedback::v1::{
    CreateSurveyRequest, GetSurveyRequest, PublishSurveyRequest, Question, QuestionKind, Survey,
    SurveyState,
};
use serde::Deserialize;

use crate::reach::{given, key, refused};

/// A questionnaire.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// The survey's name.
    pub name: String,
    /// Its questions.
    pub questions: Vec<Item>,
}

/// A question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Unique within the survey.
    pub code: String,
    /// As it is put.
    pub text: String,
    /// What it asks for.
    pub kind: Kind,
    /// The aspect that it is about.
    #[serde(default)]
    pub dimension: String,
    /// The metric of a rating.
    #[serde(default)]
    pub metric: String,
    /// Lowest answer of a rating.
    #[serde(default)]
    pub scale_min: i32,
    /// Highest answer of a rating or CSAT question.
    #[serde(default)]
    pub scale_max: i32,
    /// Whether a low answer is a good one.
    #[serde(default)]
    pub reversed: bool,
    /// The column of the file that holds its answers; the code unless it is given.
    pub column: Option<String>,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 0 to 10, readiness to recommend.
    Nps,
    /// Satisfaction.
    Csat,
    /// Ease.
    Ces,
    /// Any other number.
    Rating,
    /// Free text.
    Text,
}

impl From<Kind> for QuestionKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Nps => Self::Nps,
            Kind::Csat => Self::Csat,
            Kind::Ces => Self::Ces,
            Kind::Rating => Self::Rating,
            Kind::Text => Self::Text,
        }
    }
}

impl Sheet {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no questionnaire; the error names line and key.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no questionnaire.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--questions: cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("--questions: {shown}"))
    }

    /// The column that a question's answers stand in, where the sheet says.
    #[must_use]
    pub fn column(&self, code: &str) -> Option<&str> {
        let item = self.questions.iter().find(|item| item.code == code)?;
        item.column.as_deref()
    }
}

/// A survey by its key.
pub(super) fn survey_key(source: &str, id: &str) -> RecordRef {
    RecordRef {
        record: Some(record_ref::Record::Key(key(source, id))),
    }
}

/// The survey of a key, published; made from the sheet where there is none yet.
pub(super) async fn survey(
    client: &Client,
    (source, id): (&str, &str),
    sheet: Option<&Sheet>,
) -> anyhow::Result<Survey> {
    let name = survey_key(source, id);
    let mut surveys = client.surveys();
    if let Some(sheet) = sheet {
        let created = surveys.create_survey(CreateSurveyRequest {
            survey: Some(wanted(sheet, source, id)),
            ..Default::default()
        });
        match created.await {
            Ok(_) => {}
            Err(status) if ErrorReason::of(&status) == Some(ErrorReason::RecordExists) => {}
            Err(status) => return Err(refused(status)),
        }
    }
    let found = surveys.get_survey(GetSurveyRequest {
        survey: Some(name.clone()),
    });
    let found = found.await.map_err(|status| {
        let unknown = ErrorReason::of(&status) == Some(ErrorReason::RecordUnknown);
        let error = refused(status);
        if unknown {
            error.context(format!(
                "--survey {source}:{id}: there is no such survey; create it with --questions FILE.toml"
            ))
        } else {
            error
        }
    })?;
    let survey = given(found.into_inner().survey, "survey")?;
    if survey.state() == SurveyState::Published {
        return Ok(survey);
    }
    let published = surveys.publish_survey(PublishSurveyRequest {
        survey: Some(name),
        etag: survey.etag,
        ..Default::default()
    });
    given(
        published.await.map_err(refused)?.into_inner().survey,
        "survey",
    )
}

fn wanted(sheet: &Sheet, source: &str, id: &str) -> Survey {
    Survey {
        name: sheet.name.clone(),
        key: Some(key(source, id)),
        questions: sheet
            .questions
            .iter()
            .map(|item| Question {
                code: item.code.clone(),
                text: item.text.clone(),
                kind: QuestionKind::from(item.kind).into(),
                dimension: item.dimension.clone(),
                metric: item.metric.clone(),
                scale_min: item.scale_min,
                scale_max: item.scale_max,
                reversed: item.reversed,
            })
            .collect(),
        ..Survey::default()
    }
}

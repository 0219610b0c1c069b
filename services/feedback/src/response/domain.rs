//! What a response is, which answers a survey takes, and what a resent response means.

use std::collections::HashSet;

use regard_types::record::{Turn, turn};
use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey};

use crate::content::Content;
use crate::survey::{Question, QuestionKind, Survey, Wrong};

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, as it was given (reverse-coding is for measures).
    Number(i32),
    /// Free text; personal.
    Text(String),
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's code.
    pub question: String,
    /// What was answered.
    pub value: Value,
}

/// A response as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResponse {
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// The survey.
    pub survey: RecordId,
    /// Who answered; None if anonymous. Perhaps not known to Regard yet.
    pub customer: Option<CustomerId>,
    /// When it was answered.
    pub answered: Micros,
    /// How it was answered.
    pub channel: Option<Channel>,
    /// The answers.
    pub answers: Vec<Answer>,
    /// Revision at its source; 0 where the source counts none.
    pub revision: i64,
}

impl NewResponse {
    /// The content as bytes, for digests: equal for equal answers in any order. The revision is no part of it.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self {
            key,
            survey,
            customer,
            answered,
            channel,
            answers,
            revision: _,
        } = self;
        let mut bytes = Content::default();
        bytes
            .key(key.as_ref())
            .id(Some(survey.0))
            .id(customer.map(|c| c.0))
            .number(answered.0);
        bytes.text(channel.map_or("", Channel::as_str));
        let mut answers: Vec<_> = answers.iter().collect();
        answers.sort_by(|a, b| a.question.cmp(&b.question));
        for Answer { question, value } in answers {
            bytes.text(question);
            match value {
                Value::Number(number) => bytes.optional_number(Some(i64::from(*number))),
                Value::Text(text) => bytes.optional_number(None).text(text),
            };
        }
        bytes.into_bytes()
    }
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Id.
    pub id: RecordId,
    /// Version, from 1.
    pub version: i64,
    /// When first recorded.
    pub created: Micros,
    /// When last changed.
    pub updated: Micros,
    /// What was recorded.
    pub content: NewResponse,
}

/// A numeric answer as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerMeasure<'a> {
    /// The question's code.
    pub question: &'a str,
    /// What it measures.
    pub measured: &'a crate::survey::Measured,
    /// The answer, high is good.
    pub value: i32,
}

/// Checks answers against the survey.
///
/// # Returns
/// Every wrong field, as a path below `at` (`response.answers[3].number`), and what was expected; empty if all are right.
#[must_use]
pub fn wrong_answers(at: &str, survey: &Survey, answers: &[Answer]) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut seen = HashSet::with_capacity(answers.len());
    for (index, answer) in answers.iter().enumerate() {
        let mut say =
            |field: &str, why: String| wrong.push((format!("{at}[{index}].{field}"), why));
        if !seen.insert(answer.question.as_str()) {
            say(
                "question",
                "answered twice; give at most one answer a question".to_owned(),
            );
        }
        match survey.question(&answer.question) {
            None => say(
                "question",
                "the survey has no question with this code".to_owned(),
            ),
            Some(question) => match (&answer.value, &question.measured) {
                (Value::Number(number), Some(measured)) => {
                    let scale = measured.scale;
                    if !scale.holds(*number) {
                        say("number", format!("expected {} to {}", scale.min, scale.max));
                    }
                }
                (Value::Text(text), None) => {
                    if text.is_empty() {
                        say(
                            "text",
                            "an empty text is no answer; leave it out".to_owned(),
                        );
                    }
                }
                (Value::Text(_), Some(_)) => {
                    say(
                        "text",
                        format!(
                            "a question of kind {} takes a number",
                            question.kind.as_str()
                        ),
                    );
                }
                (Value::Number(_), None) => {
                    say(
                        "number",
                        format!(
                            "a question of kind {} takes a text",
                            QuestionKind::Text.as_str()
                        ),
                    );
                }
            },
        }
    }
    wrong
}

/// The numeric answers as measures, in the order of the answers; a question that the survey has not is left out.
#[must_use]
pub fn measures<'a>(survey: &'a Survey, answers: &[Answer]) -> Vec<AnswerMeasure<'a>> {
    let measure = |answer: &Answer| {
        let Question { code, measured, .. } = survey.question(&answer.question)?;
        match (&answer.value, measured) {
            (Value::Number(number), Some(measured)) => Some(AnswerMeasure {
                question: code,
                measured,
                value: measured.scale.coded(*number),
            }),
            _ => None,
        }
    };
    answers.iter().filter_map(measure).collect()
}

/// What is known of the stored response when another of the same id arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its present version.
    pub version: i64,
    /// The largest revision taken.
    pub revision: i64,
    /// Its customer.
    pub customer: Option<CustomerId>,
    /// Whether one of its versions has the content that arrived.
    pub seen: bool,
}

/// What to do with a response that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Store it as version 1.
    New,
    /// Store it as the next version, with this revision.
    Revise {
        /// The version to write.
        version: i64,
        /// The revision to keep.
        revision: i64,
    },
    /// Write nothing.
    Unchanged,
    /// Refuse it: the customer of a response never changes.
    CustomerFixed,
}

/// Decides on a response that arrived with this revision (0: none) and customer.
#[must_use]
pub fn judge(known: Option<Known>, revision: i64, customer: Option<CustomerId>) -> Verdict {
    let Some(known) = known else {
        return Verdict::New;
    };
    match turn(known.revision, revision, known.seen) {
        // An old resend says nothing new, not even a wrong customer.
        Turn::Unchanged if revision > 0 => Verdict::Unchanged,
        _ if known.customer != customer => Verdict::CustomerFixed,
        Turn::Unchanged => Verdict::Unchanged,
        // A newer revision with the same content is kept, so that one between the two stays old.
        Turn::Next | Turn::UnlessFormer => Verdict::Revise {
            version: known.version + 1,
            revision: revision.max(known.revision),
        },
    }
}

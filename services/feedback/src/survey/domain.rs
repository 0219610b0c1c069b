//! What a survey is, and what its questions must be.

use regard_types::{Micros, RecordId, SourceKey};

use crate::content::Content;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// Readiness to recommend, 0 to 10.
    Nps,
    /// Satisfaction, 1 to 5, 7 or 10.
    Csat,
    /// Ease, 1 to 7, 7 is the easiest.
    Ces,
    /// Any other number on a scale, under a metric name of its own.
    Rating,
    /// Free text.
    Text,
}

impl QuestionKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Nps, Self::Csat, Self::Ces, Self::Rating, Self::Text];

    /// Short name; for the three metrics that have a fixed scale it is the metric's name too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nps => "nps",
            Self::Csat => "csat",
            Self::Ces => "ces",
            Self::Rating => "rating",
            Self::Text => "text",
        }
    }

    /// Reads the short name; None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The numbers that may be answered: `min` to `max`, both included, `min < max`, both 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scale {
    /// Lowest answer.
    pub min: i32,
    /// Highest answer.
    pub max: i32,
    /// Whether a low answer is a good one.
    pub reversed: bool,
}

impl Scale {
    /// Whether the number may be answered.
    #[must_use]
    pub const fn holds(self, number: i32) -> bool {
        self.min <= number && number <= self.max
    }

    /// The answer so coded that a high one is a good one: `min + max - number` on a reversed scale.
    #[must_use]
    pub const fn coded(self, number: i32) -> i32 {
        if self.reversed {
            self.min + self.max - number
        } else {
            number
        }
    }
}

/// What a question measures: a metric, of one aspect of the experience, on a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// `nps`, `csat`, `ces` or a rating's own name.
    pub metric: String,
    /// The aspect, such as `product_quality`.
    pub dimension: String,
    /// The scale.
    pub scale: Scale,
}

/// One question that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Unique within the survey.
    pub code: String,
    /// As it is put.
    pub text: String,
    /// What it asks for.
    pub kind: QuestionKind,
    /// What it measures; None for a text.
    pub measured: Option<Measured>,
}

/// A question as it was sent; 0 and the empty text mean "not stated".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentQuestion {
    /// Code.
    pub code: String,
    /// Text.
    pub text: String,
    /// Kind.
    pub kind: QuestionKind,
    /// Dimension.
    pub dimension: String,
    /// Metric.
    pub metric: String,
    /// Lowest answer.
    pub scale_min: i32,
    /// Highest answer.
    pub scale_max: i32,
    /// Low is good.
    pub reversed: bool,
}

/// Where a survey stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Being written; takes no responses.
    Draft,
    /// Fixed; takes responses.
    Published,
}

impl State {
    /// Short name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
        }
    }

    /// Reads the short name; None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Published]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// The state after publishing; None where that is not allowed.
    #[must_use]
    pub const fn publish(self) -> Option<Self> {
        match self {
            Self::Draft => Some(Self::Published),
            Self::Published => None,
        }
    }
}

/// A survey to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSurvey {
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// Its name.
    pub name: String,
    /// Its questions.
    pub questions: Vec<Question>,
}

/// A stored survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Id.
    pub id: RecordId,
    /// Version, from 1.
    pub version: i64,
    /// When first recorded.
    pub created: Micros,
    /// When last changed.
    pub updated: Micros,
    /// Where it stands.
    pub state: State,
    /// What was created.
    pub content: NewSurvey,
}

impl Survey {
    /// Content and state as bytes, for digests.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let NewSurvey {
            key,
            name,
            questions,
        } = &self.content;
        let mut bytes = Content::default();
        bytes.key(key.as_ref()).text(name).text(self.state.as_str());
        for Question {
            code,
            text,
            kind,
            measured,
        } in questions
        {
            bytes.text(code).text(text).text(kind.as_str());
            if let Some(Measured {
                metric,
                dimension,
                scale,
            }) = measured
            {
                let Scale { min, max, reversed } = *scale;
                bytes
                    .text(metric)
                    .text(dimension)
                    .number(min.into())
                    .number(max.into())
                    .number(reversed.into());
            }
        }
        bytes.into_bytes()
    }

    /// The question with this code.
    #[must_use]
    pub fn question(&self, code: &str) -> Option<&Question> {
        self.content.questions.iter().find(|q| q.code == code)
    }
}

/// A wrong field and why.
pub type Wrong = (String, String);

/// Checks all questions.
///
/// # Errors
/// Every wrong field, as a path below `at` (`survey.questions[2].metric`), and what was expected.
pub fn questions(at: &str, sent: Vec<SentQuestion>) -> Result<Vec<Question>, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut good: Vec<Question> = Vec::with_capacity(sent.len());
    let mut codes = std::collections::HashMap::new();
    for (index, question) in sent.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        if let Some(first) = codes.insert(question.code.clone(), index) {
            wrong.push((
                format!("{at}.code"),
                format!("question {first} has this code already; give each question its own"),
            ));
        }
        match checked(&at, question) {
            Ok(question) => good.push(question),
            Err(found) => wrong.extend(found),
        }
    }
    if wrong.is_empty() {
        Ok(good)
    } else {
        Err(wrong)
    }
}

fn checked(at: &str, sent: SentQuestion) -> Result<Question, Vec<Wrong>> {
    let SentQuestion {
        code,
        text,
        kind,
        dimension,
        metric,
        scale_min,
        scale_max,
        reversed,
    } = sent;
    let mut wrong = Vec::new();
    let mut say = |field: &str, why: &str| wrong.push((format!("{at}.{field}"), why.to_owned()));

    if kind == QuestionKind::Text {
        if !dimension.is_empty() {
            say("dimension", "a text has no dimension; leave it empty");
        }
    } else if dimension.is_empty() {
        say(
            "dimension",
            "required: the aspect that the question is about, such as product_quality",
        );
    }
    if kind == QuestionKind::Rating {
        if metric.is_empty() {
            say(
                "metric",
                "required for a rating: a name of its own, such as recommend_1_10",
            );
        } else if matches!(metric.as_str(), "nps" | "csat" | "ces") {
            say(
                "metric",
                "nps, csat and ces have kinds of their own; choose another name",
            );
        }
    } else {
        if !metric.is_empty() {
            say("metric", "only a rating has a metric name; leave it empty");
        }
        if reversed {
            say("reversed", "only a rating may be reversed");
        }
    }
    let ends = match kind {
        QuestionKind::Nps => fixed_scale(scale_min, scale_max, 0, &[10]),
        QuestionKind::Csat => fixed_scale(scale_min, scale_max, 1, &[5, 7, 10]),
        QuestionKind::Ces => fixed_scale(scale_min, scale_max, 1, &[7]),
        QuestionKind::Text => {
            if (scale_min, scale_max) == (0, 0) {
                Ok((0, 0))
            } else {
                Err(("scale_max", "a text has no scale; leave both ends 0"))
            }
        }
        QuestionKind::Rating => {
            let inside = 0..=100;
            if !inside.contains(&scale_min) || !inside.contains(&scale_max) {
                Err(("scale_max", "both ends of a scale lie within 0 to 100"))
            } else if scale_min < scale_max {
                Ok((scale_min, scale_max))
            } else {
                Err(("scale_max", "must be greater than scale_min"))
            }
        }
    };
    match ends {
        Err((field, why)) => say(field, why),
        Ok((min, max)) if wrong.is_empty() => {
            let measured = (kind != QuestionKind::Text).then(|| Measured {
                metric: if kind == QuestionKind::Rating {
                    metric
                } else {
                    kind.as_str().to_owned()
                },
                dimension,
                scale: Scale { min, max, reversed },
            });
            return Ok(Question {
                code,
                text,
                kind,
                measured,
            });
        }
        Ok(_) => {}
    }
    Err(wrong)
}

/// A scale that the kind decides: `min` (or not stated) to one of `max` (not stated: the first).
fn fixed_scale(
    sent_min: i32,
    sent_max: i32,
    min: i32,
    max: &[i32],
) -> Result<(i32, i32), (&'static str, &'static str)> {
    if sent_min != 0 && sent_min != min {
        return Err(("scale_min", "this kind has a scale of its own; leave it 0"));
    }
    match max.iter().find(|m| **m == sent_max || sent_max == 0) {
        Some(found) => Ok((min, *found)),
        None if min == 1 && max.len() > 1 => Err(("scale_max", "5, 7 or 10 for CSAT; 0 means 5")),
        None => Err(("scale_max", "this kind has a scale of its own; leave it 0")),
    }
}

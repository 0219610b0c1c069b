//! Surveys on the wire.

use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::survey_service_server::SurveyService;
use regard_server::wire::{Named, etag, required, source_key, timestamp, to_source_key};
use regard_server::{KeyPart, Page, caller, command, page, status};
use regard_types::{ChangeToken, Fault, RecordId};
use tonic::{Request, Response, Status};

use super::domain::{self, NewSurvey, Question, QuestionKind, SentQuestion, State, Survey};
use super::{KIND, Surveys};

const CREATE: &str = "regard.feedback.v1.SurveyService/CreateSurvey";
const LIST: &str = "regard.feedback.v1.SurveyService/ListSurveys";
const PUBLISH: &str = "regard.feedback.v1.SurveyService/PublishSurvey";

fn kind_of(field: &str, number: i32) -> Result<QuestionKind, Fault> {
    match pb::QuestionKind::try_from(number) {
        Ok(pb::QuestionKind::Nps) => Ok(QuestionKind::Nps),
        Ok(pb::QuestionKind::Csat) => Ok(QuestionKind::Csat),
        Ok(pb::QuestionKind::Ces) => Ok(QuestionKind::Ces),
        Ok(pb::QuestionKind::Rating) => Ok(QuestionKind::Rating),
        Ok(pb::QuestionKind::Text) => Ok(QuestionKind::Text),
        Ok(pb::QuestionKind::Unspecified) | Err(_) => {
            Err(Fault::invalid(field, "must be a declared kind"))
        }
    }
}

fn to_kind(kind: QuestionKind) -> i32 {
    i32::from(match kind {
        QuestionKind::Nps => pb::QuestionKind::Nps,
        QuestionKind::Csat => pb::QuestionKind::Csat,
        QuestionKind::Ces => pb::QuestionKind::Ces,
        QuestionKind::Rating => pb::QuestionKind::Rating,
        QuestionKind::Text => pb::QuestionKind::Text,
    })
}

fn to_state(state: State) -> i32 {
    i32::from(match state {
        State::Draft => pb::SurveyState::Draft,
        State::Published => pb::SurveyState::Published,
    })
}

/// The state to list; none lists all.
fn state_of(number: i32) -> Result<Option<State>, Fault> {
    match pb::SurveyState::try_from(number) {
        Ok(pb::SurveyState::Unspecified) => Ok(None),
        Ok(pb::SurveyState::Draft) => Ok(Some(State::Draft)),
        Ok(pb::SurveyState::Published) => Ok(Some(State::Published)),
        Err(_) => Err(Fault::invalid("state", "must be a declared state")),
    }
}

fn new_survey(survey: Option<&pb::Survey>) -> Result<NewSurvey, Fault> {
    let survey = required("survey", survey)?;
    let sent = survey
        .questions
        .iter()
        .enumerate()
        .map(|(index, question)| {
            let pb::Question {
                code,
                text,
                kind,
                dimension,
                metric,
                scale_min,
                scale_max,
                reversed,
            } = question;
            Ok(SentQuestion {
                code: code.clone(),
                text: text.clone(),
                kind: kind_of(&format!("survey.questions[{index}].kind"), *kind)?,
                dimension: dimension.clone(),
                metric: metric.clone(),
                scale_min: *scale_min,
                scale_max: *scale_max,
                reversed: *reversed,
            })
        });
    let sent = sent.collect::<Result<Vec<_>, Fault>>()?;
    Ok(NewSurvey {
        key: survey.key.as_ref().map(source_key),
        name: survey.name.clone(),
        questions: domain::questions("survey.questions", sent).map_err(crate::wrong_fields)?,
    })
}

fn to_question(question: &Question) -> pb::Question {
    let Question {
        code,
        text,
        kind,
        measured,
    } = question;
    let scale = measured.as_ref().map(|m| m.scale);
    pb::Question {
        code: code.clone(),
        text: text.clone(),
        kind: to_kind(*kind),
        dimension: measured
            .as_ref()
            .map(|m| m.dimension.clone())
            .unwrap_or_default(),
        metric: match (kind, measured) {
            (QuestionKind::Rating, Some(measured)) => measured.metric.clone(),
            _ => String::new(),
        },
        scale_min: scale.map_or(0, |s| s.min),
        scale_max: scale.map_or(0, |s| s.max),
        reversed: scale.is_some_and(|s| s.reversed),
    }
}

fn to_survey(survey: &Survey) -> pb::Survey {
    let Survey {
        id,
        version,
        created,
        updated,
        state,
        content,
    } = survey;
    let NewSurvey {
        key,
        name,
        questions,
    } = content;
    pb::Survey {
        id: id.to_string(),
        name: name.clone(),
        key: key.as_ref().map(to_source_key),
        questions: questions.iter().map(to_question).collect(),
        state: to_state(*state),
        version: *version,
        etag: etag(KIND, id.0, *version),
        create_time: Some(timestamp(*created)),
        update_time: Some(timestamp(*updated)),
    }
}

fn token(token: Option<ChangeToken>) -> String {
    token.unwrap_or_default().encode()
}

#[tonic::async_trait]
impl SurveyService for Surveys {
    async fn create_survey(
        &self,
        request: Request<pb::CreateSurveyRequest>,
    ) -> Result<Response<pb::CreateSurveyResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let new = new_survey(body.survey.as_ref()).map_err(status)?;
        let (survey, change) = self
            .create(&caller, command(&body, CREATE), new)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::CreateSurveyResponse {
            survey: Some(to_survey(&survey)),
            change_token: token(change),
        }))
    }

    async fn get_survey(
        &self,
        request: Request<pb::GetSurveyRequest>,
    ) -> Result<Response<pb::GetSurveyResponse>, Status> {
        let caller = caller(&request)?;
        let named = Named::record("survey", request.get_ref().survey.as_ref()).map_err(status)?;
        let id = named.record_id(KIND, &self.ids(&caller));
        let survey = self.get(&caller, id).await.map_err(status)?;
        Ok(Response::new(pb::GetSurveyResponse {
            survey: Some(to_survey(&survey)),
        }))
    }

    async fn list_surveys(
        &self,
        request: Request<pb::ListSurveysRequest>,
    ) -> Result<Response<pb::ListSurveysResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let page =
            Page::read(&caller, LIST, &body, body.page_size, &body.page_token).map_err(status)?;
        let after = match page.after.as_deref() {
            None => None,
            Some([KeyPart::Uuid(id)]) => Some(RecordId(*id)),
            Some(_) => return Err(status(page::invalid())),
        };
        let state = state_of(body.state).map_err(status)?;
        let (surveys, more) = self
            .list(&caller, state, after, page.size)
            .await
            .map_err(status)?;
        let next = surveys
            .last()
            .filter(|_| more)
            .map(|last| page.next(&[KeyPart::Uuid(last.id.0)]));
        Ok(Response::new(pb::ListSurveysResponse {
            surveys: surveys.iter().map(to_survey).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn publish_survey(
        &self,
        request: Request<pb::PublishSurveyRequest>,
    ) -> Result<Response<pb::PublishSurveyResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let named = Named::record("survey", body.survey.as_ref()).map_err(status)?;
        let id = named.record_id(KIND, &self.ids(&caller));
        let command = command(&body, PUBLISH);
        let (survey, change) = self
            .publish(&caller, command, id, &body.etag)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::PublishSurveyResponse {
            survey: Some(to_survey(&survey)),
            change_token: token(change),
        }))
    }
}

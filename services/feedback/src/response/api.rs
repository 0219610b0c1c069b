//! Responses on the wire.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::response_service_server::ResponseService;
use regard_server::wire::{
    Named, channel, etag, micros, required, source_key, timestamp, to_channel, to_source_key,
};
use regard_server::{Answers, Taken, caller, command, ingest, keyless, status};
use regard_types::{Caller, Fault, IdKey};
use tonic::{Request, Status, Streaming};

use super::KIND;
use super::app::Responses;
use super::domain::{Answer, NewResponse, Response, Value};
use crate::survey::KIND as SURVEY;

const RECORD: &str = "regard.feedback.v1.ResponseService/RecordResponse";

fn new_response(
    ids: &IdKey,
    response: Option<&pb::Response>,
    revision: i64,
) -> Result<NewResponse, Fault> {
    let response = required("response", response)?;
    let answers = response.answers.iter().enumerate().map(|(index, answer)| {
        let value = match &answer.value {
            Some(pb::answer::Value::Number(number)) => Value::Number(*number),
            Some(pb::answer::Value::Text(text)) => Value::Text(text.clone()),
            None => {
                return Err(Fault::invalid(
                    format!("response.answers[{index}].value"),
                    "is required",
                ));
            }
        };
        Ok(Answer {
            question: answer.question.clone(),
            value,
        })
    });
    let time = required("response.answer_time", response.answer_time.as_ref())?;
    let customer = Named::customer_if_any("response.customer", response.customer.as_ref())?;
    Ok(NewResponse {
        key: response.key.as_ref().map(source_key),
        survey: Named::record("response.survey", response.survey.as_ref())?.record_id(SURVEY, ids),
        customer: customer.map(|customer| customer.customer_id(ids)),
        answered: micros("response.answer_time", time)?,
        channel: channel("response.channel", response.channel)?,
        answers: answers.collect::<Result<_, Fault>>()?,
        revision,
    })
}

pub(crate) fn to_response(response: Response) -> pb::Response {
    let Response {
        id,
        version,
        created,
        updated,
        content,
    } = response;
    let NewResponse {
        key,
        survey,
        customer,
        answered,
        channel,
        answers,
        revision: _,
    } = content;
    let answer = |Answer { question, value }| pb::Answer {
        question,
        value: Some(match value {
            Value::Number(number) => pb::answer::Value::Number(number),
            Value::Text(text) => pb::answer::Value::Text(text),
        }),
    };
    pb::Response {
        id: id.to_string(),
        key: key.as_ref().map(to_source_key),
        survey: Some(common::RecordRef {
            record: Some(common::record_ref::Record::Id(survey.to_string())),
        }),
        customer: customer.map(|customer| common::CustomerRef {
            customer: Some(common::customer_ref::Customer::Id(customer.to_string())),
        }),
        answer_time: Some(timestamp(answered)),
        channel: to_channel(channel),
        answers: answers.into_iter().map(answer).collect(),
        version,
        etag: etag(KIND, id.0, version),
        create_time: Some(timestamp(created)),
        update_time: Some(timestamp(updated)),
    }
}

fn row(ids: &IdKey, row: &pb::ResponseRow) -> Result<NewResponse, Fault> {
    let response = row.response.as_ref();
    if response.is_some_and(|response| response.key.is_none()) {
        return Err(keyless("response.key"));
    }
    new_response(ids, response, row.revision)
}

async fn take(
    responses: &Responses,
    caller: &Caller,
    number: u64,
    batch: pb::IngestResponsesRequest,
) -> Result<pb::IngestResponsesResponse, Fault> {
    let ids = responses.ids(caller);
    let mut taken = Taken::new(number);
    let rows = taken.rows(&batch.rows, |sent| row(&ids, sent));
    let rows = rows.into_iter().enumerate();
    let good: Vec<_> = rows
        .filter_map(|(index, row)| Some((index, row?)))
        .collect();
    let done = responses.ingest(caller, batch.validate_only, &good).await?;
    taken.accepted(done.accepted);
    taken.unchanged(done.unchanged);
    for (index, fault) in &done.rejected {
        taken.rejected(*index, fault);
    }
    Ok(pb::IngestResponsesResponse {
        result: Some(taken.done("responses", done.token)),
    })
}

#[tonic::async_trait]
impl ResponseService for Responses {
    async fn record_response(
        &self,
        request: Request<pb::RecordResponseRequest>,
    ) -> Result<tonic::Response<pb::RecordResponseResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let ids = self.ids(&caller);
        let new = new_response(&ids, body.response.as_ref(), body.revision).map_err(status)?;
        let (response, token) = self
            .record(&caller, command(&body, RECORD), new)
            .await
            .map_err(status)?;
        Ok(tonic::Response::new(pb::RecordResponseResponse {
            response: Some(to_response(response)),
            change_token: token.unwrap_or_default().encode(),
        }))
    }

    type IngestResponsesStream = Answers<pb::IngestResponsesResponse>;

    async fn ingest_responses(
        &self,
        request: Request<Streaming<pb::IngestResponsesRequest>>,
    ) -> Result<tonic::Response<Self::IngestResponsesStream>, Status> {
        let caller = caller(&request)?;
        let responses = self.clone();
        Ok(tonic::Response::new(ingest(
            request.into_inner(),
            move |number, batch| {
                let (caller, responses) = (caller.clone(), responses.clone());
                async move { take(&responses, &caller, number, batch).await }
            },
        )))
    }

    async fn get_response(
        &self,
        request: Request<pb::GetResponseRequest>,
    ) -> Result<tonic::Response<pb::GetResponseResponse>, Status> {
        let caller = caller(&request)?;
        let named =
            Named::record("response", request.get_ref().response.as_ref()).map_err(status)?;
        let id = named.record_id(KIND, &self.ids(&caller));
        let response = self.get(&caller, id).await.map_err(status)?;
        Ok(tonic::Response::new(pb::GetResponseResponse {
            response: Some(to_response(response)),
        }))
    }
}

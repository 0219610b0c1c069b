//! Feedback items on the wire.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::feedback_item_service_server::FeedbackItemService;
use regard_server::wire::{
    Named, channel, etag, micros, required, source_key, timestamp, to_channel, to_source_key,
};
use regard_server::{caller, command, status};
use regard_types::{Fault, IdKey};
use tonic::{Request, Response, Status};

use super::KIND;
use super::app::Items;
use super::domain::{FeedbackItem, FeedbackKind, NewItem};

const SUBMIT: &str = "regard.feedback.v1.FeedbackItemService/SubmitFeedbackItem";

fn kind_of(number: i32) -> Result<FeedbackKind, Fault> {
    match pb::FeedbackKind::try_from(number) {
        Ok(pb::FeedbackKind::Praise) => Ok(FeedbackKind::Praise),
        Ok(pb::FeedbackKind::Suggestion) => Ok(FeedbackKind::Suggestion),
        Ok(pb::FeedbackKind::Question) => Ok(FeedbackKind::Question),
        Ok(pb::FeedbackKind::Review) => Ok(FeedbackKind::Review),
        Ok(pb::FeedbackKind::Mention) => Ok(FeedbackKind::Mention),
        Ok(pb::FeedbackKind::Unspecified) | Err(_) => Err(Fault::invalid(
            "feedback_item.kind",
            "must be a declared kind",
        )),
    }
}

fn to_kind(kind: FeedbackKind) -> i32 {
    i32::from(match kind {
        FeedbackKind::Praise => pb::FeedbackKind::Praise,
        FeedbackKind::Suggestion => pb::FeedbackKind::Suggestion,
        FeedbackKind::Question => pb::FeedbackKind::Question,
        FeedbackKind::Review => pb::FeedbackKind::Review,
        FeedbackKind::Mention => pb::FeedbackKind::Mention,
    })
}

fn new_item(ids: &IdKey, item: Option<&pb::FeedbackItem>) -> Result<NewItem, Fault> {
    let item = required("feedback_item", item)?;
    let customer = Named::customer_if_any("feedback_item.customer", item.customer.as_ref())?;
    let time = required("feedback_item.say_time", item.say_time.as_ref())?;
    Ok(NewItem {
        key: item.key.as_ref().map(source_key),
        customer: customer.map(|customer| customer.customer_id(ids)),
        kind: kind_of(item.kind)?,
        text: item.text.clone(),
        rating: item.rating,
        channel: channel("feedback_item.channel", item.channel)?,
        said: micros("feedback_item.say_time", time)?,
    })
}

pub(crate) fn to_item(item: FeedbackItem) -> pb::FeedbackItem {
    let FeedbackItem {
        id,
        version,
        created,
        updated,
        content,
    } = item;
    let NewItem {
        key,
        customer,
        kind,
        text,
        rating,
        channel,
        said,
    } = content;
    pb::FeedbackItem {
        id: id.to_string(),
        key: key.as_ref().map(to_source_key),
        customer: customer.map(|customer| common::CustomerRef {
            customer: Some(common::customer_ref::Customer::Id(customer.to_string())),
        }),
        kind: to_kind(kind),
        text,
        rating,
        channel: to_channel(channel),
        say_time: Some(timestamp(said)),
        version,
        etag: etag(KIND, id.0, version),
        create_time: Some(timestamp(created)),
        update_time: Some(timestamp(updated)),
    }
}

#[tonic::async_trait]
impl FeedbackItemService for Items {
    async fn submit_feedback_item(
        &self,
        request: Request<pb::SubmitFeedbackItemRequest>,
    ) -> Result<Response<pb::SubmitFeedbackItemResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let new = new_item(&self.ids(&caller), body.feedback_item.as_ref()).map_err(status)?;
        let (item, token) = self
            .submit(&caller, command(&body, SUBMIT), new)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::SubmitFeedbackItemResponse {
            feedback_item: Some(to_item(item)),
            change_token: token.unwrap_or_default().encode(),
        }))
    }

    async fn get_feedback_item(
        &self,
        request: Request<pb::GetFeedbackItemRequest>,
    ) -> Result<Response<pb::GetFeedbackItemResponse>, Status> {
        let caller = caller(&request)?;
        let named = Named::record("feedback_item", request.get_ref().feedback_item.as_ref())
            .map_err(status)?;
        let id = named.record_id(KIND, &self.ids(&caller));
        let item = self.get(&caller, id).await.map_err(status)?;
        Ok(Response::new(pb::GetFeedbackItemResponse {
            feedback_item: Some(to_item(item)),
        }))
    }
}

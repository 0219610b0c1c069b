//! What the feed tells of each record: ids, times, numbers and codes, never names or texts.

use prost::Message as _;
use regard_proto::feedback::v1 as pb;
use regard_types::Channel;

use crate::complaint::Complaint;
use crate::feedback_item::FeedbackItem;
use crate::response::{NewResponse, measures};
use crate::survey::{State, Survey};

fn encoded(record: pb::measures::Record) -> Vec<u8> {
    pb::Measures {
        record: Some(record),
    }
    .encode_to_vec()
}

fn channel(channel: Option<Channel>) -> i32 {
    regard_server::wire::to_channel(channel)
}

pub(crate) fn survey(survey: &Survey) -> Vec<u8> {
    let published = survey.state == State::Published;
    encoded(pb::measures::Record::Survey(pb::SurveyMeasures {
        published,
    }))
}

/// The numeric answers, reverse-coded where the question is reversed.
pub(crate) fn response(survey: &Survey, response: &NewResponse) -> Vec<u8> {
    let answers = measures(survey, &response.answers)
        .into_iter()
        .map(|answer| pb::AnswerMeasures {
            question: answer.question.to_owned(),
            metric: answer.measured.metric.clone(),
            dimension: answer.measured.dimension.clone(),
            value: answer.value,
            scale_min: answer.measured.scale.min,
            scale_max: answer.measured.scale.max,
        });
    encoded(pb::measures::Record::Response(pb::ResponseMeasures {
        survey_id: response.survey.to_string(),
        channel: channel(response.channel),
        answers: answers.collect(),
    }))
}

pub(crate) fn feedback_item(item: &FeedbackItem) -> Vec<u8> {
    encoded(pb::measures::Record::FeedbackItem(
        pb::FeedbackItemMeasures {
            kind: item.content.kind.as_str().to_owned(),
            channel: channel(item.content.channel),
            rating: item.content.rating,
        },
    ))
}

pub(crate) fn complaint(complaint: &Complaint) -> Vec<u8> {
    encoded(pb::measures::Record::Complaint(pb::ComplaintMeasures {
        state: complaint.state.as_str().to_owned(),
        reason: complaint.content.reason.clone(),
        channel: channel(complaint.content.channel),
        severity: complaint.content.severity,
        resolved_micros: complaint.resolution.as_ref().map(|r| r.at.0),
    }))
}

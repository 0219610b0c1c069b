//! Complaints and feedback items.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_testkit::{TestStore, on_both_engines};
use tonic::Code;

use crate::suite::{DAY, Suite, by_id, check_refused, customer, key, keyed, refused, time};

on_both_engines!(
    a_complaint_from_opening_to_resolution,
    what_a_complaint_cannot_be,
    a_feedback_item,
    repeated_requests_get_the_first_answer,
);

fn complaint(name: &str) -> pb::Complaint {
    pb::Complaint {
        key: Some(key(name)),
        customer: Some(customer("c")),
        text: "The parcel came two weeks late".to_owned(),
        reason: "late_delivery".to_owned(),
        channel: common::Channel::Phone.into(),
        open_time: Some(time(DAY)),
        ..Default::default()
    }
}

fn open(complaint: pb::Complaint, request_id: &str) -> pb::OpenComplaintRequest {
    pb::OpenComplaintRequest {
        complaint: Some(complaint),
        request_id: request_id.to_owned(),
        validate_only: false,
    }
}

fn resolve(name: &str, etag: &str) -> pb::ResolveComplaintRequest {
    pb::ResolveComplaintRequest {
        complaint: Some(keyed(name)),
        resolution: "Refunded the postage".to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    }
}

async fn a_complaint_from_opening_to_resolution(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default").complaints;
    let opened = of
        .open_complaint(open(complaint("k"), ""))
        .await
        .unwrap()
        .into_inner();
    assert!(!opened.change_token.is_empty());
    let opened = opened.complaint.unwrap();
    assert_eq!(
        (opened.version, opened.state(), opened.severity),
        (1, pb::ComplaintState::Received, 3)
    );
    assert_eq!(
        (opened.text.as_str(), opened.resolve_time),
        ("The parcel came two weeks late", None)
    );

    check_refused(
        of.resolve_complaint(resolve("k", "another")).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    let before = pb::ResolveComplaintRequest {
        resolve_time: Some(time(DAY - 1)),
        ..resolve("k", "")
    };
    let (code, reason, fields) = refused(of.resolve_complaint(before).await);
    assert_eq!(
        (code, reason.as_str(), fields),
        (
            Code::InvalidArgument,
            "FIELD_INVALID",
            vec!["resolve_time".to_owned()]
        )
    );
    check_refused(
        of.resolve_complaint(resolve("none", "")).await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );

    let resolved = of
        .resolve_complaint(resolve("k", &opened.etag))
        .await
        .unwrap()
        .into_inner()
        .complaint
        .unwrap();
    assert_eq!(
        (resolved.version, resolved.state()),
        (2, pb::ComplaintState::Resolved)
    );
    assert_eq!(
        (&resolved.text, resolved.resolution.as_str()),
        (&opened.text, "Refunded the postage")
    );
    assert_eq!(
        resolved.resolve_time,
        Some(time(DAY + 100_000)),
        "now, where no time is given"
    );
    check_refused(
        of.resolve_complaint(resolve("k", "")).await,
        Code::FailedPrecondition,
        "WRONG_STATE",
    );
    for name in [keyed("k"), by_id(&opened.id)] {
        let found = of
            .get_complaint(pb::GetComplaintRequest {
                complaint: Some(name),
            })
            .await
            .unwrap();
        assert_eq!(found.into_inner().complaint.unwrap(), resolved);
    }
}

async fn what_a_complaint_cannot_be(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default").complaints;
    let bad = pb::Complaint {
        text: String::new(),
        reason: "Late!".to_owned(),
        severity: 6,
        open_time: None,
        channel: 77,
        ..complaint("k")
    };
    let (code, _, mut fields) = refused(of.open_complaint(open(bad, "")).await);
    fields.sort();
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(
        fields,
        [
            "complaint.channel",
            "complaint.open_time",
            "complaint.reason",
            "complaint.severity",
            "complaint.text"
        ]
    );
    of.open_complaint(open(complaint("k"), "")).await.unwrap();
    let other = pb::Complaint {
        severity: 5,
        ..complaint("k")
    };
    check_refused(
        of.open_complaint(open(other, "")).await,
        Code::AlreadyExists,
        "RECORD_EXISTS",
    );
    let mut two = suite.of("two").complaints;
    let get = pb::GetComplaintRequest {
        complaint: Some(keyed("k")),
    };
    check_refused(
        two.get_complaint(get).await,
        Code::NotFound,
        "RECORD_UNKNOWN",
    );
}

async fn a_feedback_item(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default").items;
    let item = pb::FeedbackItem {
        key: Some(key("i")),
        kind: pb::FeedbackKind::Review.into(),
        text: "Five stars".to_owned(),
        rating: Some(5),
        channel: common::Channel::Social.into(),
        say_time: Some(time(DAY)),
        ..Default::default()
    };
    let submit = |item: &pb::FeedbackItem| pb::SubmitFeedbackItemRequest {
        feedback_item: Some(item.clone()),
        ..Default::default()
    };
    let stored = of
        .submit_feedback_item(submit(&item))
        .await
        .unwrap()
        .into_inner()
        .feedback_item
        .unwrap();
    assert_eq!(
        (stored.version, stored.kind(), stored.rating),
        (1, pb::FeedbackKind::Review, Some(5))
    );
    assert_eq!(
        (stored.text.as_str(), stored.customer.as_ref()),
        ("Five stars", None)
    );
    let get = pb::GetFeedbackItemRequest {
        feedback_item: Some(keyed("i")),
    };
    assert_eq!(
        of.get_feedback_item(get)
            .await
            .unwrap()
            .into_inner()
            .feedback_item
            .unwrap(),
        stored
    );
    let again = of
        .submit_feedback_item(submit(&item))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (again.feedback_item.unwrap(), again.change_token.as_str()),
        (stored, "")
    );
    let other = pb::FeedbackItem {
        rating: None,
        ..item.clone()
    };
    check_refused(
        of.submit_feedback_item(submit(&other)).await,
        Code::AlreadyExists,
        "RECORD_EXISTS",
    );
    let bad = pb::FeedbackItem {
        kind: 0,
        rating: Some(6),
        text: "x".repeat(8_001),
        ..item
    };
    let (code, _, fields) = refused(of.submit_feedback_item(submit(&bad)).await);
    assert_eq!((code, fields.len()), (Code::InvalidArgument, 3));
}

async fn repeated_requests_get_the_first_answer(store: TestStore) {
    let suite = Suite::new(store).await;
    let mut of = suite.of("default").complaints;
    let keyless = pb::Complaint {
        key: None,
        ..complaint("")
    };
    let first = of
        .open_complaint(open(keyless.clone(), "one"))
        .await
        .unwrap()
        .into_inner();
    let id = first.complaint.as_ref().unwrap().id.clone();
    let resolve = pb::ResolveComplaintRequest {
        complaint: Some(by_id(&id)),
        request_id: "one".to_owned(),
        ..resolve("", "")
    };
    let resolved = of
        .resolve_complaint(resolve.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        of.resolve_complaint(resolve).await.unwrap().into_inner(),
        resolved
    );
    assert_eq!(
        of.open_complaint(open(keyless, "one"))
            .await
            .unwrap()
            .into_inner(),
        first
    );
}

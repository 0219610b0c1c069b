//! A tenant whose records another one is after.

use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::scoring::v1 as scoring;

use crate::values::{
    customer_ref, key, make_survey, noon, order, pin, record, record_ref, respond, response, scores,
};

/// What tells the tenants apart in every answer: the first tenant's values, which no answer to the other may hold.
pub const MARK: &str = "mark-of-the-first";

fn marked(n: usize) -> customer::Customer {
    customer::Customer {
        key: Some(key(&format!("c{n}"))),
        display_name: MARK.to_owned(),
        email: format!("{MARK}-{n}@example.org"),
        attributes: [("note".to_owned(), MARK.to_owned())].into(),
        ..Default::default()
    }
}

/// Ids of the first tenant's records.
#[derive(Debug, Clone)]
pub struct Ids {
    /// A customer's id.
    pub customer: String,
    /// An order's.
    pub order: String,
    /// A survey's.
    pub survey: String,
    /// A response's.
    pub response: String,
    /// A feedback item's.
    pub item: String,
    /// A complaint's.
    pub complaint: String,
    /// An operation's name.
    pub operation: String,
    /// A model's id.
    pub model: String,
    /// The customer's etag.
    pub etag: String,
    /// A page token of `ListCustomers`.
    pub page: String,
}

/// Fills a tenant with records that hold the mark.
///
/// # Panics
/// When one is refused.
pub async fn records(client: &regard_client::Client) -> Ids {
    pin(client, "2026-03-31").await;
    let mut found = Vec::new();
    for n in 0..3 {
        let request = customer::CreateCustomerRequest {
            customer: Some(marked(n)),
            ..Default::default()
        };
        found.push(
            client
                .customers()
                .create_customer(request)
                .await
                .unwrap()
                .into_inner()
                .customer
                .unwrap(),
        );
    }
    record(client, order("o", "c0", 1_000, "2026-03-01")).await;
    let token = record(client, order("o2", "c1", 1_000, "2026-03-01")).await;
    scores(client, "c0", &[token]).await;
    let request = customer::GetOrderRequest {
        order: Some(record_ref("o")),
    };
    let order = client
        .orders()
        .get_order(request)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    make_survey(client, "s").await;
    respond(client, response("r", "s", Some("c0"), (9, 5), "2026-03-02"))
        .await
        .unwrap();
    let request = feedback::GetResponseRequest {
        response: Some(record_ref("r")),
    };
    let said = client
        .responses()
        .get_response(request)
        .await
        .unwrap()
        .into_inner()
        .response
        .unwrap();
    let item = feedback::FeedbackItem {
        key: Some(key("i")),
        customer: Some(customer_ref("c0")),
        kind: feedback::FeedbackKind::Praise.into(),
        text: MARK.to_owned(),
        say_time: Some(noon("2026-03-02")),
        ..Default::default()
    };
    let request = feedback::SubmitFeedbackItemRequest {
        feedback_item: Some(item),
        ..Default::default()
    };
    let item = client
        .feedback_items()
        .submit_feedback_item(request)
        .await
        .unwrap()
        .into_inner()
        .feedback_item
        .unwrap();
    let complaint = feedback::Complaint {
        key: Some(key("x")),
        customer: Some(customer_ref("c0")),
        text: MARK.to_owned(),
        reason: "quality".to_owned(),
        open_time: Some(noon("2026-03-02")),
        ..Default::default()
    };
    let request = feedback::OpenComplaintRequest {
        complaint: Some(complaint),
        ..Default::default()
    };
    let complaint = client
        .complaints()
        .open_complaint(request)
        .await
        .unwrap()
        .into_inner()
        .complaint
        .unwrap();
    let request = scoring::RescoreAllRequest::default();
    let operation = client
        .models()
        .rescore_all(request)
        .await
        .unwrap()
        .into_inner()
        .operation
        .unwrap();
    let request = customer::ListCustomersRequest {
        page_size: 1,
        ..Default::default()
    };
    let page = client
        .customers()
        .list_customers(request)
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    assert!(!page.is_empty());
    Ids {
        customer: found[0].id.clone(),
        order: order.id,
        survey: said
            .survey
            .and_then(|s| s.record)
            .map(|r| match r {
                common::record_ref::Record::Id(id) => id,
                common::record_ref::Record::Key(_) => String::new(),
            })
            .unwrap_or_default(),
        response: said.id,
        item: item.id,
        complaint: complaint.id,
        operation: operation.name,
        model: "0190b3a1-7c3d-7c3d-8c3d-0190b3a17c3d".to_owned(),
        etag: found[0].etag.clone(),
        page,
    }
}

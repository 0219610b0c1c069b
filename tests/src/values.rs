//! Short ways to say what is recorded, and to record and read it.

use regard_client::Client;
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::google::r#type::{Date, Money};
use regard_proto::scoring::v1 as scoring;
use regard_types::{Day, Micros, Zone};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A key of the test's source.
#[must_use]
pub fn key(external_id: &str) -> common::SourceKey {
    common::SourceKey {
        source: "shop".to_owned(),
        external_id: external_id.to_owned(),
    }
}

/// A customer by key.
#[must_use]
pub fn customer_ref(external_id: &str) -> common::CustomerRef {
    common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Key(key(external_id))),
    }
}

/// A record by key.
#[must_use]
pub fn record_ref(external_id: &str) -> common::RecordRef {
    common::RecordRef {
        record: Some(common::record_ref::Record::Key(key(external_id))),
    }
}

/// Dollars, in cents.
///
/// # Panics
/// Never for amounts of this world.
#[must_use]
pub fn usd(cents: i64) -> Money {
    let nanos = i32::try_from(cents % 100).unwrap() * 10_000_000;
    Money {
        currency_code: "USD".to_owned(),
        units: cents / 100,
        nanos,
    }
}

/// A day, as `2026-01-31`.
///
/// # Panics
/// For anything else.
#[must_use]
pub fn date(day: &str) -> Date {
    let (year, month, day) = Day::parse(day).unwrap().date();
    Date {
        year,
        month: i32::try_from(month).unwrap(),
        day: i32::try_from(day).unwrap(),
    }
}

/// Noon of a day in UTC.
///
/// # Panics
/// For what is no day.
#[must_use]
pub fn noon(day: &str) -> prost_types::Timestamp {
    noon_of(Day::parse(day).unwrap())
}

/// Noon of a day in UTC.
#[must_use]
pub fn noon_of(day: Day) -> prost_types::Timestamp {
    let (seconds, _) = day.start(&Zone::utc()).seconds();
    prost_types::Timestamp {
        seconds: seconds + 12 * 3_600,
        nanos: 0,
    }
}

/// Now, as microseconds.
#[must_use]
pub fn now() -> Micros {
    regard_types::Clock::System.now()
}

/// An order.
#[must_use]
pub fn order(id: &str, of: &str, cents: i64, day: &str) -> customer::Order {
    customer::Order {
        key: Some(key(id)),
        customer: Some(customer_ref(of)),
        order_time: Some(noon(day)),
        gross: Some(usd(cents)),
        units: 1,
        ..customer::Order::default()
    }
}

/// A row of an order.
#[must_use]
pub fn row(id: &str, of: &str, cents: i64, day: &str) -> customer::OrderRow {
    customer::OrderRow {
        order: Some(order(id, of, cents, day)),
        revision: 0,
    }
}

/// Records an order, with its customer if need be; the change token.
///
/// # Panics
/// When it is refused.
pub async fn record(client: &Client, order: customer::Order) -> String {
    try_record(client, order).await.unwrap().change_token
}

/// Records an order, with its customer if need be.
///
/// # Errors
/// As the call.
pub async fn try_record(
    client: &Client,
    order: customer::Order,
) -> Result<customer::RecordOrderResponse, Status> {
    let request = customer::RecordOrderRequest {
        order: Some(order),
        create_missing: true,
        ..Default::default()
    };
    Ok(client.orders().record_order(request).await?.into_inner())
}

/// Streams batches of orders that make their customers; one result a batch.
///
/// # Errors
/// As the call.
pub async fn ingest(
    client: &Client,
    batches: Vec<Vec<customer::OrderRow>>,
) -> Result<Vec<common::BatchResult>, Status> {
    let requests = batches
        .into_iter()
        .map(|rows| customer::IngestOrdersRequest {
            rows,
            create_missing: true,
            validate_only: false,
        });
    let mut answers = client
        .orders()
        .ingest_orders(tokio_stream::iter(requests.collect::<Vec<_>>()))
        .await?
        .into_inner();
    let mut out = Vec::new();
    while let Some(answer) = answers.message().await? {
        out.push(answer.result.unwrap_or_default());
    }
    Ok(out)
}

/// Makes a customer without orders; the change token.
///
/// # Panics
/// When it is refused.
pub async fn create(client: &Client, id: &str) -> String {
    let request = customer::CreateCustomerRequest {
        customer: Some(customer::Customer {
            key: Some(key(id)),
            ..Default::default()
        }),
        ..Default::default()
    };
    client
        .customers()
        .create_customer(request)
        .await
        .unwrap()
        .into_inner()
        .change_token
}

/// Refunds of a customer; of an order, if one is named.
///
/// # Errors
/// As the call.
pub async fn refund(
    client: &Client,
    id: &str,
    of: &str,
    order: Option<&str>,
    cents: i64,
    day: &str,
) -> Result<String, Status> {
    let refund = customer::Refund {
        key: Some(key(id)),
        customer: Some(customer_ref(of)),
        order: order.map(record_ref),
        refund_time: Some(noon(day)),
        amount: Some(usd(cents)),
        ..Default::default()
    };
    let request = customer::RecordRefundRequest {
        refund: Some(refund),
        ..Default::default()
    };
    Ok(client
        .orders()
        .record_refund(request)
        .await?
        .into_inner()
        .change_token)
}

/// Corrects an order's value; the change token.
///
/// # Errors
/// As the call.
pub async fn correct(client: &Client, id: &str, cents: i64) -> Result<String, Status> {
    let request = customer::CorrectOrderRequest {
        target: Some(record_ref(id)),
        gross: Some(usd(cents)),
        ..Default::default()
    };
    Ok(client
        .orders()
        .correct_order(request)
        .await?
        .into_inner()
        .change_token)
}

/// Merges one customer into another; the change token.
///
/// # Errors
/// As the call.
pub async fn merge(client: &Client, from: &str, into: &str) -> Result<String, Status> {
    let request = customer::MergeCustomersRequest {
        into: Some(customer_ref(into)),
        from: Some(customer_ref(from)),
        evidence: "declared".to_owned(),
        ..Default::default()
    };
    Ok(client
        .customers()
        .merge_customers(request)
        .await?
        .into_inner()
        .change_token)
}

/// Ends a customer's merge; the change token.
///
/// # Errors
/// As the call.
pub async fn unmerge(client: &Client, id: &str) -> Result<String, Status> {
    let request = customer::UnmergeCustomersRequest {
        customer: Some(customer_ref(id)),
        ..Default::default()
    };
    Ok(client
        .customers()
        .unmerge_customers(request)
        .await?
        .into_inner()
        .change_token)
}

/// Pins the tenant's day; the change token.
///
/// # Panics
/// When it is refused.
pub async fn pin(client: &Client, day: &str) -> String {
    let request = customer::UpdateTenantRequest {
        tenant: Some(customer::Tenant {
            pinned_day: Some(date(day)),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["pinned_day".to_owned()],
        }),
        ..Default::default()
    };
    client
        .tenants()
        .update_tenant(request)
        .await
        .unwrap()
        .into_inner()
        .change_token
}

/// Makes a tenant in dollars and UTC, by the hand of an operator.
///
/// # Panics
/// When it is refused.
pub async fn make_tenant(operator: &Client, name: &str) {
    let tenant = customer::Tenant {
        name: name.to_owned(),
        zone: "UTC".to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let request = customer::CreateTenantRequest {
        tenant: Some(tenant),
        ..Default::default()
    };
    operator.tenants().create_tenant(request).await.unwrap();
}

/// All scores of a customer, from data at least as new as the tokens.
///
/// # Errors
/// As the call.
pub async fn try_scores(
    client: &Client,
    id: &str,
    tokens: &[String],
) -> Result<scoring::CustomerScores, Status> {
    let request = scoring::GetScoresRequest {
        customer: Some(customer_ref(id)),
        change_tokens: tokens.to_vec(),
        ..Default::default()
    };
    Ok(client
        .scores()
        .get_scores(request)
        .await?
        .into_inner()
        .scores
        .unwrap_or_default())
}

/// All scores of a customer, from data at least as new as the tokens.
///
/// # Panics
/// When they are refused.
pub async fn scores(client: &Client, id: &str, tokens: &[String]) -> scoring::CustomerScores {
    let found = try_scores(client, id, tokens).await;
    found.unwrap_or_else(|status| panic!("scores of {id}: {}", regard_client::describe(&status)))
}

/// One score.
///
/// # Panics
/// When it is not among them.
#[must_use]
pub fn score<'a>(of: &'a scoring::CustomerScores, name: &str) -> &'a scoring::Score {
    of.scores
        .iter()
        .find(|score| score.name == name)
        .unwrap_or_else(|| panic!("no score {name} in {of:?}"))
}

/// The explanation of a score.
///
/// # Panics
/// When it is refused.
pub async fn explain(
    client: &Client,
    id: &str,
    name: &str,
    tokens: &[String],
) -> scoring::ExplainScoreResponse {
    let request = scoring::ExplainScoreRequest {
        customer: Some(customer_ref(id)),
        score: name.to_owned(),
        change_tokens: tokens.to_vec(),
        as_of: None,
    };
    client
        .scores()
        .explain_score(request)
        .await
        .unwrap()
        .into_inner()
}

/// A question about the whole.
#[must_use]
pub fn question(code: &str, kind: feedback::QuestionKind) -> feedback::Question {
    feedback::Question {
        code: code.to_owned(),
        text: format!("{code}?"),
        kind: kind.into(),
        dimension: "overall_satisfaction".to_owned(),
        ..Default::default()
    }
}

/// Makes and publishes a survey of one NPS, one CSAT and one rating question.
///
/// # Panics
/// When it is refused.
pub async fn make_survey(client: &Client, id: &str) {
    let survey = feedback::Survey {
        name: "After delivery".to_owned(),
        key: Some(key(id)),
        questions: vec![
            question("nps", feedback::QuestionKind::Nps),
            question("csat", feedback::QuestionKind::Csat),
        ],
        ..Default::default()
    };
    let request = feedback::CreateSurveyRequest {
        survey: Some(survey),
        ..Default::default()
    };
    client.surveys().create_survey(request).await.unwrap();
    let request = feedback::PublishSurveyRequest {
        survey: Some(record_ref(id)),
        ..Default::default()
    };
    client.surveys().publish_survey(request).await.unwrap();
}

/// A response with an NPS and a CSAT answer.
#[must_use]
pub fn response(
    id: &str,
    survey: &str,
    of: Option<&str>,
    (nps, csat): (i32, i32),
    day: &str,
) -> feedback::Response {
    let answer = |question: &str, number| feedback::Answer {
        question: question.to_owned(),
        value: Some(feedback::answer::Value::Number(number)),
    };
    feedback::Response {
        key: Some(key(id)),
        survey: Some(record_ref(survey)),
        customer: of.map(customer_ref),
        answer_time: Some(noon(day)),
        channel: common::Channel::WebSurvey.into(),
        answers: vec![answer("nps", nps), answer("csat", csat)],
        ..Default::default()
    }
}

/// Records a response; the change token.
///
/// # Errors
/// As the call.
pub async fn respond(client: &Client, response: feedback::Response) -> Result<String, Status> {
    let request = feedback::RecordResponseRequest {
        response: Some(response),
        ..Default::default()
    };
    Ok(client
        .responses()
        .record_response(request)
        .await?
        .into_inner()
        .change_token)
}

/// The reason of a refusal.
#[must_use]
pub fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// The fields that a refusal names.
#[must_use]
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    details
        .bad_request()
        .map(|bad| {
            bad.field_violations
                .iter()
                .map(|v| v.field.clone())
                .collect()
        })
        .unwrap_or_default()
}

/// Checks code and reason of a refusal.
///
/// # Panics
/// When it was answered, or refused otherwise.
#[track_caller]
pub fn check_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, why: &str) {
    let status = result.expect_err("must be refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, why),
        "{status:?}"
    );
}

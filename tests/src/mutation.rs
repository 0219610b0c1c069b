//! Valid requests of every RPC that changes something, each with what it needs stored before. An RPC without a recipe gets a
//! request made from the descriptors alone: if that is refused, its author adds a recipe here.

use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use regard_client::Client;
use regard_proto::Method;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_proto::scoring::v1 as scoring;

use crate::values::{
    create, customer_ref, date, key, merge, noon, order, question, record, record_ref, response,
    row, usd,
};
use crate::wild::Contract;

/// The short name of an RPC (`RecordOrder`).
#[must_use]
pub fn verb(method: &Method) -> &'static str {
    method.path.rsplit('/').next().unwrap_or_default()
}

/// A request that the store as it is now takes, about records that `tag` names; what it needs is stored by `client`.
///
/// # Panics
/// When what it needs is refused.
pub async fn fresh(
    contract: &Contract,
    client: &Client,
    method: &Method,
    tag: &str,
) -> DynamicMessage {
    let bytes = recipe(client, method, tag).await;
    let of = contract.message(method.request);
    match bytes {
        Some(bytes) => DynamicMessage::decode(of, &bytes[..]).unwrap(),
        None => {
            let mut message = contract.sound(&of);
            rename(&mut message, tag);
            message
        }
    }
}

/// Gives every source key of a message this external id.
fn rename(message: &mut DynamicMessage, tag: &str) {
    let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
    for field in fields {
        if field.name() == "external_id" {
            message.set_field(&field, Value::String(tag.to_owned()));
            continue;
        }
        match message.get_field_mut(&field) {
            Value::Message(inner) => rename(inner, tag),
            Value::List(items) => {
                for item in items.iter_mut() {
                    if let Value::Message(inner) = item {
                        rename(inner, tag);
                    }
                }
            }
            _ => {}
        }
    }
}

async fn recipe(client: &Client, method: &Method, tag: &str) -> Option<Vec<u8>> {
    let service = method.service.rsplit('.').next().unwrap_or_default();
    match service {
        "CustomerService" => of_customers(client, verb(method), tag).await,
        "OrderService" => of_orders(client, verb(method), tag).await,
        "TenantService" => of_tenants(client, verb(method), tag).await,
        "AccessService" => of_access(client, verb(method), tag).await,
        "PrivacyService" => of_privacy(client, verb(method), tag).await,
        "SurveyService" | "ResponseService" | "ComplaintService" | "FeedbackItemService" => {
            of_feedback(client, verb(method), tag).await
        }
        "ModelService" | "OperationService" => of_scoring(client, verb(method), tag).await,
        _ => None,
    }
}

fn named(tag: &str) -> Option<customer::Customer> {
    Some(customer::Customer {
        key: Some(key(tag)),
        display_name: format!("Name {tag}"),
        ..Default::default()
    })
}

async fn of_customers(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    Some(match verb {
        "CreateCustomer" => customer::CreateCustomerRequest {
            customer: named(tag),
            ..Default::default()
        }
        .encode_to_vec(),
        "UpdateCustomer" => {
            create(client, tag).await;
            customer::UpdateCustomerRequest {
                target: Some(customer_ref(tag)),
                customer: Some(customer::Customer {
                    display_name: format!("Name {tag}"),
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["display_name".to_owned()],
                }),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "MergeCustomers" => {
            let from = format!("{tag}-from");
            create(client, tag).await;
            create(client, &from).await;
            customer::MergeCustomersRequest {
                into: Some(customer_ref(tag)),
                from: Some(customer_ref(&from)),
                evidence: "declared".to_owned(),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "UnmergeCustomers" => {
            let from = format!("{tag}-from");
            create(client, tag).await;
            create(client, &from).await;
            merge(client, &from, tag).await.unwrap();
            customer::UnmergeCustomersRequest {
                customer: Some(customer_ref(&from)),
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

async fn of_orders(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    let one = order(tag, tag, 1_000, "2026-01-05");
    Some(match verb {
        "RecordOrder" => customer::RecordOrderRequest {
            order: Some(one),
            create_missing: true,
            ..Default::default()
        }
        .encode_to_vec(),
        "BatchRecordOrders" => customer::BatchRecordOrdersRequest {
            rows: (0..3)
                .map(|n| row(&format!("{tag}-{n}"), tag, 1_000 + n, "2026-01-05"))
                .collect(),
            create_missing: true,
            ..Default::default()
        }
        .encode_to_vec(),
        "CorrectOrder" => {
            record(client, one).await;
            customer::CorrectOrderRequest {
                target: Some(record_ref(tag)),
                gross: Some(usd(1_234)),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "VoidOrder" => {
            record(client, one).await;
            customer::VoidOrderRequest {
                target: Some(record_ref(tag)),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "RecordRefund" => {
            record(client, one).await;
            customer::RecordRefundRequest {
                refund: Some(customer::Refund {
                    key: Some(key(tag)),
                    customer: Some(customer_ref(tag)),
                    order: Some(record_ref(tag)),
                    refund_time: Some(noon("2026-01-06")),
                    amount: Some(usd(100)),
                    ..Default::default()
                }),
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

async fn of_tenants(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    let name = format!("t-{tag}");
    let tenant = customer::Tenant {
        name,
        zone: "UTC".to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    Some(match verb {
        "CreateTenant" => customer::CreateTenantRequest {
            tenant: Some(tenant),
            ..Default::default()
        }
        .encode_to_vec(),
        "UpdateTenant" => {
            let request = customer::CreateTenantRequest {
                tenant: Some(tenant.clone()),
                ..Default::default()
            };
            client.tenants().create_tenant(request).await.unwrap();
            customer::UpdateTenantRequest {
                tenant: Some(customer::Tenant {
                    minimum_group_size: 7,
                    ..tenant
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["minimum_group_size".to_owned()],
                }),
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

async fn of_access(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    let role = customer::ApplyRoleRequest {
        role: Some(customer::Role {
            name: format!("r-{tag}"),
            permissions: vec!["order.read".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = customer::CreateApiKeyRequest {
        api_key: Some(customer::ApiKey {
            name: tag.to_owned(),
            roles: vec!["reader".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    Some(match verb {
        "CreateApiKey" => made.encode_to_vec(),
        "RevokeApiKey" => {
            let made = client.access().create_api_key(made).await.unwrap();
            customer::RevokeApiKeyRequest {
                id: made.into_inner().api_key.unwrap().id,
                ..Default::default()
            }
            .encode_to_vec()
        }
        "ApplyRole" => role.encode_to_vec(),
        "DeleteRole" => {
            client.access().apply_role(role).await.unwrap();
            customer::DeleteRoleRequest {
                name: format!("r-{tag}"),
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

async fn of_privacy(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    Some(match verb {
        "ErasePersonalData" => {
            record(client, order(tag, tag, 1_000, "2026-01-05")).await;
            customer::ErasePersonalDataRequest {
                customer: Some(customer_ref(tag)),
                reason: "request".to_owned(),
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

async fn of_feedback(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    let survey = feedback::CreateSurveyRequest {
        survey: Some(feedback::Survey {
            name: "After delivery".to_owned(),
            key: Some(key(tag)),
            questions: vec![
                question("nps", feedback::QuestionKind::Nps),
                question("csat", feedback::QuestionKind::Csat),
            ],
            ..Default::default()
        }),
        ..Default::default()
    };
    let publish = feedback::PublishSurveyRequest {
        survey: Some(record_ref(tag)),
        ..Default::default()
    };
    let complaint = feedback::OpenComplaintRequest {
        complaint: Some(feedback::Complaint {
            key: Some(key(tag)),
            customer: Some(customer_ref(tag)),
            text: "It was late.".to_owned(),
            reason: "late_delivery".to_owned(),
            open_time: Some(noon("2026-01-05")),
            ..Default::default()
        }),
        ..Default::default()
    };
    Some(match verb {
        "CreateSurvey" => survey.encode_to_vec(),
        "PublishSurvey" => {
            client.surveys().create_survey(survey).await.unwrap();
            publish.encode_to_vec()
        }
        "RecordResponse" => {
            client.surveys().create_survey(survey).await.unwrap();
            client.surveys().publish_survey(publish).await.unwrap();
            feedback::RecordResponseRequest {
                response: Some(response(tag, tag, Some(tag), (9, 4), "2026-01-05")),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "OpenComplaint" => complaint.encode_to_vec(),
        "ResolveComplaint" => {
            client.complaints().open_complaint(complaint).await.unwrap();
            feedback::ResolveComplaintRequest {
                complaint: Some(record_ref(tag)),
                resolution: "Sent again.".to_owned(),
                resolve_time: Some(noon("2026-01-06")),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "SubmitFeedbackItem" => feedback::SubmitFeedbackItemRequest {
            feedback_item: Some(feedback::FeedbackItem {
                key: Some(key(tag)),
                customer: Some(customer_ref(tag)),
                kind: feedback::FeedbackKind::Praise.into(),
                text: "Good.".to_owned(),
                say_time: Some(noon("2026-01-05")),
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec(),
        _ => return None,
    })
}

async fn of_scoring(client: &Client, verb: &str, tag: &str) -> Option<Vec<u8>> {
    Some(match verb {
        "FitModel" => {
            // Another day for another tag.
            let day = 1 + tag.bytes().map(usize::from).sum::<usize>() % 27;
            scoring::FitModelRequest {
                kind: scoring::ModelKind::Bgnbd.into(),
                as_of: Some(date(&format!("2026-01-{day:02}"))),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "CancelOperation" => {
            let request = scoring::RescoreAllRequest::default();
            let started = client.models().rescore_all(request).await.unwrap();
            scoring::CancelOperationRequest {
                name: started.into_inner().operation.unwrap().name,
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

//! Wire values, pages and commands without a server.
#![allow(clippy::unwrap_used)]

use prost::Message as _;
use regard_proto::common::v1::{self as common, CustomerRef};
use regard_proto::customer::v1::{CreateCustomerRequest, Customer, ListCustomersRequest};
use regard_proto::google::r#type as google;
use regard_server::wire::{self, Mask, Named};
use regard_server::{KeyPart, Page, command};
use regard_types::{Caller, Channel, Day, IdSecret, Micros, TenantId, Uuid};

#[test]
fn values_survive_the_wire() {
    for micros in [0, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
        assert_eq!(
            wire::micros("at", &wire::timestamp(Micros(micros))).unwrap(),
            Micros(micros)
        );
    }
    assert!(
        wire::micros(
            "at",
            &prost_types::Timestamp {
                seconds: 1,
                nanos: -1
            }
        )
        .is_err()
    );
    for day in [Day(0), Day(-25_567), Day(47_481)] {
        assert_eq!(wire::day("day", &wire::date(day)).unwrap(), day);
    }
    let fault = wire::day(
        "as_of",
        &google::Date {
            year: 2023,
            month: 2,
            day: 29,
        },
    )
    .unwrap_err();
    assert_eq!(fault.violations[0].0, "as_of");
    let money = google::Money {
        currency_code: "EUR".to_owned(),
        units: -3,
        nanos: -50_000_000,
    };
    let amount = wire::money("gross", &money).unwrap();
    assert_eq!(
        (amount.minor, wire::to_money(amount)),
        (-305, money.clone())
    );
    let fault = wire::money_in("gross", &money, "USD".parse_currency()).unwrap_err();
    assert_eq!(
        (fault.reason, fault.violations[0].0.as_str()),
        ("CURRENCY_MISMATCH", "gross.currency_code")
    );
    for channel in Channel::ALL {
        let number = wire::to_channel(Some(*channel));
        assert_eq!(wire::channel("channel", number).unwrap(), Some(*channel));
        let name = common::Channel::try_from(number)
            .unwrap()
            .as_str_name()
            .to_lowercase();
        assert_eq!(name, format!("channel_{channel}"));
    }
    assert_eq!(wire::channel("channel", 0).unwrap(), None);
    assert!(wire::channel("channel", 99).is_err());
}

trait ParseCurrency {
    fn parse_currency(&self) -> regard_types::Currency;
}

impl ParseCurrency for str {
    fn parse_currency(&self) -> regard_types::Currency {
        regard_types::Currency::parse(self).unwrap()
    }
}

#[test]
fn names_etags_and_masks() {
    let ids = IdSecret([1; 32]).tenant(TenantId(Uuid::nil()));
    let id = Uuid::from_u128(5);
    let by_id = CustomerRef {
        customer: Some(common::customer_ref::Customer::Id(id.to_string())),
    };
    assert_eq!(
        Named::customer("customer", Some(&by_id))
            .unwrap()
            .customer_id(&ids)
            .uuid(),
        id
    );
    let key = common::SourceKey {
        source: "shop".to_owned(),
        external_id: "7".to_owned(),
    };
    let by_key = CustomerRef {
        customer: Some(common::customer_ref::Customer::Key(key)),
    };
    let named = Named::customer("customer", Some(&by_key)).unwrap();
    assert_eq!(
        named.customer_id(&ids).uuid(),
        ids.id("customer", named.key().unwrap())
    );
    assert!(Named::customer("customer", None).is_err());
    assert!(Named::customer("customer", Some(&CustomerRef::default())).is_err());

    let etag = wire::etag("order", id, 3);
    assert_eq!(etag.len(), 12);
    wire::check_etag(&etag, "order", id, 3).unwrap();
    wire::check_etag("", "order", id, 3).unwrap();
    for (kind, id, version) in [
        ("order", id, 4),
        ("refund", id, 3),
        ("order", Uuid::nil(), 3),
    ] {
        assert_eq!(
            wire::check_etag(&etag, kind, id, version)
                .unwrap_err()
                .reason,
            "ETAG_MISMATCH"
        );
    }

    let mask = |paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::of(Some(&prost_types::FieldMask { paths }), &["kind", "email"])
    };
    assert!(mask(&[]).unwrap().has("kind") && mask(&["*"]).unwrap().has("email"));
    assert!(mask(&["kind"]).unwrap().has("kind") && !mask(&["kind"]).unwrap().has("email"));
    let fields = mask(&["id", "kind", "key"]).unwrap_err().violations;
    assert_eq!(
        fields
            .iter()
            .map(|(field, _)| field.as_str())
            .collect::<Vec<_>>(),
        ["update_mask.paths[0]", "update_mask.paths[2]"]
    );
}

#[test]
fn page_tokens_answer_their_own_question_only() {
    let caller = Caller::new(TenantId(Uuid::from_u128(1)), "a", "a");
    let other = Caller::new(TenantId(Uuid::from_u128(2)), "b", "b");
    let request = ListCustomersRequest {
        kind: 1,
        page_size: 20,
        ..ListCustomersRequest::default()
    };
    let read = |caller: &Caller, method: &str, request: &ListCustomersRequest, token: &str| {
        Page::read(caller, method, request, request.page_size, token)
    };
    let first = read(&caller, "List", &request, "").unwrap();
    assert_eq!((first.size, &first.after), (20, &None));
    let keys = vec![
        KeyPart::F64(-0.1),
        KeyPart::I64(i64::MIN),
        KeyPart::Text("ü".to_owned()),
        KeyPart::Uuid(Uuid::max()),
    ];
    let token = first.next(&keys);
    let larger = ListCustomersRequest {
        page_size: 0,
        page_token: token.clone(),
        ..request.clone()
    };
    let second = read(&caller, "List", &larger, &token).unwrap();
    assert_eq!(
        (second.size, second.after),
        (50, Some(keys)),
        "another size is the same question"
    );

    let changed = ListCustomersRequest {
        kind: 2,
        ..request.clone()
    };
    for other in [
        read(&other, "List", &request, &token),
        read(&caller, "Other", &request, &token),
        read(&caller, "List", &changed, &token),
    ] {
        assert_eq!(other.unwrap_err().reason, "PAGE_TOKEN_MISMATCH");
    }
    for broken in ["?", "AAAA", &token[1..], &token[..token.len() / 2]] {
        let reason = read(&caller, "List", &request, broken).unwrap_err().reason;
        assert!(
            ["TOKEN_INVALID", "PAGE_TOKEN_MISMATCH"].contains(&reason),
            "{broken}: {reason}"
        );
    }
}

#[test]
fn digests_tell_repeats_from_reuse() {
    let customer = |order: &[usize]| Customer {
        attributes: order
            .iter()
            .map(|n| (format!("k{n}"), "v".to_owned()))
            .collect(),
        ..Customer::default()
    };
    let request = |id: &str, order: &[usize]| CreateCustomerRequest {
        customer: Some(customer(order)),
        request_id: id.to_owned(),
        validate_only: false,
    };
    let digest = |request: &CreateCustomerRequest| command(request, "Create").digest;
    let first = request("a", &[1, 2, 3]);
    assert_eq!(
        digest(&first),
        digest(&request("b", &[3, 2, 1])),
        "the id and the order of a map do not count"
    );
    assert_ne!(digest(&first), digest(&request("a", &[1, 2])));
    assert_eq!(
        digest(&first),
        digest(&CreateCustomerRequest {
            validate_only: true,
            ..first.clone()
        }),
        "a check finds what its id was used for"
    );
    let again = CreateCustomerRequest::decode(first.encode_to_vec().as_slice()).unwrap();
    assert_eq!(
        (digest(&again), command(&again, "Create").request_id),
        (digest(&first), "a")
    );
}

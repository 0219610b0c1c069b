//! What is about a person shows neither in `Debug` nor in errors.

use std::fmt::Debug;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};

use crate::rules::regard::testing::v1::{Person, person};
use crate::validate::Validate;
use crate::{FILE_DESCRIPTOR_SET, codec, personal_fields};

const MARK: &str = "mark-of-a-person";

#[test]
fn debug_hides_what_is_about_a_person() {
    let person = Person {
        id: "7".into(),
        name: MARK.into(),
        phones: vec![MARK.into()],
        notes: [(MARK.to_owned(), MARK.to_owned())].into(),
        said: Some(person::Said::Words(MARK.into())),
    };
    let shown = format!("{person:?} {person:#?}");
    assert!(!shown.contains(MARK), "{shown}");
    assert!(
        shown.contains("id: \"7\"") && shown.contains("***"),
        "{shown}"
    );
    let number = Person {
        said: Some(person::Said::Number(5)),
        ..Person::default()
    };
    assert!(format!("{number:?}").contains("Number(5)"));
    let status = codec::decode::<Person>(&person.encode_to_vec()[..]).unwrap_err();
    let shown = format!("{status:?}{}", String::from_utf8_lossy(status.details()));
    assert!(!shown.contains(MARK), "{shown}");
    assert!(shown.contains("notes[***]"), "{shown}");
}

/// A message in which every personal text, however deep, is the mark.
fn marked(of: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let personal = |field: &str| {
        personal_fields()
            .iter()
            .any(|one| one.message == of.full_name() && one.field == field)
    };
    let mut out = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let value = match field.kind() {
            Kind::String if personal(field.name()) && !field.is_map() => Value::String(MARK.into()),
            Kind::Message(inner) if depth > 0 && !field.is_map() => {
                Value::Message(marked(&inner, depth - 1))
            }
            _ => continue,
        };
        let value = if field.is_list() {
            Value::List(vec![value])
        } else {
            value
        };
        out.set_field(&field, value);
    }
    out
}

fn check<M: Message + Default + Validate + Debug>(name: &str) {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let bytes = marked(&pool.get_message_by_name(name).unwrap(), 6).encode_to_vec();
    assert!(
        bytes
            .windows(MARK.len())
            .any(|part| part == MARK.as_bytes()),
        "{name} carries nothing about a person"
    );
    let message = M::decode(&bytes[..]).unwrap();
    let shown = format!("{message:?}");
    assert!(!shown.contains(MARK), "{name}: {shown}");
    if let Err(status) = codec::decode::<M>(&bytes[..]) {
        let shown = format!("{status:?}{}", String::from_utf8_lossy(status.details()));
        assert!(!shown.contains(MARK), "{name}: {shown}");
    }
}

#[test]
fn every_personal_field_of_the_contract_is_hidden() {
    use crate::{customer::v1 as customer, feedback::v1 as feedback};
    assert!(personal_fields().len() >= 6);
    check::<customer::CreateCustomerRequest>("regard.customer.v1.CreateCustomerRequest");
    check::<customer::UpdateCustomerRequest>("regard.customer.v1.UpdateCustomerRequest");
    check::<customer::ListCustomersRequest>("regard.customer.v1.ListCustomersRequest");
    check::<customer::ListCustomersResponse>("regard.customer.v1.ListCustomersResponse");
    check::<customer::IngestCustomersRequest>("regard.customer.v1.IngestCustomersRequest");
    check::<feedback::OpenComplaintRequest>("regard.feedback.v1.OpenComplaintRequest");
    check::<feedback::ResolveComplaintRequest>("regard.feedback.v1.ResolveComplaintRequest");
    check::<feedback::SubmitFeedbackItemRequest>("regard.feedback.v1.SubmitFeedbackItemRequest");
    check::<feedback::RecordResponseRequest>("regard.feedback.v1.RecordResponseRequest");
}

/// The generated `Debug` is the only one: a message that is marked and derives it would not compile, so this looks at the
/// source for messages that hold a personal field and were passed over.
#[test]
fn every_marked_message_has_its_own_debug() {
    let written = include_str!(concat!(env!("OUT_DIR"), "/validators.rs"));
    for one in personal_fields() {
        let name = one.message.rsplit('.').next().unwrap();
        assert!(
            written.contains(&format!("f.debug_struct({name:?})")),
            "{} shows {}",
            one.message,
            one.field
        );
    }
}

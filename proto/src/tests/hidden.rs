//! What is about a person shows neither in `Debug` nor in errors.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};

use crate::rules::regard::testing::v1::{Person, person};
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

#[test]
fn every_personal_field_of_the_contract_is_hidden() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let (mut tried, mut carrying) = (0, 0);
    for message in pool.all_messages() {
        let bytes = marked(&message, 6).encode_to_vec();
        let Some(seen) = crate::generated::seen(message.full_name(), &bytes) else {
            continue;
        };
        tried += 1;
        if bytes
            .windows(MARK.len())
            .any(|part| part == MARK.as_bytes())
        {
            carrying += 1;
            assert!(seen.contains("***"), "{}: {seen}", message.full_name());
        }
        assert!(!seen.contains(MARK), "{}: {seen}", message.full_name());
    }
    // Every message that has a personal field, and those that hold one of them.
    let marked = personal_fields().iter().map(|one| one.message);
    let marked = marked.collect::<std::collections::HashSet<_>>().len();
    assert!(
        tried > 100 && carrying > marked,
        "{carrying} of {tried} messages"
    );
}

//! A message of the contract as a list of its fields, read from the descriptors: a field that is added to the contract is
//! exported without code.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, ReflectMessage as _,
    Value,
};
use regard_types::Fault;

/// A value of a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Its path in the message: `answers[2].text`.
    pub path: String,
    /// The value as text.
    pub value: String,
    /// Whether the contract marks it as personal.
    pub personal: bool,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field({})", self.path)
    }
}

struct Contract {
    pool: DescriptorPool,
    personal: ExtensionDescriptor,
}

static CONTRACT: LazyLock<Option<Contract>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(regard_proto::FILE_DESCRIPTOR_SET).ok()?;
    let personal = pool.get_extension_by_name("regard.common.v1.personal")?;
    Some(Contract { pool, personal })
});

/// The fields of a message that are set, in the order of their numbers. `name` is its full name.
///
/// # Errors
/// A message that the contract does not know: a fault of ours.
pub fn fields(name: &str, message: &impl Message) -> Result<Vec<Field>, Fault> {
    let contract = CONTRACT
        .as_ref()
        .ok_or_else(|| Fault::bug("the contract's descriptors cannot be read"))?;
    let descriptor = contract
        .pool
        .get_message_by_name(name)
        .ok_or_else(|| Fault::bug(format!("the contract has no message {name}")))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(Fault::bug)?;
    let mut out = Vec::new();
    walk(&message, "", false, &contract.personal, &mut out);
    Ok(out)
}

fn walk(
    message: &DynamicMessage,
    prefix: &str,
    personal: bool,
    mark: &ExtensionDescriptor,
    out: &mut Vec<Field>,
) {
    for (field, value) in message.fields() {
        let marked = field.options().get_extension(mark).as_bool() == Some(true);
        let personal = personal || marked;
        let path = if prefix.is_empty() {
            field.name().to_owned()
        } else {
            format!("{prefix}.{}", field.name())
        };
        match value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    one(
                        &field,
                        item,
                        format!("{path}[{index}]"),
                        personal,
                        mark,
                        out,
                    );
                }
            }
            Value::Map(entries) => {
                let mut entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| (plain(None, &Value::from(key.clone())), value))
                    .collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                for (key, item) in entries {
                    one(&field, item, format!("{path}[{key}]"), personal, mark, out);
                }
            }
            value => one(&field, value, path, personal, mark, out),
        }
    }
}

fn one(
    field: &FieldDescriptor,
    value: &Value,
    path: String,
    personal: bool,
    mark: &ExtensionDescriptor,
    out: &mut Vec<Field>,
) {
    let text = match value {
        Value::Message(message) => match known(message) {
            Some(text) => text,
            None => return walk(message, &path, personal, mark, out),
        },
        value => plain(Some(field), value),
    };
    out.push(Field {
        path,
        value: text,
        personal,
    });
}

/// Messages that people read as one value.
fn known(message: &DynamicMessage) -> Option<String> {
    let number = |name: &str| {
        let value = message.get_field_by_name(name)?;
        value.as_i64().or_else(|| value.as_i32().map(i64::from))
    };
    let nanos = || number("nanos").and_then(|n| i32::try_from(n).ok());
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => Some(
            prost_types::Timestamp {
                seconds: number("seconds")?,
                nanos: nanos()?,
            }
            .to_string(),
        ),
        "google.protobuf.Duration" => Some(
            prost_types::Duration {
                seconds: number("seconds")?,
                nanos: nanos()?,
            }
            .to_string(),
        ),
        "google.type.Date" => Some(format!(
            "{:04}-{:02}-{:02}",
            number("year")?,
            number("month")?,
            number("day")?
        )),
        "google.type.Money" => {
            let (units, nanos) = (number("units")?, nanos()?);
            let sign = if units < 0 || nanos < 0 { "-" } else { "" };
            let part = format!("{:09}", nanos.unsigned_abs());
            let part = part.trim_end_matches('0');
            let point = if part.is_empty() { "" } else { "." };
            let code = message.get_field_by_name("currency_code")?;
            let code = code.as_str()?;
            Some(format!(
                "{sign}{}{point}{part} {code}",
                units.unsigned_abs()
            ))
        }
        _ => None,
    }
}

fn plain(field: Option<&FieldDescriptor>, value: &Value) -> String {
    match value {
        Value::Bool(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        Value::String(v) => v.clone(),
        Value::Bytes(v) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(v)
        }
        Value::EnumNumber(number) => {
            let kind = field.and_then(|field| field.kind().as_enum().cloned());
            let named = kind.and_then(|kind| kind.get_value(*number));
            named.map_or_else(|| number.to_string(), |value| value.name().to_owned())
        }
        // Taken apart before.
        Value::Message(_) | Value::List(_) | Value::Map(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_proto::common::v1 as common;
    use regard_proto::customer::v1 as pb;
    use regard_proto::types::{Date, Money};

    use super::*;

    #[test]
    fn a_message_is_its_fields() {
        let customer = pb::Customer {
            id: "i".to_owned(),
            key: Some(common::SourceKey {
                source: "crm".to_owned(),
                external_id: "7".to_owned(),
            }),
            kind: pb::CustomerKind::Person.into(),
            email: "ann@example.org".to_owned(),
            attributes: [
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ]
            .into(),
            customer_since: Some(Date {
                year: 2024,
                month: 2,
                day: 3,
            }),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 0,
            }),
            ..pb::Customer::default()
        };
        let found = fields("regard.customer.v1.Customer", &customer).unwrap();
        let texts: Vec<_> = found
            .iter()
            .map(|f| (f.path.as_str(), f.value.as_str(), f.personal))
            .collect();
        assert_eq!(
            texts,
            [
                ("id", "i", false),
                ("key.source", "crm", false),
                ("key.external_id", "7", false),
                ("kind", "CUSTOMER_KIND_PERSON", false),
                ("email", "ann@example.org", true),
                ("attributes[a]", "1", false),
                ("attributes[b]", "2", false),
                ("customer_since", "2024-02-03", false),
                ("create_time", "2023-11-14T22:13:20Z", false),
            ]
        );
        let order = pb::Order {
            gross: Some(Money {
                currency_code: "EUR".to_owned(),
                units: 12,
                nanos: 340_000_000,
            }),
            ..pb::Order::default()
        };
        let found = fields("regard.customer.v1.Order", &order).unwrap();
        assert_eq!(found[0].value, "12.34 EUR");
        assert!(fields("regard.customer.v1.Nothing", &order).is_err());
        assert!(!format!("{found:?}").contains("12.34"));
    }
}

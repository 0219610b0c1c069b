//! The `buf.validate` options of a field, read from its descriptor.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::Fault;

/// When the rules of a field are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignore {
    #[default]
    Never,
    IfZero,
    Always,
}

/// One CEL rule.
#[derive(Clone, Debug)]
pub struct Cel {
    pub id: String,
    pub message: String,
    pub expression: String,
}

/// The rules of one field, list item, map key or map value.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub required: bool,
    pub ignore: Ignore,
    pub cel: Vec<Cel>,
    /// Name of the rules' kind (`string`) and the rules.
    pub typed: Option<(String, DynamicMessage)>,
    /// True where a text may have line breaks and tabs.
    pub multiline: bool,
}

/// The rules of a field; `place` names it in faults.
pub fn of_field(field: &FieldDescriptor, place: &str) -> Result<Rules, Fault> {
    let mut rules = match option(&field.options(), "buf.validate.field") {
        Some(rules) => parse(&rules, place)?,
        None => Rules::default(),
    };
    rules.multiline = flag(field, "regard.common.v1.multiline");
    Ok(rules)
}

/// Whether a field sets the option `name` of ours.
pub fn flag(field: &FieldDescriptor, name: &str) -> bool {
    field
        .options()
        .extensions()
        .any(|(extension, value)| extension.full_name() == name && value.as_bool() == Some(true))
}

/// The message in the extension `name` of some options, if it is set.
pub fn option(options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    options
        .extensions()
        .find(|(extension, _)| extension.full_name() == name)
        .and_then(|(_, value)| value.as_message().cloned())
}

/// The set fields of some rules by name, predefined rules apart; anything that has no name is a rule that we do not know.
pub fn entries(rules: &DynamicMessage, place: &str) -> Result<Vec<(String, Value)>, Fault> {
    if let Some(field) = rules.unknown_fields().next() {
        return Err(unknown(place, &format!("number {}", field.number())));
    }
    Ok(rules
        .fields()
        .map(|(field, value)| (field.name().to_owned(), value.clone()))
        .collect())
}

pub fn parse(rules: &DynamicMessage, place: &str) -> Result<Rules, Fault> {
    let mut parsed = Rules::default();
    for (name, value) in entries(rules, place)? {
        match (name.as_str(), &value) {
            ("required", Value::Bool(required)) => parsed.required = *required,
            ("ignore", Value::EnumNumber(1)) => parsed.ignore = Ignore::IfZero,
            ("ignore", Value::EnumNumber(3)) => parsed.ignore = Ignore::Always,
            ("ignore", Value::EnumNumber(0)) | ("cel" | "cel_expression", Value::List(_)) => {}
            (_, Value::Message(typed)) => parsed.typed = Some((name, typed.clone())),
            _ => return Err(unknown(place, &name)),
        }
    }
    parsed.cel = cel_rules(rules, place)?;
    Ok(parsed)
}

/// The CEL of some rules: of a field, of a message, or of a predefined rule.
pub fn cel_rules(rules: &DynamicMessage, place: &str) -> Result<Vec<Cel>, Fault> {
    let list = |name: &str| {
        rules
            .get_field_by_name(name)
            .and_then(|value| value.as_list().map(<[_]>::to_vec))
            .unwrap_or_default()
    };
    let short = list("cel_expression");
    let short = short
        .iter()
        .filter_map(Value::as_str)
        .map(|expression| Cel {
            id: expression.to_owned(),
            message: String::new(),
            expression: expression.to_owned(),
        });
    let long = list("cel");
    let long = long
        .iter()
        .filter_map(Value::as_message)
        .map(|one| cel(one, place));
    short.map(Ok).chain(long).collect()
}

fn cel(rule: &DynamicMessage, place: &str) -> Result<Cel, Fault> {
    let text = |name: &str| {
        rule.get_field_by_name(name)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let cel = Cel {
        id: text("id"),
        message: text("message"),
        expression: text("expression"),
    };
    if cel.id.is_empty() || cel.expression.is_empty() {
        return Err(format!("{place}: a CEL rule needs an id and an expression"));
    }
    Ok(cel)
}

pub fn unknown(place: &str, rule: &str) -> Fault {
    format!(
        "{place}: the generator does not know the rule `{rule}`; teach it (proto/generator) or use another"
    )
}

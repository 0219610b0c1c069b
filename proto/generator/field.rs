//! The checks of one field: its presence, then each value in it.

use prost_reflect::{FieldDescriptor, Kind, OneofDescriptor};

use super::check::{unwrapped, value};
use super::rule::{Ignore, Rules, entries, flag, of_field, parse, unknown};
use super::{Fault, cel, name};

/// What the code of a field is made from.
pub struct Place<'a> {
    /// File, message and field, for faults.
    pub text: String,
    pub own: &'a dyn Fn(&str) -> bool,
}

pub fn place(field: &FieldDescriptor) -> String {
    format!(
        "{}: {}.{}",
        field.parent_file().name(),
        field.parent_message().full_name(),
        field.name()
    )
}

/// The checks of a field outside of a oneof; empty where there are none. The fields that a message chooses between are
/// checked only where they are set.
pub fn plain(
    field: &FieldDescriptor,
    chosen: bool,
    own: &dyn Fn(&str) -> bool,
) -> Result<String, Fault> {
    let place = Place {
        text: place(field),
        own,
    };
    let mut rules = of_field(field, &place.text)?;
    if rules.ignore == Ignore::Always {
        return Ok(String::new());
    }
    if chosen && rules.ignore == Ignore::Never {
        rules.ignore = Ignore::IfZero;
    }
    let rust = name::snake(field.name());
    let body = if field.is_map() {
        map(field, &rules, &rust, &place)?
    } else if field.is_list() {
        list(field, &rules, &rust, &place)?
    } else if field.supports_presence() {
        tracked(field, &rules, &rust, &place)?
    } else {
        untracked(field, &rules, &rust, &place)?
    };
    Ok(scoped(field.name(), &body))
}

fn scoped(name: &str, body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!("{{ let at = at.field({name:?});\n{body}}}\n")
    }
}

/// The checks of a oneof: that it is set where it must be, and those of the member that is set.
pub fn choice(
    oneof: &OneofDescriptor,
    required: bool,
    own: &dyn Fn(&str) -> bool,
) -> Result<String, Fault> {
    let path = name::oneof(oneof);
    let mut arms = String::new();
    let mut demands = String::new();
    for field in oneof.fields() {
        let place = Place {
            text: place(&field),
            own,
        };
        let rules = of_field(&field, &place.text)?;
        if rules.ignore == Ignore::Always {
            continue;
        }
        if rules.required {
            // The rule of a member that must be the one which is set.
            demands.push_str(&format!(
                "if !matches!(&self.{}, Some({path}::{}(_))) {{ out.add(&at.field({:?}), \"required\", \"is required\"); }}\n",
                name::snake(oneof.name()),
                name::camel(field.name()),
                field.name()
            ));
        }
        let kind = unwrapped(field.kind());
        let checks = join(&kind, &rules, &place)?;
        if !checks.is_empty() {
            let body = scoped(field.name(), &format!("{}{checks}", bind(&kind, "v", true)));
            arms.push_str(&format!(
                "Some({path}::{}(v)) => {body}",
                name::camel(field.name())
            ));
        }
    }
    if required {
        let text = format!(
            "one of {} must be set",
            oneof
                .fields()
                .map(|f| f.name().to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        );
        arms.push_str(&format!(
            "None => out.add(&at.field({:?}), \"required\", {text:?}),\n",
            oneof.name()
        ));
    }
    if arms.is_empty() {
        return Ok(demands);
    }
    Ok(format!(
        "{demands}match &self.{} {{\n{arms}_ => {{}}\n}}\n",
        name::snake(oneof.name())
    ))
}

fn tracked(
    field: &FieldDescriptor,
    rules: &Rules,
    rust: &str,
    place: &Place<'_>,
) -> Result<String, Fault> {
    let kind = unwrapped(field.kind());
    let checks = join(&kind, rules, place)?;
    if checks.is_empty() {
        return Ok(if rules.required {
            format!("if self.{rust}.is_none() {{ {REQUIRED} }}\n")
        } else {
            String::new()
        });
    }
    let missing = if rules.required { REQUIRED } else { "" };
    let bind = bind(&kind, "v", true);
    Ok(format!(
        "if let Some(v) = &self.{rust} {{\n{bind}{checks}}} else {{ {missing} }}\n"
    ))
}

const REQUIRED: &str = "out.add(&at, \"required\", \"is required\");";

fn untracked(
    field: &FieldDescriptor,
    rules: &Rules,
    rust: &str,
    place: &Place<'_>,
) -> Result<String, Fault> {
    let kind = field.kind();
    let checks = join(&kind, rules, place)?;
    let bind = bind(&kind, &format!("self.{rust}"), false);
    let zero = zero(&kind);
    Ok(if rules.required {
        let text = match kind {
            Kind::Enum(_) => "is required and must not be unspecified",
            _ => "is required",
        };
        format!("{bind}if {zero} {{ out.add(&at, \"required\", {text:?}); }} else {{\n{checks}}}\n")
    } else if checks.is_empty() {
        String::new()
    } else if rules.ignore == Ignore::IfZero {
        format!("{bind}if !({zero}) {{\n{checks}}}\n")
    } else {
        format!("{bind}{checks}")
    })
}

fn list(
    field: &FieldDescriptor,
    rules: &Rules,
    rust: &str,
    place: &Place<'_>,
) -> Result<String, Fault> {
    let mut body = String::new();
    let mut items = Rules::default();
    let mut count = String::new();
    let kind = unwrapped(field.kind());
    for (rule, value) in typed(rules, "repeated", &place.text)? {
        match (rule.as_str(), value.as_u64()) {
            ("min_items", Some(1)) => count.push_str("if v.is_empty() { out.add(&at, \"repeated.min_items\", \"must not be empty\"); }\n"),
            ("min_items", Some(least)) => count.push_str(&format!(
                "if v.len() < {least} {{ out.add(&at, \"repeated.min_items\", \"must have at least {least} items\"); }}\n"
            )),
            ("max_items", Some(most)) => count.push_str(&format!(
                "if v.len() > {most} {{ out.add(&at, \"repeated.max_items\", \"must have at most {most} items\"); }}\n"
            )),
            ("unique", _) if value.as_bool() == Some(false) => {}
            ("unique", _) => {
                let key = match kind {
                    Kind::Message(_) => return Err(unknown(&place.text, "repeated.unique on messages")),
                    Kind::Double | Kind::Float => "checks::unique(v.iter().map(|v| (v + 0.0).to_bits()))",
                    _ => "checks::unique(v.iter())",
                };
                count.push_str(&format!("if !{key} {{ out.add(&at, \"repeated.unique\", \"must have no value twice\"); }}\n"));
            }
            ("items", _) => {
                let message = value.as_message().ok_or_else(|| unknown(&place.text, "repeated.items"))?;
                items = parse(message, &format!("{} (items)", place.text))?;
            }
            _ => return Err(unknown(&place.text, &format!("repeated.{rule}"))),
        }
    }
    count.push_str(&whole(field, rules, place)?);
    items.multiline = rules.multiline;
    if !count.is_empty() {
        let count = format!("let v = &self.{rust};\n{count}");
        body.push_str(&match (rules.required, rules.ignore) {
            (true, _) => format!("if self.{rust}.is_empty() {{ {REQUIRED} }} else {{\n{count}}}\n"),
            (_, Ignore::IfZero) => format!("if !self.{rust}.is_empty() {{\n{count}}}\n"),
            _ => format!("{{ {count} }}\n"),
        });
    } else if rules.required {
        body.push_str(&format!("if self.{rust}.is_empty() {{ {REQUIRED} }}\n"));
    }
    if items.ignore != Ignore::Always {
        let checks = item(&kind, &items, place)?;
        if !checks.is_empty() {
            let bind = bind(&kind, "v", true);
            body.push_str(&format!(
                "for (index, v) in self.{rust}.iter().enumerate() {{ let at = at.index(index);\n{bind}{checks}}}\n"
            ));
        }
    }
    Ok(body)
}

/// The checks of a list item, map key or map value, passed over at zero where the rules say so.
fn item(kind: &Kind, rules: &Rules, place: &Place<'_>) -> Result<String, Fault> {
    let checks = join(kind, rules, place)?;
    Ok(match (rules.ignore, kind) {
        (Ignore::IfZero, kind) if !checks.is_empty() && !matches!(kind, Kind::Message(_)) => {
            format!("if !({}) {{\n{checks}}}\n", zero(kind))
        }
        _ => checks,
    })
}

fn map(
    field: &FieldDescriptor,
    rules: &Rules,
    rust: &str,
    place: &Place<'_>,
) -> Result<String, Fault> {
    let kind = field.kind();
    let entry = kind
        .as_message()
        .ok_or_else(|| format!("{}: not a map", place.text))?;
    let (key, held) = (
        entry.map_entry_key_field().kind(),
        unwrapped(entry.map_entry_value_field().kind()),
    );
    let (mut keys, mut values, mut count) = (Rules::default(), Rules::default(), String::new());
    for (rule, value) in typed(rules, "map", &place.text)? {
        match (rule.as_str(), value.as_u64(), value.as_message()) {
            ("min_pairs", Some(least), _) => count.push_str(&format!(
                "if v.len() < {least} {{ out.add(&at, \"map.min_pairs\", \"must have at least {least} entries\"); }}\n"
            )),
            ("max_pairs", Some(most), _) => count.push_str(&format!(
                "if v.len() > {most} {{ out.add(&at, \"map.max_pairs\", \"must have at most {most} entries\"); }}\n"
            )),
            ("keys", _, Some(rules)) => {
                keys = parse(rules, &format!("{} (keys)", place.text))?;
            }
            ("values", _, Some(rules)) => {
                values = parse(rules, &format!("{} (values)", place.text))?;
            }
            _ => return Err(unknown(&place.text, &format!("map.{rule}"))),
        }
    }
    count.push_str(&whole(field, rules, place)?);
    (keys.multiline, values.multiline) = (false, rules.multiline);
    let mut body = String::new();
    if rules.required {
        body.push_str(&format!("if self.{rust}.is_empty() {{ {REQUIRED} }}\n"));
    }
    if !count.is_empty() {
        let unless = if rules.required || rules.ignore == Ignore::IfZero {
            format!("if !self.{rust}.is_empty() ")
        } else {
            String::new()
        };
        body.push_str(&format!("{unless}{{ let v = &self.{rust};\n{count}}}\n"));
    }
    let mut each = String::new();
    if keys.ignore != Ignore::Always {
        let mut checks = item(&key, &keys, place)?;
        if matches!(key, Kind::String) {
            // Keys are names: one that normalising would alter is refused, since altered ones could fall together.
            checks.push_str("if !checks::normal(v) { out.add(&at, \"string.normal\", \"must be in Unicode form NFC, without blanks around\"); }\n");
        }
        if !checks.is_empty() {
            each.push_str(&format!("{{ {}{checks}}}\n", bind(&key, "key", true)));
        }
    }
    if values.ignore != Ignore::Always {
        let checks = item(&held, &values, place)?;
        if !checks.is_empty() {
            each.push_str(&format!("{{ {}{checks}}}\n", bind(&held, "held", true)));
        }
    }
    if !each.is_empty() {
        // A path shows the keys of a map, unless they are about a person.
        let shown = if flag(field, "regard.common.v1.personal") {
            "&crate::validate::Hidden"
        } else {
            "key"
        };
        body.push_str(&format!(
            "for (key, held) in &self.{rust} {{ let at = at.key({shown});\n{each}}}\n"
        ));
    }
    Ok(body)
}

/// The rules of a list or map, which must be of that kind.
fn typed(
    rules: &Rules,
    kind: &str,
    place: &str,
) -> Result<Vec<(String, prost_reflect::Value)>, Fault> {
    match &rules.typed {
        None => Ok(Vec::new()),
        Some((name, typed)) if name == kind => entries(typed, place),
        Some((name, _)) => Err(format!(
            "{place}: rules for `{name}` do not fit a {kind} field"
        )),
    }
}

/// The CEL rules of a list or map as a whole.
fn whole(field: &FieldDescriptor, rules: &Rules, place: &Place<'_>) -> Result<String, Fault> {
    let this = cel::this_field(field);
    let mut code = match &rules.typed {
        Some((_, typed)) => cel::predefined(typed, &this, &place.text)?,
        None => String::new(),
    };
    for rule in &rules.cel {
        code.push_str(&cel::check(rule, &this, &place.text)?);
    }
    Ok(code)
}

fn join(kind: &Kind, rules: &Rules, place: &Place<'_>) -> Result<String, Fault> {
    let checks = value(kind, rules, &place.text, place.own)?;
    Ok(checks.iter().map(super::check::Check::code).collect())
}

/// Binds `v` as the checks want it: numbers by value, text and bytes as slices, messages by reference.
fn bind(kind: &Kind, from: &str, reference: bool) -> String {
    let (star, and) = if reference { ("*", "") } else { ("", "&") };
    match kind {
        Kind::String => format!("let v: &str = {and}{from};\n"),
        Kind::Bytes => format!("let v: &[u8] = {and}{from};\n"),
        Kind::Message(_) => format!("let v = {and}{from};\n"),
        _ => format!("let v = {star}{from};\n"),
    }
}

fn zero(kind: &Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Bytes => "v.is_empty()",
        // The zero with a sign is sent, so it is set.
        Kind::Double | Kind::Float => "v.to_bits() == 0",
        Kind::Bool => "!v",
        _ => "v == 0",
    }
}

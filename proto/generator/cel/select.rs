//! Fields of messages, and whether they are set.

use cel::common::ast::{Expr, SelectExpr};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
};

use super::super::check::unwrapped;
use super::super::message::{boxed, choice, is_set};
use super::super::{Fault, name};
use super::code::{Code, Type, from_reference, of_kind};
use super::translate::Translator;

impl Translator<'_> {
    pub fn select(&mut self, select: &SelectExpr) -> Result<Code, Fault> {
        if let Some(number) = self.enum_value(select) {
            return Ok(number);
        }
        let held = self.expression(&select.operand.expr)?;
        if select.test {
            self.presence(&held, &select.field)
        } else {
            self.field(&held, &select.field)
        }
    }

    /// The number of a declared enum value that is written with its full name.
    fn enum_value(&self, select: &SelectExpr) -> Option<Code> {
        let mut segments = vec![select.field.clone()];
        let mut expr = &select.operand.expr;
        loop {
            match expr {
                Expr::Select(inner) if !inner.test => {
                    segments.push(inner.field.clone());
                    expr = &inner.operand.expr;
                }
                Expr::Ident(root) => {
                    if self.names.iter().any(|(known, _)| known == root) {
                        return None;
                    }
                    segments.push(root.clone());
                    break;
                }
                _ => return None,
            }
        }
        segments.reverse();
        let (value, path) = segments.split_last()?;
        let pool = self.names.iter().find_map(|(_, code)| match &code.of {
            Type::Message(message) => Some(message.parent_pool().clone()),
            _ => None,
        })?;
        let number = pool
            .get_enum_by_name(&path.join("."))?
            .get_value_by_name(value)?
            .number();
        Some(Code::new(format!("({number}_i64)"), Type::Int, false))
    }

    /// The value of a field; its default where it is not set.
    pub fn field(&mut self, held: &Code, named: &str) -> Result<Code, Fault> {
        match &held.of {
            Type::Message(message) => {
                let field = self.known(message, named)?;
                Ok(value(&field, held))
            }
            Type::Constant(message) => {
                let field = self.known(&message.descriptor(), named)?;
                Ok(constant(message, &field))
            }
            other => self.fault(format_args!("{other:?} has no field `{named}`")),
        }
    }

    fn known(&self, message: &MessageDescriptor, named: &str) -> Result<FieldDescriptor, Fault> {
        match message.get_field_by_name(named) {
            Some(field) => Ok(field),
            None => self.fault(format_args!(
                "{} has no field `{named}`",
                message.full_name()
            )),
        }
    }

    fn presence(&mut self, held: &Code, named: &str) -> Result<Code, Fault> {
        let text = match &held.of {
            Type::Message(message) => {
                let field = self.known(message, named)?;
                format!("{{ let held = {}; {} }}", held.text, is_set(&field, "held"))
            }
            Type::Constant(message) => {
                let field = self.known(&message.descriptor(), named)?;
                message.has_field(&field).to_string()
            }
            other => return self.fault(format_args!("{other:?} has no field `{named}`")),
        };
        Ok(Code::new(text, Type::Bool, held.fallible))
    }
}

fn constant(message: &DynamicMessage, field: &FieldDescriptor) -> Code {
    let value = message.get_field(field);
    let mut code = Code::constant(&field.kind(), &value);
    if field.is_list()
        && matches!(&code.of, Type::List(_))
        && value.as_list().is_some_and(<[_]>::is_empty)
    {
        code.text = format!("Vec::<{}>::new()", rust(&code.of));
    }
    code
}

/// The item type of an empty constant list.
fn rust(list: &Type) -> &'static str {
    let Type::List(of) = list else { return "()" };
    match **of {
        Type::Bool => "bool",
        Type::Int => "i64",
        Type::Uint => "u64",
        Type::Double => "f64",
        Type::Text => "::std::borrow::Cow<'_, str>",
        Type::Bytes => "::std::borrow::Cow<'_, [u8]>",
        Type::Duration | Type::Timestamp => "i128",
        _ => "()",
    }
}

fn value(field: &FieldDescriptor, held: &Code) -> Code {
    let rust = name::snake(field.name());
    let from = format!("{}.{rust}", held.text);
    let kind = unwrapped(field.kind());
    if let Kind::Message(entry) = field.kind()
        && field.is_map()
    {
        let of = Type::Entries(
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        );
        return Code::new(format!("(&{from})"), of, held.fallible);
    }
    if field.is_list() {
        return Code::new(
            format!("(&{from})"),
            Type::Items(field.kind()),
            held.fallible,
        );
    }
    let of = of_kind(&kind);
    let taken = from_reference(&kind, "one");
    if let Some(oneof) = choice(field) {
        let path = format!("{}::{}", name::oneof(&oneof), name::camel(field.name()));
        let inner = if boxed(field) {
            "let one = &**one;"
        } else {
            ""
        };
        let text = format!(
            "(match &{}.{} {{ Some({path}(one)) => {{ {inner} {taken} }} _ => {} }})",
            held.text,
            name::snake(oneof.name()),
            default(&of)
        );
        return Code::new(text, of, held.fallible);
    }
    if matches!(field.kind(), Kind::Message(_)) && !matches!(kind, Kind::Message(_)) {
        // A wrapper that is absent has no value.
        let text = format!("{{ let one = {from}.as_ref()?; {taken} }}");
        return Code::new(text, of, true);
    }
    let text = match (&of, field.supports_presence()) {
        (Type::Message(_), _) => {
            let as_ref = if boxed(field) { "as_deref" } else { "as_ref" };
            format!("{from}.{as_ref}().unwrap_or_else(|| checks::cel::empty())")
        }
        (_, true) => format!(
            "(match &{from} {{ Some(one) => {taken}, None => {} }})",
            default(&of)
        ),
        (_, false) => from_reference(&kind, &format!("(&{from})")),
    };
    Code::new(text, of, held.fallible)
}

fn default(of: &Type) -> &'static str {
    match of {
        Type::Bool => "false",
        Type::Int => "0_i64",
        Type::Uint => "0_u64",
        Type::Double => "0_f64",
        Type::Text => "checks::cel::text(\"\")",
        Type::Bytes => "checks::cel::bytes(&[])",
        Type::Duration | Type::Timestamp => "0_i128",
        _ => "checks::cel::empty()",
    }
}

//! CEL rules as Rust. The descriptors give every expression its types at build time, so a rule costs what a check written
//! by hand costs; an expression that cannot be translated fails the build.

mod call;
mod code;
mod comprehension;
mod select;
mod translate;

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Parser;
use prost_reflect::{DynamicMessage, ExtensionDescriptor, Value};

use super::Fault;
use super::rule::{Cel, cel_rules, option, unknown};
use code::{Code, Type};
pub use code::{this, this_field};
use translate::Translator;

/// The code of one rule about `this`; it adds a violation at `at` where the rule is broken or cannot be evaluated (a
/// division by zero, an index out of range).
pub fn check(rule: &Cel, this: &Code, place: &str) -> Result<String, Fault> {
    checked(rule, vec![("this".to_owned(), this.clone())], place)
}

/// The code of the predefined rules that extend `rules`: each extension brings its CEL in its own options.
pub fn predefined(rules: &DynamicMessage, this: &Code, place: &str) -> Result<String, Fault> {
    let mut code = String::new();
    for (extension, value) in rules.extensions() {
        let options = option(&extension.options(), "buf.validate.predefined")
            .ok_or_else(|| unknown(place, extension.full_name()))?;
        for rule in cel_rules(&options, place)? {
            let names = vec![
                ("this".to_owned(), this.clone()),
                ("rule".to_owned(), of_extension(&extension, value)),
                ("rules".to_owned(), Code::constant_message(rules.clone())),
            ];
            code.push_str(&checked(&rule, names, place)?);
        }
    }
    Ok(code)
}

fn of_extension(extension: &ExtensionDescriptor, value: &Value) -> Code {
    Code::constant(&extension.kind(), value)
}

fn checked(rule: &Cel, names: Vec<(String, Code)>, place: &str) -> Result<String, Fault> {
    let place = format!("{place}: cel {}", rule.id);
    let parsed = Parser::default()
        .parse(&rule.expression)
        .map_err(|error| format!("{place}: {error}"))?;
    let mut translator = Translator::new(names, &place);
    let body = statement(&parsed.expr, rule, &mut translator)?;
    let now = if translator.now {
        "let now = checks::cel::now();\n"
    } else {
        ""
    };
    Ok(format!("{{ {now}{body}}}\n"))
}

/// The rule as a statement. A choice between texts becomes a choice between violations, so that what is told is known
/// at build time and never holds a value of the message.
fn statement(expr: &Expr, rule: &Cel, translator: &mut Translator<'_>) -> Result<String, Fault> {
    let add = |text: &str| format!("out.add(&at, {:?}, {text:?});", rule.id);
    let told = if rule.message.is_empty() {
        format!("must satisfy {}", rule.expression)
    } else {
        rule.message.clone()
    };
    match expr {
        Expr::Literal(LiteralValue::String(text)) => Ok(if text.is_empty() {
            String::new()
        } else {
            add(text.inner())
        }),
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            let condition = translator.boolean(&call.args[0].expr)?;
            let (yes, no) = (
                statement(&call.args[1].expr, rule, translator)?,
                statement(&call.args[2].expr, rule, translator)?,
            );
            Ok(format!(
                "match {} {{ Some(true) => {{ {yes} }} Some(false) => {{ {no} }} None => {{ {} }} }}\n",
                condition.maybe(),
                add(&told)
            ))
        }
        _ => {
            let found = translator.expression(expr)?;
            let holds = match found.of {
                Type::Bool => format!("matches!({}, Some(true))", found.maybe()),
                Type::Text => format!("{}.is_some_and(|told| told.is_empty())", found.maybe()),
                other => {
                    return Err(format!(
                        "{}: gives {other:?}; it must give a bool or a string",
                        translator.place
                    ));
                }
            };
            Ok(format!("if !{holds} {{ {} }}\n", add(&told)))
        }
    }
}

//! Literals, names and operators.

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators as op};

use super::super::Fault;
use super::code::{self, Code, Type, from_reference};

/// Translates one expression.
pub struct Translator<'a> {
    /// What the expression may name, innermost last.
    pub names: Vec<(String, Code)>,
    /// File, message, field and rule, for faults.
    pub place: &'a str,
    /// True once the expression asks for the time.
    pub now: bool,
    /// Counts the names that the translation makes.
    pub made: usize,
}

impl<'a> Translator<'a> {
    pub fn new(names: Vec<(String, Code)>, place: &'a str) -> Self {
        Self {
            names,
            place,
            now: false,
            made: 0,
        }
    }

    pub fn fault<T>(&self, what: impl std::fmt::Display) -> Result<T, Fault> {
        Err(format!("{}: {what}", self.place))
    }

    pub fn boolean(&mut self, expr: &Expr) -> Result<Code, Fault> {
        let found = self.expression(expr)?;
        match found.of {
            Type::Bool => Ok(found),
            other => self.fault(format_args!("{other:?} stands where a bool must")),
        }
    }

    pub fn expression(&mut self, expr: &Expr) -> Result<Code, Fault> {
        match expr {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(loop_) => self.comprehension(loop_),
            Expr::List(list) => {
                let mut items = Vec::new();
                for item in &list.elements {
                    items.push(self.expression(&item.expr)?.owned());
                }
                let Some(first) = items.first() else {
                    return self.fault("an empty list has no type here");
                };
                let of = first.of.clone();
                if items.iter().any(|item| item.of != of) {
                    return self.fault("a list must hold values of one type");
                }
                let fallible = items.iter().any(|item| item.fallible);
                let items = items.into_iter().map(|item| item.text).collect::<Vec<_>>();
                Ok(Code::new(
                    format!("vec![{}]", items.join(", ")),
                    Type::List(Box::new(of)),
                    fallible,
                ))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.fault("maps and messages cannot be made in a rule")
            }
        }
    }

    fn name(&mut self, name: &str) -> Result<Code, Fault> {
        if let Some((_, code)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return Ok(code.clone());
        }
        if name == "now" {
            self.now = true;
            return Ok(Code::new("now".to_owned(), Type::Timestamp, false));
        }
        self.fault(format_args!("nothing is called `{name}`"))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Code, Fault> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (op::NOT_STRICTLY_FALSE, [one]) => self.boolean(&one.expr),
            (op::LOGICAL_AND | op::LOGICAL_OR, [left, right]) => {
                let (left, right) = (self.boolean(&left.expr)?, self.boolean(&right.expr)?);
                let (sign, function) = if name == op::LOGICAL_AND {
                    ("&&", "and")
                } else {
                    ("||", "or")
                };
                Ok(if left.fallible || right.fallible {
                    // A side that cannot be evaluated does not matter where the other one settles it.
                    let text = format!(
                        "checks::cel::{function}({}, {})?",
                        left.lazy(),
                        right.lazy()
                    );
                    Code::new(text, Type::Bool, true)
                } else {
                    Code::new(
                        format!("({} {sign} {})", left.text, right.text),
                        Type::Bool,
                        false,
                    )
                })
            }
            (op::LOGICAL_NOT, [one]) => {
                let one = self.boolean(&one.expr)?;
                Ok(Code::new(
                    format!("(!{})", one.text),
                    Type::Bool,
                    one.fallible,
                ))
            }
            (op::CONDITIONAL, [condition, yes, no]) => {
                let condition = self.boolean(&condition.expr)?;
                let (yes, no) = (
                    self.expression(&yes.expr)?.owned(),
                    self.expression(&no.expr)?.owned(),
                );
                if yes.of != no.of {
                    return self.fault(format_args!(
                        "one choice is {:?}, the other {:?}",
                        yes.of, no.of
                    ));
                }
                let text = format!(
                    "(if {} {{ {} }} else {{ {} }})",
                    condition.text, yes.text, no.text
                );
                Ok(Code::new(
                    text,
                    yes.of,
                    condition.fallible || yes.fallible || no.fallible,
                ))
            }
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                self.equality(name == op::EQUALS, &left.expr, &right.expr)
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => {
                self.order(name.trim_matches('_'), &left.expr, &right.expr)
            }
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [left, right]) => {
                self.arithmetic(name.trim_matches('_'), &left.expr, &right.expr)
            }
            (op::NEGATE, [one]) => {
                let one = self.expression(&one.expr)?;
                match one.of {
                    Type::Int => Ok(Code::new(
                        format!("{}.checked_neg()?", one.text),
                        Type::Int,
                        true,
                    )),
                    Type::Double => Ok(Code::new(
                        format!("(-{})", one.text),
                        Type::Double,
                        one.fallible,
                    )),
                    other => self.fault(format_args!("{other:?} cannot be negated")),
                }
            }
            (op::IN, [item, list]) => self.membership(&item.expr, &list.expr),
            (op::INDEX, [list, index]) => self.index(&list.expr, &index.expr),
            _ => self.function(call),
        }
    }

    fn equality(&mut self, equal: bool, left: &Expr, right: &Expr) -> Result<Code, Fault> {
        let (left, right) = (
            self.expression(left)?.owned(),
            self.expression(right)?.owned(),
        );
        let sign = if equal { "==" } else { "!=" };
        if left.of != right.of {
            return self.fault(format_args!(
                "{:?} {sign} {:?}: nothing compares them",
                left.of, right.of
            ));
        }
        let text = format!("({} {sign} {})", left.text, right.text);
        Ok(Code::new(text, Type::Bool, left.fallible || right.fallible))
    }

    fn order(&mut self, sign: &str, left: &Expr, right: &Expr) -> Result<Code, Fault> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let fallible = left.fallible || right.fallible;
        let text = match (&left.of, &right.of) {
            (a, b)
                if a == b
                    && matches!(
                        a,
                        Type::Int
                            | Type::Uint
                            | Type::Double
                            | Type::Text
                            | Type::Bytes
                            | Type::Bool
                            | Type::Timestamp
                            | Type::Duration
                    ) =>
            {
                format!("({} {sign} {})", left.text, right.text)
            }
            // Numbers of two types compare by their value.
            (Type::Int, Type::Uint) | (Type::Uint, Type::Int) => {
                format!(
                    "(i128::from({}) {sign} i128::from({}))",
                    left.text, right.text
                )
            }
            (Type::Int | Type::Uint, Type::Double) => {
                format!("(({} as f64) {sign} {})", left.text, right.text)
            }
            (Type::Double, Type::Int | Type::Uint) => {
                format!("({} {sign} ({} as f64))", left.text, right.text)
            }
            (a, b) => return self.fault(format_args!("{a:?} {sign} {b:?}: nothing orders them")),
        };
        Ok(Code::new(text, Type::Bool, fallible))
    }

    fn arithmetic(&mut self, sign: &str, left: &Expr, right: &Expr) -> Result<Code, Fault> {
        let (left, right) = (
            self.expression(left)?.owned(),
            self.expression(right)?.owned(),
        );
        let fallible = left.fallible || right.fallible;
        let plain = |of: Type| {
            Ok(Code::new(
                format!("({} {sign} {})", left.text, right.text),
                of,
                fallible,
            ))
        };
        match (&left.of, sign, &right.of) {
            (Type::Int, _, Type::Int) | (Type::Uint, _, Type::Uint) => {
                let function = match sign {
                    "+" => "checked_add",
                    "-" => "checked_sub",
                    "*" => "checked_mul",
                    "/" => "checked_div",
                    _ => "checked_rem",
                };
                let text = format!("{}.{function}({})?", left.text, right.text);
                Ok(Code::new(text, left.of.clone(), true))
            }
            (Type::Double, "+" | "-" | "*" | "/", Type::Double) => plain(Type::Double),
            (Type::Duration, "+" | "-", Type::Duration)
            | (Type::Timestamp, "-", Type::Timestamp) => plain(Type::Duration),
            (Type::Timestamp, "+" | "-", Type::Duration)
            | (Type::Duration, "+", Type::Timestamp) => plain(Type::Timestamp),
            (Type::Text, "+", Type::Text) => {
                let text = format!("checks::cel::joined(&[&{}, &{}])", left.text, right.text);
                Ok(Code::new(text, Type::Text, fallible))
            }
            (Type::Bytes, "+", Type::Bytes) | (Type::List(_), "+", Type::List(_))
                if left.of == right.of =>
            {
                let (before, after) = if left.of == Type::Bytes {
                    ("::std::borrow::Cow::Owned(", ")")
                } else {
                    ("", "")
                };
                let text = format!(
                    "{before}[&{}[..], &{}[..]].concat(){after}",
                    left.text, right.text
                );
                Ok(Code::new(text, left.of.clone(), fallible))
            }
            (a, _, b) => self.fault(format_args!("{a:?} {sign} {b:?}: nothing computes that")),
        }
    }

    fn membership(&mut self, item: &Expr, list: &Expr) -> Result<Code, Fault> {
        // Nothing is in an empty list, whose type nobody knows.
        if matches!(list, Expr::List(list) if list.elements.is_empty()) {
            return Ok(Code::new("false".to_owned(), Type::Bool, false));
        }
        let (item, list) = (self.expression(item)?, self.expression(list)?);
        let fallible = item.fallible || list.fallible;
        let (each, of) = match &list.of {
            Type::List(of) => (
                format!("{}.iter().any(|v| *v == sought)", list.text),
                (**of).clone(),
            ),
            Type::Items(kind) => (
                format!(
                    "{}.iter().any(|v| {} == sought)",
                    list.text,
                    from_reference(kind, "v")
                ),
                code::of_kind(kind),
            ),
            Type::Entries(key, _) => (
                format!(
                    "{}.keys().any(|v| {} == sought)",
                    list.text,
                    from_reference(key, "v")
                ),
                code::of_kind(key),
            ),
            other => return self.fault(format_args!("{other:?} holds no items")),
        };
        if of != item.of {
            return self.fault(format_args!("{:?} is looked for among {of:?}", item.of));
        }
        Ok(Code::new(
            format!("{{ let sought = {}; {each} }}", item.text),
            Type::Bool,
            fallible,
        ))
    }

    fn index(&mut self, list: &Expr, index: &Expr) -> Result<Code, Fault> {
        let (list, index) = (self.expression(list)?, self.expression(index)?);
        let (text, of) = match (&list.of, &index.of) {
            (Type::List(of), Type::Int) => (
                format!(
                    "{}.get(usize::try_from({}).ok()?)?.clone()",
                    list.text, index.text
                ),
                (**of).clone(),
            ),
            (Type::Items(kind), Type::Int) => (
                format!(
                    "{{ let one = {}.get(usize::try_from({}).ok()?)?; {} }}",
                    list.text,
                    index.text,
                    from_reference(kind, "one")
                ),
                code::of_kind(kind),
            ),
            (Type::Entries(key, value), given) if code::of_kind(key) == *given => {
                use prost_reflect::Kind;
                let sought = match key {
                    Kind::String => "&*sought".to_owned(),
                    Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                        "&i32::try_from(sought).ok()?".to_owned()
                    }
                    Kind::Uint32 | Kind::Fixed32 => "&u32::try_from(sought).ok()?".to_owned(),
                    _ => "&sought".to_owned(),
                };
                (
                    format!(
                        "{{ let sought = {}; let one = {}.get({sought})?; {} }}",
                        index.text,
                        list.text,
                        from_reference(value, "one")
                    ),
                    code::of_kind(value),
                )
            }
            (a, b) => return self.fault(format_args!("{a:?} has no item {b:?}")),
        };
        Ok(Code::new(text, of, true))
    }
}

fn of_literal(literal: &LiteralValue) -> Code {
    let (text, of) = match literal {
        LiteralValue::Boolean(value) => (value.inner().to_string(), Type::Bool),
        LiteralValue::Bytes(value) => (code::bytes(value.inner()), Type::Bytes),
        LiteralValue::Double(value) => (code::float64(*value.inner()), Type::Double),
        LiteralValue::Int(value) => (format!("({}_i64)", value.inner()), Type::Int),
        LiteralValue::Null => ("()".to_owned(), Type::Null),
        LiteralValue::String(value) => (code::text(value.inner()), Type::Text),
        LiteralValue::UInt(value) => (format!("{}_u64", value.inner()), Type::Uint),
    };
    Code::new(text, of, false)
}

//! The functions of CEL and those that the standard adds.

use cel::common::ast::{CallExpr, Expr, LiteralValue};

use super::super::Fault;
use super::code::{Code, Type};
use super::translate::Translator;

impl Translator<'_> {
    pub fn function(&mut self, call: &CallExpr) -> Result<Code, Fault> {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            ("format", Some(template), [list]) => return self.format(&template.expr, &list.expr),
            ("matches", Some(subject), [pattern]) => {
                return self.matches(&subject.expr, &pattern.expr);
            }
            ("matches", None, [subject, pattern]) => {
                return self.matches(&subject.expr, &pattern.expr);
            }
            ("getField", None, [held, named]) => {
                let held = self.expression(&held.expr)?;
                return match &named.expr {
                    Expr::Literal(LiteralValue::String(named)) => self.field(&held, named.inner()),
                    _ => self.fault("getField needs the name as a literal"),
                };
            }
            ("dyn", None, [one]) => return self.expression(&one.expr),
            ("duration" | "timestamp", None, [one]) => {
                return self.moment(name, &one.expr);
            }
            _ => {}
        }
        let mut parts = Vec::new();
        for part in call
            .target
            .iter()
            .map(|target| &target.expr)
            .chain(call.args.iter().map(|one| &one.expr))
        {
            parts.push(self.expression(part)?);
        }
        let method = call.target.is_some();
        if let Some((text, of, may_fail)) = known(name, method, &parts) {
            let fallible = may_fail || parts.iter().any(|part| part.fallible);
            return Ok(Code::new(text, of, fallible));
        }
        let of = parts
            .iter()
            .map(|part| format!("{:?}", part.of))
            .collect::<Vec<_>>();
        self.fault(format_args!(
            "the function `{name}` of {} is not known",
            of.join(", ")
        ))
    }

    /// `matches` with a pattern that is known at build time: a pattern that a caller may choose could cost any time.
    fn matches(&mut self, subject: &Expr, pattern: &Expr) -> Result<Code, Fault> {
        let subject = self.expression(subject)?;
        let known = self.patterns(pattern)?;
        if subject.of != Type::Text {
            return self.fault(format_args!("{:?} is matched with a pattern", subject.of));
        }
        let (text, fallible) = known;
        let text = text.replace("SUBJECT", "subject");
        Ok(Code::new(
            format!("{{ let subject = {}; {text} }}", subject.text),
            Type::Bool,
            subject.fallible || fallible,
        ))
    }

    fn patterns(&mut self, pattern: &Expr) -> Result<(String, bool), Fault> {
        if let Expr::Call(call) = pattern
            && call.func_name == cel::common::ast::operators::CONDITIONAL
        {
            let condition = self.boolean(&call.args[0].expr)?;
            let (yes, no) = (
                self.patterns(&call.args[1].expr)?,
                self.patterns(&call.args[2].expr)?,
            );
            return Ok((
                format!("if {} {{ {} }} else {{ {} }}", condition.text, yes.0, no.0),
                condition.fallible || yes.1 || no.1,
            ));
        }
        let literal = match pattern {
            Expr::Literal(LiteralValue::String(pattern)) => pattern.inner().to_owned(),
            other => {
                // A rule's own value.
                let code = self.expression(other)?;
                let quoted = code
                    .text
                    .strip_prefix("checks::cel::text(")
                    .and_then(|rest| rest.strip_suffix(')'));
                match quoted.and_then(unquoted) {
                    Some(pattern) => pattern,
                    None => return self.fault("a pattern must be a literal"),
                }
            }
        };
        regex::Regex::new(&literal)
            .map_err(|error| format!("{}: pattern {literal:?}: {error}", self.place))?;
        let text = format!(
            "{{ static PATTERN: ::std::sync::LazyLock<::regex::Regex> = ::std::sync::LazyLock::new(|| \
             ::regex::Regex::new({literal:?}).expect(\"compiled at build time\")); PATTERN.is_match(&SUBJECT) }}"
        );
        Ok((text, false))
    }

    fn moment(&mut self, name: &str, expr: &Expr) -> Result<Code, Fault> {
        if let Expr::Literal(LiteralValue::String(written)) = expr {
            let parsed = if name == "duration" {
                span(written.inner())
            } else {
                written
                    .inner()
                    .parse::<prost_types::Timestamp>()
                    .ok()
                    .map(|at| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos))
            };
            let of = if name == "duration" {
                Type::Duration
            } else {
                Type::Timestamp
            };
            return match parsed {
                Some(nanos) => Ok(Code::new(format!("({nanos}_i128)"), of, false)),
                None => self.fault(format_args!("{:?} is no {name}", written.inner())),
            };
        }
        let code = self.expression(expr)?;
        match (name, &code.of) {
            ("duration", Type::Duration) | ("timestamp", Type::Timestamp) => Ok(code),
            ("timestamp", Type::Int) => Ok(Code::new(
                format!("(i128::from({}) * 1_000_000_000)", code.text),
                Type::Timestamp,
                code.fallible,
            )),
            (_, other) => self.fault(format_args!("{name} of {other:?} is not known")),
        }
    }

    fn format(&mut self, template: &Expr, list: &Expr) -> Result<Code, Fault> {
        let (Expr::Literal(LiteralValue::String(template)), Expr::List(list)) = (template, list)
        else {
            return self.fault("format needs a literal text and a literal list");
        };
        let mut parts = Vec::new();
        let mut fallible = false;
        let mut rest = template.inner();
        let mut given = list.elements.iter();
        while let Some((before, after)) = rest.split_once('%') {
            parts.push(format!("{before:?}.to_owned()"));
            if let Some(after) = after.strip_prefix('%') {
                parts.push("\"%\".to_owned()".to_owned());
                rest = after;
                continue;
            }
            let end = after
                .find(|c: char| c.is_ascii_alphabetic())
                .map_or(after.len(), |at| at + 1);
            rest = &after[end..];
            let Some(item) = given.next() else {
                return self.fault("format has fewer values than places");
            };
            let code = self.expression(&item.expr)?.owned();
            fallible |= code.fallible;
            parts.push(match code.of {
                Type::Text => format!("{}.into_owned()", code.text),
                Type::Constant(_) => "String::new()".to_owned(),
                _ => format!("format!(\"{{:?}}\", {})", code.text),
            });
        }
        parts.push(format!("{rest:?}.to_owned()"));
        let text = format!(
            "::std::borrow::Cow::<str>::Owned([{}].concat())",
            parts.join(", ")
        );
        Ok(Code::new(text, Type::Text, fallible))
    }
}

/// Undoes Rust's own quoting of a text.
fn unquoted(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            '0' => out.push('\0'),
            'u' => {
                let hex = chars
                    .by_ref()
                    .take_while(|c| *c != '}')
                    .filter(|c| *c != '{')
                    .collect::<String>();
                out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
            }
            other => out.push(other),
        }
    }
    Some(out)
}

/// A duration as CEL writes it (`1h30m`, `1.5s`), in nanoseconds.
fn span(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut sum = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, after) = ["ns", "us", "ms", "s", "m", "h"]
            .iter()
            .find_map(|unit| after.strip_prefix(unit).map(|after| (*unit, after)))?;
        let each: i128 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            _ => 3_600_000_000_000,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        sum += whole.parse::<i128>().unwrap_or(0) * each;
        let mut scale = each;
        for digit in part.bytes() {
            scale /= 10;
            sum += i128::from(digit - b'0') * scale;
        }
        rest = after;
    }
    Some(sign * sum)
}

/// A function in Rust, its type, and whether it may fail.
fn known(name: &str, method: bool, parts: &[Code]) -> Option<(String, Type, bool)> {
    let of = parts.iter().map(|part| &part.of).collect::<Vec<_>>();
    let at = |index: usize| parts[index].text.as_str();
    Some(match (name, method, of.as_slice()) {
        ("size", _, [Type::Text]) => (
            format!("(checks::chars(&{}) as i64)", at(0)),
            Type::Int,
            false,
        ),
        ("size", _, [Type::Bytes | Type::List(_) | Type::Items(_) | Type::Entries(..)]) => {
            (format!("({}.len() as i64)", at(0)), Type::Int, false)
        }
        ("startsWith", true, [Type::Text, Type::Text]) => (
            format!("{}.starts_with(&*{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("endsWith", true, [Type::Text, Type::Text]) => (
            format!("{}.ends_with(&*{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("contains", true, [Type::Text, Type::Text]) => (
            format!("{}.contains(&*{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("startsWith", true, [Type::Bytes, Type::Bytes]) => (
            format!("{}.starts_with(&{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("endsWith", true, [Type::Bytes, Type::Bytes]) => (
            format!("{}.ends_with(&{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("contains", true, [Type::Bytes, Type::Bytes]) => (
            format!("checks::within(&{}, &{})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("lowerAscii" | "upperAscii", true, [Type::Text]) => {
            let case = if name == "lowerAscii" {
                "lower"
            } else {
                "upper"
            };
            (
                format!(
                    "::std::borrow::Cow::<str>::Owned({}.to_ascii_{case}case())",
                    at(0)
                ),
                Type::Text,
                false,
            )
        }
        ("trim", true, [Type::Text]) => (
            format!(
                "::std::borrow::Cow::<str>::Owned({}.trim().to_owned())",
                at(0)
            ),
            Type::Text,
            false,
        ),
        ("replace", true, [Type::Text, Type::Text, Type::Text]) => (
            format!(
                "::std::borrow::Cow::<str>::Owned({}.replace(&*{}, &{}))",
                at(0),
                at(1),
                at(2)
            ),
            Type::Text,
            false,
        ),
        ("int", false, [Type::Int])
        | ("uint", false, [Type::Uint])
        | ("double", false, [Type::Double])
        | ("bool", false, [Type::Bool]) => (at(0).to_owned(), parts[0].of.clone(), false),
        ("string", false, [Type::Text]) | ("bytes", false, [Type::Bytes]) => {
            (at(0).to_owned(), parts[0].of.clone(), false)
        }
        ("int", false, [Type::Uint]) => {
            (format!("i64::try_from({}).ok()?", at(0)), Type::Int, true)
        }
        ("int", false, [Type::Double]) => {
            (format!("checks::cel::whole({})?", at(0)), Type::Int, true)
        }
        ("int", false, [Type::Text]) => {
            (format!("{}.parse::<i64>().ok()?", at(0)), Type::Int, true)
        }
        ("int", false, [Type::Timestamp]) => (
            format!("i64::try_from({}.div_euclid(1_000_000_000)).ok()?", at(0)),
            Type::Int,
            true,
        ),
        ("uint", false, [Type::Int]) => {
            (format!("u64::try_from({}).ok()?", at(0)), Type::Uint, true)
        }
        ("uint", false, [Type::Double]) => (
            format!("u64::try_from(checks::cel::whole({})?).ok()?", at(0)),
            Type::Uint,
            true,
        ),
        ("uint", false, [Type::Text]) => {
            (format!("{}.parse::<u64>().ok()?", at(0)), Type::Uint, true)
        }
        ("double", false, [Type::Int | Type::Uint]) => {
            (format!("({} as f64)", at(0)), Type::Double, false)
        }
        ("double", false, [Type::Text]) => (
            format!("{}.parse::<f64>().ok()?", at(0)),
            Type::Double,
            true,
        ),
        ("string", false, [Type::Int | Type::Uint | Type::Double | Type::Bool]) => (
            format!("::std::borrow::Cow::<str>::Owned({}.to_string())", at(0)),
            Type::Text,
            false,
        ),
        ("string", false, [Type::Bytes]) => (
            format!(
                "::std::borrow::Cow::<str>::Owned(String::from_utf8({}.into_owned()).ok()?)",
                at(0)
            ),
            Type::Text,
            true,
        ),
        ("bytes", false, [Type::Text]) => (
            format!(
                "::std::borrow::Cow::<[u8]>::Owned({}.into_owned().into_bytes())",
                at(0)
            ),
            Type::Bytes,
            false,
        ),
        ("isNan", true, [Type::Double]) => (format!("{}.is_nan()", at(0)), Type::Bool, false),
        ("isInf", true, [Type::Double]) => (format!("{}.is_infinite()", at(0)), Type::Bool, false),
        ("isInf", true, [Type::Double, Type::Int]) => (
            format!(
                "{{ let (v, sign) = ({}, {}); v.is_infinite() && (sign == 0 || (v > 0.0) == (sign > 0)) }}",
                at(0),
                at(1)
            ),
            Type::Bool,
            false,
        ),
        ("unique", true, [Type::List(one)]) if **one == Type::Double => (
            format!(
                "checks::unique({}.iter().map(|v| (v + 0.0).to_bits()))",
                at(0)
            ),
            Type::Bool,
            false,
        ),
        ("unique", true, [Type::List(_)]) => (
            format!("checks::unique({}.iter())", at(0)),
            Type::Bool,
            false,
        ),
        ("unique", true, [Type::Items(_)]) => {
            return known(name, method, &[parts[0].clone().owned()]);
        }
        ("isEmail", true, [Type::Text]) => {
            (format!("checks::email(&{})", at(0)), Type::Bool, false)
        }
        ("isHostname", true, [Type::Text]) => {
            (format!("checks::hostname(&{})", at(0)), Type::Bool, false)
        }
        ("isHostAndPort", true, [Type::Text, Type::Bool]) => (
            format!("checks::host_and_port(&{}, {})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("isUri", true, [Type::Text]) => (format!("checks::uri(&{})", at(0)), Type::Bool, false),
        ("isUriRef", true, [Type::Text]) => {
            (format!("checks::uri_ref(&{})", at(0)), Type::Bool, false)
        }
        ("isIp", true, [Type::Text]) => (format!("checks::ip(&{}, 0)", at(0)), Type::Bool, false),
        ("isIp", true, [Type::Text, Type::Int]) => (
            format!("checks::ip(&{}, {})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("isIpPrefix", true, [Type::Text]) => (
            format!("checks::ip_prefix(&{}, 0, false)", at(0)),
            Type::Bool,
            false,
        ),
        ("isIpPrefix", true, [Type::Text, Type::Int]) => (
            format!("checks::ip_prefix(&{}, {}, false)", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("isIpPrefix", true, [Type::Text, Type::Bool]) => (
            format!("checks::ip_prefix(&{}, 0, {})", at(0), at(1)),
            Type::Bool,
            false,
        ),
        ("isIpPrefix", true, [Type::Text, Type::Int, Type::Bool]) => (
            format!("checks::ip_prefix(&{}, {}, {})", at(0), at(1), at(2)),
            Type::Bool,
            false,
        ),
        ("getHours" | "getMinutes" | "getSeconds", true, [Type::Duration]) => {
            let unit = match name {
                "getHours" => "3_600_000_000_000",
                "getMinutes" => "60_000_000_000",
                _ => "1_000_000_000",
            };
            (format!("(({} / {unit}) as i64)", at(0)), Type::Int, false)
        }
        (
            "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek"
            | "getDayOfYear" | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds",
            true,
            [Type::Timestamp],
        ) => (
            format!("checks::cel::part({}, {name:?})", at(0)),
            Type::Int,
            false,
        ),
        _ => return None,
    })
}

//! `all`, `exists`, `exists_one`, `filter` and `map`, which the parser writes as loops.

use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue, operators as op};

use super::super::Fault;
use super::code::{Code, Type, from_reference, of_kind};
use super::translate::Translator;

impl Translator<'_> {
    pub fn comprehension(&mut self, one: &ComprehensionExpr) -> Result<Code, Fault> {
        if one.iter_var2.is_some() {
            return self.fault("loops over two variables are not known");
        }
        let range = self.expression(&one.iter_range.expr)?;
        self.made += 1;
        let (item, sum) = (format!("item{}", self.made), format!("sum{}", self.made));
        let (head, of) = match &range.of {
            Type::List(of) => (format!("for {item} in {} {{", range.text), (**of).clone()),
            Type::Items(kind) => (
                format!(
                    "for one in {}.iter() {{ let {item} = {};",
                    range.text,
                    from_reference(kind, "one")
                ),
                of_kind(kind),
            ),
            Type::Entries(key, _) => (
                format!(
                    "for one in {}.keys() {{ let {item} = {};",
                    range.text,
                    from_reference(key, "one")
                ),
                of_kind(key),
            ),
            other => return self.fault(format_args!("{other:?} holds no items")),
        };
        let depth = self.names.len();
        self.names.push((one.iter_var.clone(), variable(&item, of)));
        let made = match collected(one) {
            Some((condition, value)) => self.collect(&sum, one, condition, value)?,
            None => self.fold(&sum, one)?,
        };
        self.names.truncate(depth);
        let (start, step, result) = made;
        let text = format!(
            "{{ let mut {sum} = {}; {head} {} }} {} }}",
            start.text, step.text, result.text
        );
        let fallible = range.fallible || start.fallible || step.fallible || result.fallible;
        Ok(Code::new(text, result.of, fallible))
    }

    /// A loop that gathers a list.
    fn collect(
        &mut self,
        sum: &str,
        one: &ComprehensionExpr,
        condition: Option<&Expr>,
        value: &Expr,
    ) -> Result<(Code, Code, Code), Fault> {
        let value = self.expression(value)?.owned();
        let condition = condition
            .map(|condition| self.boolean(condition))
            .transpose()?;
        let of = Type::List(Box::new(value.of.clone()));
        let push = format!("{sum}.push({});", value.text);
        let step = match condition {
            Some(condition) => Code::new(
                format!("if {} {{ {push} }}", condition.text),
                Type::Null,
                condition.fallible || value.fallible,
            ),
            None => Code::new(push, Type::Null, value.fallible),
        };
        self.names
            .push((one.accu_var.clone(), Code::new(sum.to_owned(), of, false)));
        let result = self.expression(&one.result.expr)?;
        Ok((
            Code::new("Vec::new()".to_owned(), Type::Null, false),
            step,
            result,
        ))
    }

    /// A loop that keeps one value.
    fn fold(&mut self, sum: &str, one: &ComprehensionExpr) -> Result<(Code, Code, Code), Fault> {
        let start = self.expression(&one.accu_init.expr)?;
        self.names
            .push((one.accu_var.clone(), variable(sum, start.of.clone())));
        let stop = match &one.loop_cond.expr {
            Expr::Literal(LiteralValue::Boolean(always)) if *always.inner() => {
                Code::new(String::new(), Type::Null, false)
            }
            condition => {
                let condition = self.boolean(condition)?;
                Code::new(
                    format!("if !{} {{ break; }}", condition.text),
                    Type::Null,
                    condition.fallible,
                )
            }
        };
        let step = self.expression(&one.loop_step.expr)?;
        if step.of != start.of {
            return self.fault("a loop must keep its type");
        }
        let result = self.expression(&one.result.expr)?;
        let body = Code::new(
            format!("{} {sum} = {};", stop.text, step.text),
            Type::Null,
            stop.fallible || step.fallible,
        );
        Ok((start, body, result))
    }
}

/// A name of the translation's own.
fn variable(name: &str, of: Type) -> Code {
    let text = match of {
        Type::Text | Type::Bytes | Type::List(_) => format!("{name}.clone()"),
        _ => name.to_owned(),
    };
    Code::new(text, of, false)
}

/// The condition and value of a loop that starts with an empty list and adds to it.
fn collected(one: &ComprehensionExpr) -> Option<(Option<&Expr>, &Expr)> {
    if !matches!(&one.accu_init.expr, Expr::List(list) if list.elements.is_empty()) {
        return None;
    }
    let (condition, added) = match &one.loop_step.expr {
        Expr::Call(call) if call.func_name == op::CONDITIONAL => {
            (Some(&call.args[0].expr), &call.args[1].expr)
        }
        step => (None, step),
    };
    match added {
        Expr::Call(call) if call.func_name == op::ADD => match &call.args[1].expr {
            Expr::List(list) if list.elements.len() == 1 => {
                Some((condition, &list.elements[0].expr))
            }
            _ => None,
        },
        _ => None,
    }
}

//! The generated checks, rule by rule, at, under and over each limit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::semicolon_if_nothing_returned
)]

mod cel;
mod contract;
mod hidden;
mod lists;
mod standard;
mod texts;
mod values;
mod wild;
mod wire;

use crate::validate::Validate;

/// `field: rule` of every broken rule, in order.
fn broken(message: &impl Validate) -> Vec<String> {
    match message.validate() {
        Ok(()) => Vec::new(),
        Err(violations) => violations
            .listed()
            .iter()
            .map(|violation| format!("{}: {}", violation.field, violation.rule))
            .collect(),
    }
}

/// A change to a valid message, and what it breaks.
type Case<'a, M> = (&'a dyn Fn(&mut M), &'a [&'a str]);

/// Checks one change to a valid message at a time.
fn cases<M: Validate + Clone>(valid: &M, cases: &[Case<'_, M>]) {
    assert_eq!(
        broken(valid),
        Vec::<String>::new(),
        "the starting message is valid"
    );
    for (index, (change, expected)) in cases.iter().enumerate() {
        let mut message = valid.clone();
        change(&mut message);
        assert_eq!(broken(&message), *expected, "case {index}");
    }
}

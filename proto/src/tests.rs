//! The generated checks, rule by rule, at, under and over each limit.

#![allow(clippy::unwrap_used, clippy::panic)]

mod contract;
mod lists;
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

/// Checks one change to a valid message at a time.
fn cases<M: Validate + Clone>(valid: &M, cases: &[(&dyn Fn(&mut M), &[&str])]) {
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

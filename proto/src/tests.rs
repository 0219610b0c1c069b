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

/// All that a log or a caller could see of a message's bytes: its `Debug`, and the error that refuses it.
pub fn seen<M: prost::Message + Default + Validate + std::fmt::Debug>(bytes: &[u8]) -> String {
    let shown = M::decode(bytes).map(|message| format!("{message:?} {message:#?}"));
    let refused = crate::codec::decode::<M>(bytes).err();
    let details = refused
        .as_ref()
        .map(|status| String::from_utf8_lossy(status.details()).into_owned());
    format!("{shown:?} {refused:?} {details:?}")
}

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

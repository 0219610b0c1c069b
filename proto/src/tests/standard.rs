//! The generated checks beside the verdicts of the standard's own Python library (`tests/standard/cases.py`).

use std::collections::BTreeSet;

use prost::Message;

use crate::rules::regard::testing::v1 as rules;
use crate::validate::Validate;

/// The paths of the bad fields of a message, and whether that is all of them.
fn verdict<M: Message + Default + Validate>(bytes: &[u8]) -> (BTreeSet<String>, bool) {
    match M::decode(bytes).unwrap().validate() {
        Ok(()) => (BTreeSet::new(), true),
        Err(violations) => {
            let fields = violations
                .listed()
                .iter()
                .map(|violation| violation.field.clone())
                .collect();
            (fields, violations.more() == 0)
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_matches('-').as_bytes();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn verdicts_equal_the_standards() {
    let mut count = 0;
    for line in include_str!("../../tests/standard/cases.txt").lines() {
        let [name, hex, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let bytes = bytes(hex);
        let (found, whole) = match name {
            "Texts" => verdict::<rules::Texts>(&bytes),
            "Numbers" => verdict::<rules::Numbers>(&bytes),
            "Shades" => verdict::<rules::Shades>(&bytes),
            "Blobs" => verdict::<rules::Blobs>(&bytes),
            "Lists" => verdict::<rules::Lists>(&bytes),
            "Times" => verdict::<rules::Times>(&bytes),
            "Choices" => verdict::<rules::Choices>(&bytes),
            "Pick" => verdict::<rules::Pick>(&bytes),
            "Tree" => verdict::<rules::Tree>(&bytes),
            other => panic!("no message {other}"),
        };
        let expected: BTreeSet<String> = match expected {
            "ok" => BTreeSet::new(),
            // The message as a whole.
            "-" => [String::new()].into(),
            list => list.split('|').map(str::to_owned).collect(),
        };
        if whole {
            assert_eq!(found, expected, "{line}");
        } else {
            assert!(found.is_subset(&expected), "{line}: {found:?}");
        }
        count += 1;
    }
    assert!(count > 1_000, "{count} cases");
}

//! The verdicts of the generated checks on the standard's own conformance cases (`cases.txt`), rule by rule.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use regard_standard::{REFUSED, check};

/// What we refuse beyond the standard, wherever it stands: reasons in `proto/standard/README.md`.
const BEYOND: [&str; 7] = [
    "string.characters",
    "string.normal",
    "double.finite",
    "float.finite",
    "enum.defined_only",
    "timestamp.range",
    "duration.range",
];

fn bytes(hex: &str) -> Vec<u8> {
    hex.trim_matches('-')
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The standard tells an empty text apart from a wrong one.
fn rule(id: &str) -> String {
    let id = id.strip_suffix("_empty").unwrap_or(id);
    id.split(".header_").next().unwrap_or(id).to_owned()
}

fn pairs(list: &str) -> BTreeSet<(String, String)> {
    list.split('\u{1f}')
        .filter(|one| !one.is_empty())
        .map(|one| {
            let (path, id) = one.split_once(' ').unwrap();
            (path.to_owned(), rule(id))
        })
        .collect()
}

#[test]
fn the_standards_own_cases() {
    let (mut agreed, mut stricter, mut wrong) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for line in include_str!("../cases.txt").lines() {
        let [case, name, hex, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
        // What the standard finds to be wrong only when it runs, our build refuses.
        if expected == "compile" || (expected == "runtime" && refused.is_some()) {
            if refused.is_some() {
                agreed += 1;
            } else {
                wrong.push(format!("{case}: {name} is not refused"));
            }
            continue;
        }
        if let Some((_, why)) = refused {
            wrong.push(format!("{case}: refused: {why}"));
            continue;
        }
        let found = match check(name, &bytes(hex)) {
            Some(Ok(found)) => found,
            other => {
                wrong.push(format!("{case}: {name}: {other:?}"));
                continue;
            }
        };
        let all: BTreeSet<_> = found
            .iter()
            .map(|(path, id)| (path.clone(), rule(id)))
            .collect();
        if expected == "runtime" {
            if all.is_empty() {
                wrong.push(format!("{case}: nothing is told"));
            } else {
                agreed += 1;
            }
            continue;
        }
        let wanted = expected
            .strip_prefix("violations ")
            .map(pairs)
            .unwrap_or_default();
        if all == wanted {
            agreed += 1;
            continue;
        }
        let more: Vec<_> = all.difference(&wanted).collect();
        let beyond = more.iter().all(|(_, id)| BEYOND.contains(&id.as_str()));
        if beyond && !more.is_empty() && wanted.difference(&all).next().is_none() {
            *stricter.entry(more[0].1.clone()).or_default() += 1;
        } else {
            wrong.push(format!(
                "{case} ({name} {hex}): {all:?} instead of {wanted:?}"
            ));
        }
    }
    println!(
        "{agreed} cases agree; stricter: {stricter:?}; {} differ",
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(agreed > 2_000, "{agreed} cases");
    // Each of the differences is one that we want.
    assert!(stricter.values().sum::<usize>() < 80, "{stricter:?}");
}

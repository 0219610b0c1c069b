//! The features that the suite shows, by `tests/features.toml`: every test that is named there exists.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_feature_is_shown_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("tests/features.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let features: BTreeMap<String, Vec<String>> = table["features"].clone().try_into().unwrap();
    let mut wrong = Vec::new();
    for (id, tests) in &features {
        let number = id.strip_prefix(['F', 'B']).unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            wrong.push(format!("{id}: no id of a feature, such as F001 or B01"));
        }
        if tests.is_empty() {
            wrong.push(format!("{id}: no test shows it"));
        }
        for test in tests {
            let found = test.rsplit_once("::").is_some_and(|(file, name)| {
                std::fs::read_to_string(root.join(file)).is_ok_and(|code| is_test(&code, name))
            });
            if !found {
                wrong.push(format!("{id}: there is no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let tests: std::collections::BTreeSet<_> = features.values().flatten().collect();
    println!("{} features shown by {} tests", features.len(), tests.len());
}

/// Whether the file has this function as a test: right below a test attribute, or among the arguments of a macro that makes tests of
/// functions.
fn is_test(code: &str, name: &str) -> bool {
    let Some(at) = [format!("fn {name}("), format!("fn {name}<")]
        .iter()
        .find_map(|head| code.find(head.as_str()))
    else {
        return false;
    };
    let before = code[..at].trim_end().trim_end_matches("async").trim_end();
    let attribute = before
        .lines()
        .next_back()
        .is_some_and(|line| line.trim_start().starts_with("#[") && line.contains("test"));
    let listed = code.match_indices("!(").any(|(start, _)| {
        let made = code[..start]
            .rsplit(|c: char| c.is_whitespace() || c == ':')
            .next()
            .unwrap_or_default();
        let arguments = code[start + 2..].split(')').next().unwrap_or_default();
        made.starts_with("on_") && arguments.split(',').any(|argument| argument.trim() == name)
    });
    attribute || listed
}

#[test]
fn a_test_is_told_from_a_function() {
    let code = "on_both_engines!(\n    a,\n    b_c,\n);\nasync fn a(x: X) {}\nasync fn b(x: X) {}\n#[test]\nfn d() {}\nfn e() {}\n";
    let found: Vec<_> = ["a", "b", "b_c", "d", "e", "f"]
        .into_iter()
        .filter(|name| is_test(code, name))
        .collect();
    assert_eq!(found, ["a", "d"]);
}

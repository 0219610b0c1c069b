//! The house's arrows, read from manifests and imports. A failure names the file and the rule that it broke.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Each crate's folder and the crates of ours that it depends on, tests apart.
fn manifests() -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![PathBuf::from("proto"), PathBuf::from("tests")];
    for group in ["services", "shared"] {
        for entry in fs::read_dir(root().join(group)).unwrap() {
            folders.push(Path::new(group).join(entry.unwrap().file_name()));
        }
    }
    for folder in folders {
        let text = fs::read_to_string(root().join(&folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let dependencies = manifest
            .get("dependencies")
            .and_then(|d| d.as_table())
            .cloned()
            .unwrap_or_default();
        let ours = dependencies
            .keys()
            .filter(|name| *name == "regard" || name.starts_with("regard-"))
            .cloned()
            .collect();
        out.insert(folder.to_string_lossy().into_owned(), ours);
    }
    out
}

#[test]
fn dependencies_point_one_way() {
    let manifests = manifests();
    assert!(
        manifests.len() >= 12,
        "too few crates were found: {manifests:?}"
    );
    let services = ["regard-customer", "regard-feedback", "regard-scoring"];
    for (folder, ours) in &manifests {
        let on = |name: &str| ours.iter().any(|o| o == name);
        if folder == "shared/types" || folder == "shared/models" {
            assert!(
                ours.is_empty(),
                "{folder} must depend on nothing of ours, depends on {ours:?}"
            );
        }
        if folder.starts_with("shared/") || folder == "proto" {
            assert!(
                !services.iter().any(|s| on(s)) && !on("regard"),
                "{folder} must not know a service: {ours:?}"
            );
        }
        if folder.starts_with("services/")
            && folder != "services/regard"
            && folder != "services/console"
        {
            assert!(
                !services.iter().any(|s| on(s)),
                "{folder} must not know another service: {ours:?}"
            );
        }
        if folder.starts_with("services/")
            && folder != "services/scoring"
            && folder != "services/regard"
        {
            assert!(
                !on("regard-models") && !on("regard-cache"),
                "{folder} has no use for models or the cache: {ours:?}"
            );
        }
        assert!(
            folder == "tests" || !on("regard-testkit"),
            "{folder} may use the testkit in tests only"
        );
    }
}

/// What a kind of file must not name, and why.
const RULES: [(&str, &[&str], &str); 4] = [
    (
        "domain.rs",
        &[
            "tonic",
            "prost",
            "sea_orm",
            "sqlx",
            "redis",
            "tokio",
            "regard_proto",
            "regard_database",
            "regard_server",
            "regard_cache",
        ],
        "domain is pure and synchronous",
    ),
    (
        "store.rs",
        &["tonic", "regard_proto", "regard_server"],
        "store knows tables, not the wire",
    ),
    (
        "api.rs",
        &["sea_orm", "sqlx", "redis"],
        "api turns wire into values and back: no tables",
    ),
    (
        "app.rs",
        &["sea_orm", "sqlx", "redis"],
        "app decides and asks the store: no tables",
    ),
];

#[test]
fn files_keep_to_their_layer() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for service in ["customer", "feedback", "scoring"] {
        for file in sources(&root().join("services").join(service).join("src")) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Some((_, banned, why)) = RULES.iter().find(|(kind, ..)| *kind == name) else {
                continue;
            };
            seen += 1;
            let text = fs::read_to_string(&file).unwrap();
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for word in *banned {
                    if names(line, word) {
                        broken.push(format!(
                            "{}:{}: names {word}: {why}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(seen >= 15, "too few files were found: {seen}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Where a service's statements stand besides its stores and its schema: what reads or removes a person or a population
/// across the tables of many nouns.
const ACROSS: [&str; 2] = ["erasure", "population"];

#[test]
fn statements_stand_in_stores() {
    let statement =
        regex::Regex::new(r#""[^"]*\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM) "#)
            .unwrap();
    let mut seen = 0;
    let mut broken = Vec::new();
    for service in ["customer", "feedback", "scoring"] {
        for file in sources(&root().join("services").join(service).join("src")) {
            let inside = file.strip_prefix(root()).unwrap();
            let folders: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
            if folders
                .iter()
                .any(|part| part == "tests" || part == "migration")
            {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let free =
                file.ends_with("store.rs") || folders.iter().any(|part| ACROSS.contains(&&**part));
            for found in statement.find_iter(code) {
                seen += 1;
                if !free {
                    broken.push(format!("{}: {}", file.display(), found.as_str()));
                }
            }
        }
    }
    assert!(seen >= 50, "too few statements were found: {seen}");
    assert!(
        broken.is_empty(),
        "statements outside a store:\n{}",
        broken.join("\n")
    );
}

/// Whether a line names a crate in a path: `word::`, or `use word;`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
            && (after.starts_with("::") || after.starts_with(';'))
    })
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let banned = ["/wo\u{72}k/", "/ro\u{6f}t/"];
    let mut broken = Vec::new();
    for folder in [
        "proto/src",
        "services",
        "shared",
        "tests/tests",
        "tests/src",
        "deploy",
    ] {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for word in banned {
                if text.contains(word) {
                    broken.push(format!("{}: names {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The sources of all crates of services and shared code, with the tests at their ends cut off.
fn program() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for group in ["services", "shared"] {
        for entry in fs::read_dir(root().join(group)).unwrap() {
            for file in sources(&entry.unwrap().path().join("src")) {
                let text = fs::read_to_string(&file).unwrap();
                let text = text
                    .split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap()
                    .to_owned();
                let name = file.strip_prefix(root()).unwrap().display().to_string();
                out.push((name, text));
            }
        }
    }
    assert!(out.len() > 100, "too few sources were found");
    out
}

/// What a macro is given, up to the end of its brackets, for each call of one of them.
fn calls<'a>(text: &'a str, macros: &regex::Regex) -> Vec<&'a str> {
    let mut out = Vec::new();
    for found in macros.find_iter(text) {
        let rest = &text[found.end()..];
        let (mut depth, mut quoted, mut before) = (1, false, ' ');
        for (at, letter) in rest.char_indices() {
            match letter {
                '"' if before != '\\' => quoted = !quoted,
                '(' | '{' | '[' if !quoted => depth += 1,
                ')' | '}' | ']' if !quoted => depth -= 1,
                _ => {}
            }
            before = letter;
            if depth == 0 {
                out.push(&rest[..at]);
                break;
            }
        }
    }
    out
}

#[test]
fn no_log_line_and_no_span_shows_a_message_or_a_person() {
    let telling = regex::Regex::new(
        r"\b(error|warn|info|debug|trace|event|(?:info|debug|trace|warn|error)_span)!\(",
    )
    .unwrap();
    // A message of the contract, a person, or what was said: shown by Debug or Display, or by its bare name.
    let shown = regex::Regex::new(
        r"(?x) (?: [?%] | (?:^|[,(\s]) (?:%|\?)? ) \s* (?:self\.|&)*
          (request|body|batch|rows?|customer|identity|person|contact|email|phone|full_name|external_id|text|comment|response|token|secret|api_key|headers)
          \s* (?:,|$)",
    )
    .unwrap();
    let mut bad = Vec::new();
    for (name, text) in program() {
        for call in calls(&text, &telling) {
            for argument in shown.find_iter(call) {
                bad.push(format!("{name}: {} in {call}", argument.as_str().trim()));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    // The rule finds what it is for.
    for wrong in [
        "?request, \"taken\"",
        "%customer, \"x\"",
        "feed, email, \"x\"",
        "?self.body",
    ] {
        assert!(shown.is_match(wrong), "{wrong}");
    }
}

#[test]
fn every_figure_stands_in_the_table_and_the_table_has_no_other() {
    let macros = regex::Regex::new(r"\b(counter|gauge|histogram)!\(").unwrap();
    let quoted = regex::Regex::new(r#"^\s*"(regard_[a-z_]+)""#).unwrap();
    let mut told = std::collections::BTreeSet::new();
    for (name, text) in program() {
        for call in calls(&text, &macros) {
            if let Some(found) = quoted.captures(call) {
                told.insert(found[1].to_owned());
            } else {
                assert!(
                    name.ends_with("telemetry/table.rs"),
                    "{name}: a figure's name stands in its place as it is: {call}"
                );
            }
        }
    }
    let table = regard_server::FIGURES.iter().map(|f| f.name.to_owned());
    assert_eq!(told, table.collect());
}

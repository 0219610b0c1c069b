//! `regard privacy`: a person's data in one document, and keys that are replaced.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{Served, fails, json, ok};
use serde_json::Value;

#[test]
fn a_person_is_exported_and_keys_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data").display().to_string();
    let served = Served::start(&["--data", &folder]);
    let at = served.address.clone();
    let file = dir.path().join("customers.csv");
    std::fs::write(
        &file,
        "customer,name,email\n7,Ada Lovelace,ada@example.org\n8,Bob,\n",
    )
    .unwrap();
    let file = file.display().to_string();
    ok(&[
        "import",
        "customers",
        &file,
        "--source",
        "crm",
        "--server",
        &at,
    ]);
    let out = dir.path().join("person.json");
    // Whoever made the file first: it is the owner's alone afterwards.
    std::fs::write(&out, "old").unwrap();
    let shown = out.display().to_string();
    let export = [
        "privacy", "export", "crm:7", "--out", &shown, "--server", &at,
    ];
    let exported = || -> Value {
        ok(&export);
        serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()
    };
    let held = exported();
    assert_eq!(
        std::fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(held["customer_ids"].as_array().unwrap().len(), 1);
    let items = held["items"].as_array().unwrap();
    let email = items.iter().find(|item| item["path"] == "email").unwrap();
    assert_eq!(email["value"], "ada@example.org");
    assert_eq!(
        (&email["personal"], &email["service"]),
        (&Value::Bool(true), &"customer".into())
    );
    assert!(!items.iter().any(|item| item["value"] == "Bob"));
    // The files hold none of it in plain.
    served.stop();
    let bytes = std::fs::read(format!("{folder}/customer.db")).unwrap();
    let plain = b"ada@example.org";
    assert!(!bytes.windows(plain.len()).any(|part| part == plain));

    let served = Served::start(&["--data", &folder]);
    let at = served.address.clone();
    let rotated = json(&["privacy", "rotate-keys", "--json", "--server", &at]);
    assert_eq!(rotated["customer"]["key"], 2);
    assert_eq!(rotated["customer"]["resealed"], 2);
    assert_eq!(rotated["feedback"]["key"], 1, "nothing was said yet");
    let told = ok(&["privacy", "rotate-keys", "--server", &at]);
    assert!(
        told.contains("customer: key 3 in use, 2 values sealed anew"),
        "{told}"
    );
    let export = [
        "privacy", "export", "crm:7", "--out", &shown, "--server", &at,
    ];
    ok(&export);
    let again: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(again, held);
    let (_, message) = fails(&[
        "privacy", "export", "crm:9", "--out", &shown, "--server", &at,
    ]);
    assert!(message.contains("CUSTOMER_UNKNOWN"), "{message}");
    served.stop();

    // Another master key, given in the place of the one in the data folder, is refused at once.
    let other =
        "secrets.master_key=77112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let (_, message) = fails(&[
        "serve",
        "--data",
        &folder,
        "--listen",
        "127.0.0.1:0",
        "--set",
        other,
    ]);
    assert!(message.contains("secrets.master_key"), "{message}");
    // As the new one beside the former one it takes over.
    let former = format!("secrets.former_master_key_file={folder}/master-key");
    let served = Served::start(&["--data", &folder, "--set", other, "--set", &former]);
    let at = served.address.clone();
    ok(&[
        "privacy", "export", "crm:7", "--out", &shown, "--server", &at,
    ]);
    served.stop();
    let (_, message) = fails(&["serve", "--data", &folder, "--listen", "127.0.0.1:0"]);
    assert!(message.contains("secrets.master_key"), "{message}");
}

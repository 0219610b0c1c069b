//! The receipt of an erasure as a file, and `regard privacy verify-receipt`.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use regard_erasure::verify;
use regard_proto::common::v1::{Erasure, ErasurePart, ErasureState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::usage;

/// A receipt: what each service signed, and what the customer service said of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    erasure: Uuid,
    complete: bool,
    reason: String,
    pending: Vec<String>,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    service: String,
    store: String,
    erased_micros: i64,
    tables: Vec<Table>,
    algorithm: String,
    public_key: String,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    table: String,
    removed: i64,
    relabelled: i64,
    refolded: i64,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair)
            .ok()
            .filter(|text| text.len() == 2);
        u8::from_str_radix(text.unwrap_or("?"), 16)
    };
    pairs
        .map(byte)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{digits} is not hexadecimal"))
}

impl Receipt {
    /// Of an erasure as the server tells it.
    ///
    /// # Errors
    /// The server told what is no erasure.
    pub fn of(erasure: &Erasure) -> anyhow::Result<Self> {
        let part = |part: &ErasurePart| {
            let at = part.erase_time.unwrap_or_default();
            Part {
                service: part.service.clone(),
                store: part.store.clone(),
                erased_micros: at.seconds * 1_000_000 + i64::from(at.nanos / 1_000),
                tables: part
                    .tables
                    .iter()
                    .map(|t| Table {
                        table: t.table.clone(),
                        removed: t.removed,
                        relabelled: t.relabelled,
                        refolded: t.refolded,
                    })
                    .collect(),
                algorithm: part.algorithm.clone(),
                public_key: hex(&part.public_key),
                signature: hex(&part.signature),
            }
        };
        Ok(Self {
            erasure: Uuid::try_parse(&erasure.id).context("the erasure's id")?,
            complete: erasure.state() == ErasureState::Complete,
            reason: erasure.reason.clone(),
            pending: erasure.pending.clone(),
            parts: erasure.parts.iter().map(part).collect(),
        })
    }

    /// Reads a file.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no receipt", path.display()))
    }
}

impl Part {
    fn to_wire(&self) -> anyhow::Result<ErasurePart> {
        let nanos = i32::try_from(self.erased_micros.rem_euclid(1_000_000) * 1_000)?;
        Ok(ErasurePart {
            service: self.service.clone(),
            store: self.store.clone(),
            tables: self
                .tables
                .iter()
                .map(|t| regard_proto::common::v1::ErasedTable {
                    table: t.table.clone(),
                    removed: t.removed,
                    relabelled: t.relabelled,
                    refolded: t.refolded,
                })
                .collect(),
            erase_time: Some(prost_types::Timestamp {
                seconds: self.erased_micros.div_euclid(1_000_000),
                nanos,
            }),
            algorithm: self.algorithm.clone(),
            public_key: bytes(&self.public_key)?.into(),
            signature: bytes(&self.signature)?.into(),
        })
    }
}

/// Arguments of `regard privacy verify-receipt`.
#[derive(Debug, Args)]
pub struct VerifyReceipt {
    /// The receipt, as `regard privacy erase --out` wrote it.
    file: PathBuf,
    /// The public key that a service is known to have, as in an earlier receipt [default: any].
    #[arg(long = "key", value_name = "SERVICE=HEX")]
    keys: Vec<String>,
}

impl VerifyReceipt {
    /// Runs the command.
    ///
    /// # Errors
    /// The file is no receipt, was changed, is signed by another key, or lacks a service.
    pub fn run(self) -> anyhow::Result<()> {
        let mut known = Vec::new();
        for key in &self.keys {
            let (service, digits) = key
                .split_once('=')
                .ok_or_else(|| usage(format!("--key {key}: expected SERVICE=HEX")))?;
            known.push((service, digits.to_lowercase()));
        }
        let receipt = Receipt::read(&self.file)?;
        let mut out = stdout().lock();
        for part in &receipt.parts {
            let service = &part.service;
            if !verify(receipt.erasure, &part.to_wire()?) {
                bail!("the part of {service} is not as it was signed");
            }
            let other = |(of, key): &&(&str, String)| of == service && *key != part.public_key;
            if let Some((_, key)) = known.iter().find(other) {
                bail!(
                    "the part of {service} is signed by {}, not by {key}",
                    part.public_key
                );
            }
            let sum = |of: fn(&Table) -> i64| part.tables.iter().map(of).sum::<i64>();
            writeln!(
                out,
                "{service}: {} rows removed, {} re-labelled; signed by {}",
                sum(|t| t.removed),
                sum(|t| t.relabelled),
                part.public_key
            )?;
        }
        let lacks: Vec<&str> = ["customer", "feedback", "scoring"]
            .into_iter()
            .filter(|service| !receipt.parts.iter().any(|part| part.service == *service))
            .collect();
        if !lacks.is_empty() {
            bail!(
                "the receipt is sound so far, but not complete: {} had not reported",
                lacks.join(", ")
            );
        }
        writeln!(
            out,
            "the receipt of erasure {} is complete and as it was signed",
            receipt.erasure
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_erasure::{public_key, sign};
    use regard_proto::common::v1::ErasedTable;
    use regard_types::IdSecret;

    use super::*;

    fn text(services: &[&str]) -> String {
        let id = Uuid::from_u128(7);
        let part = |service: &&str| {
            let part = ErasurePart {
                service: (*service).to_owned(),
                store: "sqlite".to_owned(),
                tables: vec![ErasedTable {
                    table: "record_text".to_owned(),
                    removed: 2,
                    ..ErasedTable::default()
                }],
                erase_time: Some(prost_types::Timestamp {
                    seconds: 1_767_225_600,
                    nanos: 7_000,
                }),
                ..ErasurePart::default()
            };
            sign(&IdSecret([1; 32]), id, part).unwrap()
        };
        let erasure = Erasure {
            id: id.to_string(),
            reason: "request".to_owned(),
            parts: services.iter().map(part).collect(),
            ..Erasure::default()
        };
        serde_json::to_string_pretty(&Receipt::of(&erasure).unwrap()).unwrap()
    }

    fn check(text: &str, keys: &[String]) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let command = VerifyReceipt {
            file: file.path().to_owned(),
            keys: keys.to_vec(),
        };
        command.run().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_receipt_is_verified_and_any_change_is_found() {
        let whole = text(&["customer", "feedback", "scoring"]);
        check(&whole, &[]).unwrap();
        let key = |secret: u8| {
            let key = public_key(&IdSecret([secret; 32]), "feedback").unwrap();
            format!("feedback={}", hex(&key))
        };
        check(&whole, &[key(1)]).unwrap();
        assert!(check(&whole, &[key(2)]).unwrap_err().contains("feedback"));
        for (from, to) in [
            ("\"removed\": 2", "\"removed\": 3"),
            ("1767225600000007", "1767225600000008"),
            ("sqlite", "postgres"),
            ("\"signature\": \"", "\"signature\": \"00"),
        ] {
            let changed = whole.replacen(from, to, 1);
            assert_ne!(changed, whole);
            assert!(check(&changed, &[]).is_err(), "{from}");
        }
        let lacks = check(&text(&["customer", "scoring"]), &[]).unwrap_err();
        assert!(lacks.contains("feedback"), "{lacks}");
        assert!(check("{}", &[]).unwrap_err().contains("no receipt"));
    }
}

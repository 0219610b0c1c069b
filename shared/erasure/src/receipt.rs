//! Receipts: what a service did, signed by Ed25519 (RFC 8032). The key of a service follows from the id secret, so that a
//! receipt of years ago can still be checked, and another service of the suite knows whose it is.

use std::fmt::Write as _;

use regard_proto::common::v1::ErasurePart;
use regard_types::{Fault, IdSecret, Uuid};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// How parts are signed.
pub const ALGORITHM: &str = "Ed25519";

fn pair(secret: &IdSecret, service: &str) -> Result<Ed25519KeyPair, Fault> {
    let seed = secret.derive(b"erasure receipts", service.as_bytes());
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| Fault::bug(error.to_string()))
}

/// The public key of a service.
///
/// # Errors
/// INTERNAL if the library refuses the seed, which it never does.
pub fn public_key(secret: &IdSecret, service: &str) -> Result<Vec<u8>, Fault> {
    Ok(pair(secret, service)?.public_key().as_ref().to_vec())
}

/// What is signed, as the contract says.
#[must_use]
pub fn text(erasure: Uuid, part: &ErasurePart) -> String {
    let at = part.erase_time.unwrap_or_default();
    let micros = i128::from(at.seconds) * 1_000_000 + i128::from(at.nanos / 1_000);
    let mut text = format!(
        "regard erasure 1\n{erasure}\n{}\n{}\n{micros}\n",
        part.service, part.store
    );
    for table in &part.tables {
        let _ = writeln!(
            text,
            "{} {} {} {}",
            table.table, table.removed, table.relabelled, table.refolded
        );
    }
    text
}

/// Signs a part as its service.
///
/// # Errors
/// As [`public_key`].
pub fn sign(secret: &IdSecret, erasure: Uuid, mut part: ErasurePart) -> Result<ErasurePart, Fault> {
    let pair = pair(secret, &part.service)?;
    part.algorithm = ALGORITHM.to_owned();
    part.public_key = pair.public_key().as_ref().to_vec().into();
    let signature = pair.sign(text(erasure, &part).as_bytes());
    part.signature = signature.as_ref().to_vec().into();
    Ok(part)
}

/// Whether a part is as it was signed by the holder of its key. Whose key that is says [`public_key`], or who published it.
#[must_use]
pub fn verify(erasure: Uuid, part: &ErasurePart) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, part.public_key.as_ref());
    part.algorithm == ALGORITHM
        && key
            .verify(text(erasure, part).as_bytes(), &part.signature)
            .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_proto::common::v1::ErasedTable;

    use super::*;

    fn signed(secret: u8) -> (Uuid, ErasurePart) {
        let erasure = Uuid::from_u128(7);
        let part = ErasurePart {
            service: "feedback".to_owned(),
            store: "sqlite".to_owned(),
            tables: vec![ErasedTable {
                table: "response".to_owned(),
                removed: 1,
                relabelled: 2,
                refolded: 0,
            }],
            erase_time: Some(prost_types::Timestamp {
                seconds: 1_767_225_600,
                nanos: 5_000,
            }),
            ..ErasurePart::default()
        };
        (
            erasure,
            sign(&IdSecret([secret; 32]), erasure, part).unwrap(),
        )
    }

    fn other(bytes: &[u8]) -> prost::bytes::Bytes {
        let mut bytes = bytes.to_vec();
        bytes[0] ^= 1;
        bytes.into()
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let (erasure, part) = signed(1);
        assert!(verify(erasure, &part));
        assert_eq!(
            text(erasure, &part),
            format!(
                "regard erasure 1\n{erasure}\nfeedback\nsqlite\n1767225600000005\nresponse 1 2 0\n"
            )
        );
        assert!(!verify(Uuid::from_u128(8), &part));
        let changes: [fn(&mut ErasurePart); 6] = [
            |p| p.service = "scoring".to_owned(),
            |p| p.store = "postgres".to_owned(),
            |p| p.tables[0].removed = 2,
            |p| p.erase_time.as_mut().unwrap().nanos += 1_000,
            |p| p.public_key = other(&p.public_key),
            |p| p.signature = other(&p.signature),
        ];
        for change in changes {
            let mut changed = part.clone();
            change(&mut changed);
            assert!(!verify(erasure, &changed), "{changed:?}");
        }
    }

    #[test]
    fn each_service_of_each_suite_has_its_key() {
        let key = |secret: u8, service| public_key(&IdSecret([secret; 32]), service).unwrap();
        assert_eq!(key(1, "feedback"), signed(1).1.public_key);
        assert_ne!(key(1, "feedback"), key(1, "scoring"));
        assert_ne!(key(1, "feedback"), key(2, "feedback"));
    }
}

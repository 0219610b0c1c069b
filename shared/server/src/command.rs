//! A mutating request as the database sees it: which call, which repeat, which content.

use prost::encoding::{DecodeContext, decode_key, skip_field};
use regard_proto::Mutation;
use sha2::{Digest as _, Sha256};

use regard_database::Command;

/// Numbers of the fields `request_id` and `validate_only` in every request that has them.
const REQUEST_ID: u32 = 14;
const VALIDATE_ONLY: u32 = 15;

/// The command of a request: its id and the SHA-256 of everything else in it but whether it is only checked, so that a
/// check with the id of an earlier call is answered as a repeat is. Equal messages have equal digests: the
/// encoding is canonical, since maps are ordered and unknown fields are dropped.
#[must_use]
pub fn command<'a, M: Mutation>(request: &'a M, method: &'static str) -> Command<'a> {
    Command {
        method,
        request_id: request.request_id(),
        digest: if request.request_id().is_empty() {
            [0; 32] // nothing will be compared with it
        } else {
            digest(&request.encode_to_vec(), &[REQUEST_ID, VALIDATE_ONLY])
        },
        validate_only: request.validate_only(),
    }
}

/// SHA-256 of an encoded message without some of its own fields.
pub(crate) fn digest(message: &[u8], without: &[u32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let Ok((number, wire)) = decode_key(&mut rest) else {
            break;
        };
        if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
        if !without.contains(&number) {
            hash.update(start.get(..start.len() - rest.len()).unwrap_or_default());
        }
    }
    hash.finalize().into()
}

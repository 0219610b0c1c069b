//! Bytes and values that nobody would send on purpose.

use proptest::prelude::*;
use prost::Message;

use crate::codec;
use crate::customer::v1 as customer;
use crate::error::{ErrorDetail as _, MAX_MESSAGE};
use crate::feedback::v1 as feedback;
use crate::rules::regard::testing::v1 as rules;
use crate::scoring::v1 as scoring;
use crate::validate::{MAX_VIOLATIONS, Validate};

/// Decoding answers with a message that holds to its rules, or with a small INVALID_ARGUMENT.
fn survives<M: Message + Default + Validate>(bytes: &[u8]) {
    match codec::decode::<M>(bytes) {
        Ok(message) => assert!(M::RESPONSE || message.validate().is_ok()),
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().len() <= MAX_MESSAGE);
            assert!(
                status.details().len() < 8 * 1024,
                "{} bytes of details",
                status.details().len()
            );
        }
    }
}

fn all(bytes: &[u8]) {
    survives::<rules::Texts>(bytes);
    survives::<rules::Numbers>(bytes);
    survives::<rules::Shades>(bytes);
    survives::<rules::Blobs>(bytes);
    survives::<rules::Lists>(bytes);
    survives::<rules::Times>(bytes);
    survives::<rules::Choices>(bytes);
    survives::<rules::Pick>(bytes);
    survives::<rules::Tree>(bytes);
    survives::<customer::CreateCustomerRequest>(bytes);
    survives::<customer::RecordOrderRequest>(bytes);
    survives::<customer::OrderRow>(bytes);
    survives::<customer::IngestOrdersRequest>(bytes);
    survives::<customer::WatchChangesRequest>(bytes);
    survives::<feedback::RecordResponseRequest>(bytes);
    survives::<feedback::CreateSurveyRequest>(bytes);
    survives::<scoring::QueryMetricRequest>(bytes);
    survives::<scoring::ListScoresRequest>(bytes);
}

/// Bytes that often are a message: fields of any number and type, some of them messages themselves.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (
        1_u32..22,
        0_u8..4,
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..24),
    )
        .prop_map(|(number, kind, value, bytes)| {
            let mut out = Vec::new();
            let (wire, payload) = match kind {
                0 => (0, varint(value)),
                1 => (1, value.to_le_bytes().to_vec()),
                2 => (2, [varint(bytes.len() as u64), bytes].concat()),
                _ => (5, value.to_le_bytes()[..4].to_vec()),
            };
            out.extend(varint(u64::from(number << 3 | wire)));
            out.extend(payload);
            out
        });
    leaf.prop_recursive(4, 64, 8, |inner| {
        (1_u32..22, prop::collection::vec(inner, 0..8)).prop_map(|(number, parts)| {
            let body = parts.concat();
            [
                varint(u64::from(number << 3 | 2)),
                varint(body.len() as u64),
                body,
            ]
            .concat()
        })
    })
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        all(&bytes);
    }

    #[test]
    fn random_fields_never_panic(parts in prop::collection::vec(fields(), 0..12)) {
        all(&parts.concat());
    }

    #[test]
    fn random_dates_never_panic(year: i32, month: i32, day: i32) {
        let date = crate::google::r#type::Date { year, month, day };
        let _ = date.validate();
    }
}

#[test]
fn a_status_stays_small_under_the_longest_paths() {
    let mut tree = rules::Tree {
        leaf: Some(rules::tree::Leaf { size: 0 }),
        ..Default::default()
    };
    for _ in 0..90 {
        tree = rules::Tree {
            children: vec![tree.clone(), tree.clone()]
                .into_iter()
                .take(1)
                .collect(),
            ..Default::default()
        };
    }
    let wide = rules::Tree {
        children: vec![tree; 200],
        ..Default::default()
    };
    let status = codec::decode::<rules::Tree>(&wide.encode_to_vec()[..]).unwrap_err();
    assert!(status.message().len() <= MAX_MESSAGE);
    assert!(
        status.details().len() < 8 * 1024,
        "{} bytes of details",
        status.details().len()
    );
    assert_eq!(status.bad_fields().len(), MAX_VIOLATIONS);
}

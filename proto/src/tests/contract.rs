//! What the descriptors say, as the crate gives it.

use std::collections::HashSet;

use prost::Message as _;

use crate::common::v1::ErrorReason;
use crate::{FILE_DESCRIPTOR_SET, METHODS, method, method_permission, personal_fields};

#[test]
fn every_rpc_is_listed_with_its_permission() {
    let paths = METHODS
        .iter()
        .map(|method| method.path)
        .collect::<HashSet<_>>();
    assert_eq!(paths.len(), METHODS.len());
    for one in METHODS {
        assert_eq!(method(one.path), Some(one));
        assert!(!one.permission.is_empty());
        assert!(one.path.starts_with(&format!("/{}/", one.service)));
    }
    assert!(method_permission("/regard.customer.v1.OrderService/RecordOrder").is_some());
    assert_eq!(
        method_permission("/regard.customer.v1.OrderService/Nothing"),
        None
    );
    assert_eq!(method_permission(""), None);
}

#[test]
fn mutating_unary_calls_carry_a_request_id() {
    let record = method("/regard.customer.v1.OrderService/RecordOrder").unwrap();
    assert!(record.request_id && !record.client_streaming && !record.server_streaming);
    let ingest = method("/regard.customer.v1.OrderService/IngestOrders").unwrap();
    assert!(ingest.client_streaming && ingest.server_streaming && !ingest.request_id);
    for one in METHODS {
        let verb = one.path.rsplit('/').next().unwrap();
        // Ingested rows name themselves, so repeating them changes nothing.
        let reads = [
            "Get", "BatchGet", "List", "Watch", "Snapshot", "Ingest", "Explain", "Query", "Wait",
            "Export", "Verify",
        ];
        assert!(
            one.request_id || reads.iter().any(|read| verb.starts_with(read)),
            "{} changes something and has no request_id",
            one.path
        );
    }
}

#[test]
fn personal_fields_are_listed() {
    assert!(
        personal_fields()
            .iter()
            .any(|field| field.message == "regard.customer.v1.Customer")
    );
    assert!(
        personal_fields()
            .iter()
            .all(|field| field.number > 0 && !field.field.is_empty())
    );
}

#[test]
fn the_descriptors_are_whole() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let names = set
        .file
        .iter()
        .map(|file| file.name().to_owned())
        .collect::<HashSet<_>>();
    for file in &set.file {
        for import in &file.dependency {
            assert!(names.contains(import), "{import} is missing");
        }
    }
    assert!(names.contains("regard/common/v1/options.proto"));
}

#[test]
fn reasons_have_no_prefix_on_the_wire() {
    assert_eq!(ErrorReason::FieldInvalid.reason(), "FIELD_INVALID");
    assert_eq!(
        ErrorReason::from_reason("ETAG_MISMATCH"),
        Some(ErrorReason::EtagMismatch)
    );
    assert_eq!(ErrorReason::from_reason("SOMETHING_NEWER"), None);
}

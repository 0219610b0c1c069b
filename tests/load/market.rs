//! Orders to send: the same for every row, made from a counter.

use anyhow::bail;
use bytes::Bytes;
use prost::Message;
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as pb;
use regard_types::ChangeToken;

use crate::serve::Serve;

/// Rows of a full batch.
pub const BATCH: usize = 5_000;
/// The stream of orders.
pub const INGEST: &str = "/regard.customer.v1.OrderService/IngestOrders";
/// 2024-01-01T00:00:00Z.
const FROM: i64 = 1_704_067_200;
const TWO_YEARS: u64 = 2 * 365 * 86_400;

/// A source key.
pub fn key(external_id: String) -> common::SourceKey {
    common::SourceKey {
        source: "shop".to_owned(),
        external_id,
    }
}

/// Names the customer of this number.
pub fn customer(number: u64) -> common::CustomerRef {
    common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Key(key(format!(
            "customer-{number:07}"
        )))),
    }
}

/// The order of this number in a series; one of `customers` bought: drawn, or `everyone` in turn.
pub fn order(series: &str, number: u64, customers: u64, everyone: bool) -> pb::Order {
    let drawn = mix(number.wrapping_add(series.len() as u64 * 0x1000_0001));
    pb::Order {
        key: Some(key(format!("{series}-{number:08}"))),
        customer: Some(customer(if everyone { number } else { drawn } % customers)),
        order_time: Some(prost_types::Timestamp {
            seconds: FROM + (mix(drawn) % TWO_YEARS).cast_signed(),
            nanos: 0,
        }),
        gross: Some(regard_proto::types::Money {
            currency_code: "USD".to_owned(),
            units: (drawn % 200).cast_signed() + 5,
            nanos: 990_000_000,
        }),
        units: 1,
        channel: common::Channel::Website.into(),
        ..pb::Order::default()
    }
}

/// Scrambles a counter (SplitMix64's finish).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Encoded batches of a series; with `create_missing` every customer comes to be.
pub fn batches(series: &str, rows: usize, customers: u64, create_missing: bool) -> Vec<Bytes> {
    let numbers: Vec<u64> = (0..rows as u64).collect();
    numbers
        .chunks(BATCH)
        .map(|chunk| {
            let rows = chunk.iter().map(|number| pb::OrderRow {
                order: Some(order(series, *number, customers, create_missing)),
                revision: 0,
            });
            let request = pb::IngestOrdersRequest {
                rows: rows.collect(),
                create_missing,
                validate_only: false,
            };
            Bytes::from(request.encode_to_vec())
        })
        .collect()
}

/// Sends batches; every row must be accepted. Gives the token of the whole.
///
/// # Errors
/// A rejected row, or the stream's status.
pub fn ingest(serve: &Serve, batches: Vec<Bytes>, rows: usize) -> anyhow::Result<ChangeToken> {
    let mut token = ChangeToken::default();
    let mut accepted = 0;
    for answer in serve.stream(INGEST, batches)? {
        let Some(result) = pb::IngestOrdersResponse::decode(answer)?.result else {
            bail!("an answer without a result");
        };
        if let Some(rejected) = result.rejected.first() {
            bail!("a row was rejected: {rejected:?}");
        }
        accepted += result.accepted as usize;
        if !result.change_token.is_empty() {
            token.merge(&ChangeToken::decode(&result.change_token)?);
        }
    }
    if accepted != rows {
        bail!("{accepted} of {rows} rows were accepted");
    }
    Ok(token)
}

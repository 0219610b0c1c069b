//! Checkpoints: the vector of applied positions at a time, so that "known at" has one answer.

use prost::Message as _;
use regard_types::Fault;

use super::store;
use crate::core::Core;

/// A year of minutes.
const KEPT: i64 = 366 * 24 * 3_600 * 1_000_000;

#[derive(Clone, PartialEq, prost::Message)]
struct Positions {
    #[prost(message, repeated, tag = "1")]
    lanes: Vec<LanePosition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LanePosition {
    #[prost(uint32, tag = "1")]
    feed: u32,
    #[prost(fixed64, tag = "2")]
    epoch: u64,
    #[prost(uint32, tag = "3")]
    lane: u32,
    #[prost(uint64, tag = "4")]
    position: u64,
}

/// Notes the applied positions; twice within a minute is once.
///
/// # Errors
/// What the engine answers.
pub async fn checkpoint(core: &Core) -> Result<(), Fault> {
    let tx = core.db.system().await?;
    let now = tx.now().0;
    let vector = store::vector(&tx).await?;
    let lanes = vector
        .marks()
        .iter()
        .map(|m| LanePosition {
            feed: u32::from(m.feed),
            epoch: m.epoch,
            lane: u32::from(m.lane),
            position: m.position,
        })
        .collect();
    let minute = now - now.rem_euclid(60_000_000);
    let positions = Positions { lanes }.encode_to_vec();
    store::checkpoint(&tx, minute, positions, now - KEPT).await?;
    tx.commit().await?;
    Ok(())
}

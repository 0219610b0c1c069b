//! Erasures on the wire.

use regard_proto::common::v1 as common;
use regard_server::wire;
use regard_types::Fault;

use super::domain::{Erasure, State};

/// An erasure with its receipt.
pub fn to_wire(erasure: &Erasure) -> common::Erasure {
    let state = match erasure.state() {
        State::Running => common::ErasureState::Running,
        State::Complete => common::ErasureState::Complete,
    };
    common::Erasure {
        id: erasure.id.to_string(),
        state: state.into(),
        reason: erasure.reason.clone(),
        parts: erasure.parts.clone(),
        pending: erasure.pending().map(str::to_owned).collect(),
        create_time: Some(wire::timestamp(erasure.created)),
        complete_time: erasure.completed.map(wire::timestamp),
    }
}

/// The state that a list asks for.
///
/// # Errors
/// `FIELD_INVALID` for a number that stands for none.
pub fn state(number: i32) -> Result<Option<State>, Fault> {
    match common::ErasureState::try_from(number) {
        Ok(common::ErasureState::Unspecified) => Ok(None),
        Ok(common::ErasureState::Running) => Ok(Some(State::Running)),
        Ok(common::ErasureState::Complete) => Ok(Some(State::Complete)),
        Err(_) => Err(Fault::invalid("state", "must be a declared state")),
    }
}

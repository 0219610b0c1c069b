//! What the change services of the suite have in common on the wire: cursors, headers, resume tokens, who sees what.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regard_database::feed::{ChangeRow, Cursor};
use regard_proto::common::v1 as common;
use regard_types::{Caller, Fault, TenantId, Uuid};

/// Whose changes a caller sees: its tenant's, or, for a service of the suite, all.
#[must_use]
pub fn seen(caller: &Caller) -> Option<TenantId> {
    (!caller.all_tenants).then_some(caller.tenant)
}

/// The epoch that a reader names; none where it names none.
///
/// # Errors
/// `FIELD_INVALID` for a text that is no UUID.
pub fn epoch(text: &str) -> Result<Option<Uuid>, Fault> {
    match text {
        "" => Ok(None),
        text => Uuid::try_parse(text)
            .map(Some)
            .map_err(|_| Fault::invalid("epoch", "must be a UUID")),
    }
}

/// The places that a reader names.
///
/// # Errors
/// `FIELD_INVALID` for a lane that no feed can have.
pub fn cursors(cursors: &[common::FeedCursor]) -> Result<Vec<Cursor>, Fault> {
    let cursor = |(index, cursor): (usize, &common::FeedCursor)| {
        let lane = u16::try_from(cursor.lane);
        Ok(Cursor {
            lane: lane.map_err(|_| {
                Fault::invalid(format!("cursors[{index}].lane"), "must be at most 65535")
            })?,
            position: cursor.position,
            nonce: cursor.nonce,
        })
    };
    cursors.iter().enumerate().map(cursor).collect()
}

/// A place on the wire.
#[must_use]
pub fn to_cursor(cursor: &Cursor) -> common::FeedCursor {
    common::FeedCursor {
        lane: u32::from(cursor.lane),
        position: cursor.position,
        nonce: cursor.nonce,
    }
}

/// What is the same for a change of any kind.
#[must_use]
pub fn to_header(row: &ChangeRow) -> common::ChangeHeader {
    common::ChangeHeader {
        lane: u32::from(row.lane),
        position: row.position,
        tenant_id: row.tenant.to_string(),
        record_id: row.record.to_string(),
        version: row.version,
        customer_id: row.customer.map(|id| id.to_string()).unwrap_or_default(),
        occurred_micros: row.occurred_at.0,
        recorded_micros: row.recorded_at.0,
        traceparent: row.trace.map(|trace| trace.to_string()).unwrap_or_default(),
    }
}

/// Where a snapshot goes on; none at its beginning.
///
/// # Errors
/// `TOKEN_INVALID` for a text that is no resume token.
pub fn resume(token: &str) -> Result<Option<Vec<u8>>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD.decode(token).map(Some).map_err(|_| {
        Fault::invalid(
            "resume_token",
            "must be a token exactly as a response gave it, or none to begin",
        )
        .with_reason("TOKEN_INVALID")
        .meta("field", "resume_token")
    })
}

/// The resume token of a place in a snapshot.
#[must_use]
pub fn to_resume(place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

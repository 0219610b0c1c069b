//! How a change of another service becomes events.

use regard_erasure::of_wire;
use regard_proto::common::v1::{ErasureMeasures, Relabel};
use regard_proto::{customer::v1 as customer, feedback::v1 as feedback};
use regard_types::{Channel, CustomerId, Micros, RecordId, Uuid};

use super::domain::{Event, Kind, pack_scale};
use crate::erasure::Erased;

/// A change that cannot be read: a fault of the service that sent it.
#[derive(Debug, thiserror::Error)]
#[error("change of record {record} cannot be read: {what}")]
pub struct BadChange {
    /// The record.
    pub record: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A tenant as its change tells it.
pub type TenantChange = customer::TenantMeasures;

/// What a change of the customer service means to scoring.
pub enum Told {
    /// Events of one record's version.
    Events(Vec<Event>),
    /// A tenant's settings, with their version.
    Tenant(TenantChange, i64),
    /// Ids that were replaced.
    Erased(Erased),
    /// Nothing that scoring keeps.
    Nothing,
}

/// The tenant, and an event with what the header says.
fn header(
    header: Option<regard_proto::common::v1::ChangeHeader>,
) -> Result<(Uuid, Event), BadChange> {
    let Some(h) = header else {
        return Err(BadChange {
            record: String::new(),
            what: "no header",
        });
    };
    let bad = |what| BadChange {
        record: h.record_id.clone(),
        what,
    };
    let tenant = Uuid::try_parse(&h.tenant_id).map_err(|_| bad("tenant id"))?;
    let record = Uuid::try_parse(&h.record_id).map_err(|_| bad("record id"))?;
    let has_customer = !h.customer_id.is_empty();
    let customer = if has_customer {
        Uuid::try_parse(&h.customer_id).map_err(|_| bad("customer id"))?
    } else {
        record
    };
    let event = Event {
        customer: CustomerId(customer),
        kind: Kind::Customer,
        record: RecordId(record),
        version: h.version,
        part: 0,
        lane: u16::try_from(h.lane).map_err(|_| bad("lane"))?,
        position: h.position,
        occurred: Micros(h.occurred_micros),
        recorded: Micros(h.recorded_micros),
        live: true,
        anonymous: !has_customer,
        value: 0,
        aux: 0,
        link: None,
        metric: String::new(),
        dimension: String::new(),
        question: String::new(),
        channel: None,
    };
    Ok((tenant, event))
}

/// Reads a change of the customer service: its tenant, and what it means.
///
/// # Errors
/// [`BadChange`] if ids are no UUIDs or measures are missing.
pub fn decode_customer(change: customer::Change) -> Result<(Uuid, Told), BadChange> {
    use customer::measures::Record;
    let (tenant, event) = header(change.header)?;
    let missing = || BadChange {
        record: event.record.to_string(),
        what: "no measures",
    };
    let record = change.measures.and_then(|m| m.record).ok_or_else(missing)?;
    let event = match record {
        Record::Customer(m) => Event {
            kind: Kind::Customer,
            customer: CustomerId(event.record.0),
            anonymous: false,
            value: i64::from(m.organisation),
            aux: m.since_day.map_or(Event::NONE, i64::from),
            ..event
        },
        Record::Order(m) => Event {
            kind: Kind::Order,
            live: !m.voided,
            value: m.gross_minor,
            aux: m.units,
            channel: channel(m.channel),
            ..event
        },
        Record::Refund(m) => Event {
            kind: Kind::Refund,
            value: m.amount_minor,
            link: if m.order_id.is_empty() {
                None
            } else {
                Some(Uuid::try_parse(&m.order_id).map_err(|_| BadChange {
                    record: event.record.to_string(),
                    what: "order id",
                })?)
            },
            ..event
        },
        Record::Merge(m) => Event {
            kind: Kind::Merge,
            live: !m.ended,
            link: Some(Uuid::try_parse(&m.into_id).map_err(|_| BadChange {
                record: event.record.to_string(),
                what: "merge target",
            })?),
            ..event
        },
        Record::Tenant(m) => return Ok((tenant, Told::Tenant(m, event.version))),
        Record::Erasure(m) => return Ok((tenant, erased(&event, m)?)),
    };
    Ok((tenant, Told::Events(vec![event])))
}

/// Reads a change of the feedback service: its tenant, and what it means.
///
/// # Errors
/// [`BadChange`] if ids are no UUIDs or measures are missing.
pub fn decode_feedback(change: feedback::Change) -> Result<(Uuid, Told), BadChange> {
    use feedback::measures::Record;
    let (tenant, event) = header(change.header)?;
    let missing = || BadChange {
        record: event.record.to_string(),
        what: "no measures",
    };
    let record = change.measures.and_then(|m| m.record).ok_or_else(missing)?;
    let events = match record {
        Record::Survey(_) => return Ok((tenant, Told::Nothing)),
        Record::Erasure(m) => return Ok((tenant, erased(&event, m)?)),
        Record::Response(m) => answers(&event, m)?,
        Record::Complaint(m) => vec![Event {
            kind: Kind::Complaint,
            value: i64::from(m.severity),
            aux: m.resolved_micros.unwrap_or(Event::NONE),
            metric: m.reason,
            channel: channel(m.channel),
            ..event
        }],
        Record::FeedbackItem(m) => vec![Event {
            kind: Kind::Item,
            value: m.rating.map_or(Event::NONE, i64::from),
            metric: m.kind,
            channel: channel(m.channel),
            ..event
        }],
    };
    Ok((tenant, Told::Events(events)))
}

fn erased(event: &Event, m: ErasureMeasures) -> Result<Told, BadChange> {
    let pairs = |pairs: &[Relabel]| {
        of_wire(pairs).map_err(|_| BadChange {
            record: event.record.to_string(),
            what: "an id that was replaced",
        })
    };
    Ok(Told::Erased(Erased {
        erasure: event.record.0,
        last: m.part == m.parts,
        customers: pairs(&m.customers)?,
        records: pairs(&m.records)?,
        heads: m.heads,
    }))
}

fn answers(base: &Event, m: feedback::ResponseMeasures) -> Result<Vec<Event>, BadChange> {
    let survey = Uuid::try_parse(&m.survey_id).map_err(|_| BadChange {
        record: base.record.to_string(),
        what: "survey id",
    })?;
    let base = Event {
        kind: Kind::Answer,
        link: Some(survey),
        channel: channel(m.channel),
        ..base.clone()
    };
    if m.answers.is_empty() {
        // A version without numbers still replaces the one before it.
        return Ok(vec![Event {
            live: false,
            ..base
        }]);
    }
    let one = |(part, a): (i32, feedback::AnswerMeasures)| Event {
        part,
        value: i64::from(a.value),
        aux: pack_scale(a.scale_min, a.scale_max),
        metric: a.metric,
        dimension: a.dimension,
        question: a.question,
        ..base.clone()
    };
    Ok((0..).zip(m.answers).map(one).collect())
}

/// The channel of a wire number; none if it is not stated or newer than this program.
#[must_use]
pub fn channel(number: i32) -> Option<Channel> {
    regard_server::wire::channel("channel", number)
        .ok()
        .flatten()
}

//! What an event is.

use regard_types::{Channel, CustomerId, Micros, RecordId, Uuid};

/// What an event measures; stored as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The customer was recorded. `value`: 1 for an organisation; `aux`: day of becoming a customer, or [`Event::NONE`].
    Customer = 1,
    /// An order. `value`: gross in minor units; `aux`: units.
    Order = 2,
    /// A refund. `value`: amount in minor units; `link`: the order.
    Refund = 3,
    /// A merge edge. `link`: the customer that this one is part of; not live once undone.
    Merge = 4,
    /// A numeric answer. `value`; `aux`: lowest and highest of the scale, packed; `link`: the survey.
    Answer = 5,
    /// A complaint. `value`: severity; `aux`: when it was resolved in microseconds, or [`Event::NONE`].
    Complaint = 6,
    /// A feedback item. `value`: rating, or [`Event::NONE`].
    Item = 7,
}

impl Kind {
    /// The number in the store.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// From the number in the store.
    #[must_use]
    pub const fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Customer,
            2 => Self::Order,
            3 => Self::Refund,
            4 => Self::Merge,
            5 => Self::Answer,
            6 => Self::Complaint,
            7 => Self::Item,
            _ => return None,
        })
    }
}

/// One measured thing. A record of several measures (a response) is several events, told apart by `part`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The customer as first written with the record; an anonymous answer has its record's id here.
    pub customer: CustomerId,
    /// What it measures.
    pub kind: Kind,
    /// The record that it was read from.
    pub record: RecordId,
    /// The record's version; a higher one replaces all parts of a lower one.
    pub version: i64,
    /// The measure's number within its record, from 0.
    pub part: i32,
    /// The lane that it came by.
    pub lane: u16,
    /// Its position in the lane.
    pub position: u64,
    /// When it happened.
    pub occurred: Micros,
    /// When the owning service recorded it.
    pub recorded: Micros,
    /// False if this version says that the thing does not count (voided, undone, no answer left).
    pub live: bool,
    /// No customer of ours: counts in metrics, never in a customer's summary.
    pub anonymous: bool,
    /// See [`Kind`].
    pub value: i64,
    /// See [`Kind`].
    pub aux: i64,
    /// See [`Kind`].
    pub link: Option<Uuid>,
    /// The metric of an answer, the reason of a complaint, the kind of an item.
    pub metric: String,
    /// The dimension of an answer.
    pub dimension: String,
    /// The question's code of an answer.
    pub question: String,
    /// How it reached us.
    pub channel: Option<Channel>,
}

impl Event {
    /// No value, in an integer column.
    pub const NONE: i64 = i64::MIN;

    /// The scale of an answer.
    #[must_use]
    pub fn scale(&self) -> (i32, i32) {
        unpack_scale(self.aux)
    }
}

/// Two 32-bit numbers in one column.
#[must_use]
pub fn pack_scale(min: i32, max: i32) -> i64 {
    (i64::from(min) << 32) | i64::from(max.cast_unsigned())
}

/// What [`pack_scale`] packed.
#[must_use]
pub fn unpack_scale(packed: i64) -> (i32, i32) {
    let low = i32::try_from(packed & 0xffff_ffff).unwrap_or(i32::MAX);
    (i32::try_from(packed >> 32).unwrap_or(0), low)
}

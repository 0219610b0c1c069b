//! Values between the contract and the house: times, days, money, names, channels, etags, masks. What the codec has
//! checked already is still converted with a check, never with a guess.

use prost_types::{FieldMask, Timestamp};
use regard_proto::common::v1 as common;
use regard_proto::google::r#type as google;
use regard_types::{
    Channel, Currency, CustomerId, Day, Fault, IdKey, Kind, Micros, Money, RecordId, SourceKey,
    Uuid,
};
use sha2::{Digest as _, Sha256};

/// A field that must be there.
///
/// # Errors
/// `FIELD_INVALID` naming the field.
pub fn required<'a, T>(field: &str, value: Option<&'a T>) -> Result<&'a T, Fault> {
    value.ok_or_else(|| Fault::invalid(field, "is required"))
}

/// Microseconds of a timestamp; finer parts are cut.
///
/// # Errors
/// `FIELD_INVALID` naming the field, if it is no valid time.
pub fn micros(field: &str, at: &Timestamp) -> Result<Micros, Fault> {
    Micros::from_seconds(at.seconds, at.nanos)
        .ok_or_else(|| Fault::invalid(field, "must be a valid time with nanos of 0 to 999,999,999"))
}

/// The timestamp of an instant.
#[must_use]
pub fn timestamp(at: Micros) -> Timestamp {
    let (seconds, nanos) = at.seconds();
    Timestamp { seconds, nanos }
}

/// The day of a whole date.
///
/// # Errors
/// `FIELD_INVALID` naming the field, if the calendar has no such day.
pub fn day(field: &str, date: &google::Date) -> Result<Day, Fault> {
    let part = |number: i32| u32::try_from(number).unwrap_or(0);
    Day::from_ymd(date.year, part(date.month), part(date.day)).ok_or_else(|| {
        Fault::invalid(
            field,
            "must be a day of the calendar with year, month and day",
        )
    })
}

/// The date of a day.
#[must_use]
pub fn date(day: Day) -> google::Date {
    let (year, month, day) = day.date();
    let part = |number: u32| i32::try_from(number).unwrap_or(0);
    google::Date {
        year,
        month: part(month),
        day: part(day),
    }
}

/// An amount in minor units.
///
/// # Errors
/// `FIELD_INVALID` naming the field, if the currency is unknown, the amount finer than its minor unit or too large.
pub fn money(field: &str, money: &google::Money) -> Result<Money, Fault> {
    let currency = Currency::parse(&money.currency_code)
        .map_err(|error| Fault::invalid(format!("{field}.currency_code"), error.to_string()))?;
    Money::from_units(money.units, money.nanos, currency)
        .map_err(|error| Fault::invalid(field, error.to_string()))
}

/// As [`money`], refusing any other currency than the expected one.
///
/// # Errors
/// As [`money`]; `CURRENCY_MISMATCH` with `expected` and `found`.
pub fn money_in(field: &str, wire: &google::Money, expected: Currency) -> Result<Money, Fault> {
    let amount = money(field, wire)?;
    if amount.currency == expected {
        return Ok(amount);
    }
    let fault = Fault::new(
        Kind::Invalid,
        "CURRENCY_MISMATCH",
        format!("amounts here are in {expected}"),
    );
    let fault = fault
        .meta("expected", expected)
        .meta("found", amount.currency);
    Err(fault.and_invalid(
        format!("{field}.currency_code"),
        format!("must be {expected}; convert before sending"),
    ))
}

/// The amount on the wire.
#[must_use]
pub fn to_money(money: Money) -> google::Money {
    let (units, nanos) = money.units();
    google::Money {
        currency_code: money.currency.as_str().to_owned(),
        units,
        nanos,
    }
}

/// A source key.
#[must_use]
pub fn source_key(key: &common::SourceKey) -> SourceKey {
    SourceKey::new(key.source.as_str(), key.external_id.as_str())
}

/// A source key on the wire.
#[must_use]
pub fn to_source_key(key: &SourceKey) -> common::SourceKey {
    common::SourceKey {
        source: key.source.clone(),
        external_id: key.external_id.clone(),
    }
}

/// How a request names a record: by our id or by its source key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// By id.
    Id(Uuid),
    /// By source key.
    Key(SourceKey),
}

impl Named {
    /// A customer that must be named.
    ///
    /// # Errors
    /// `FIELD_INVALID` naming the field, if it is absent or its id is no UUID.
    pub fn customer(field: &str, reference: Option<&common::CustomerRef>) -> Result<Self, Fault> {
        match required(field, reference)?.customer.as_ref() {
            Some(common::customer_ref::Customer::Id(id)) => Self::id(field, id),
            Some(common::customer_ref::Customer::Key(key)) => Ok(Self::Key(source_key(key))),
            None => Err(Fault::invalid(field, "must have an id or a key")),
        }
    }

    /// A customer that may be absent: an anonymous record.
    ///
    /// # Errors
    /// As [`Named::customer`] where it is present.
    pub fn customer_if_any(
        field: &str,
        reference: Option<&common::CustomerRef>,
    ) -> Result<Option<Self>, Fault> {
        reference
            .map(|reference| Self::customer(field, Some(reference)))
            .transpose()
    }

    /// A record that must be named.
    ///
    /// # Errors
    /// As [`Named::customer`].
    pub fn record(field: &str, reference: Option<&common::RecordRef>) -> Result<Self, Fault> {
        match required(field, reference)?.record.as_ref() {
            Some(common::record_ref::Record::Id(id)) => Self::id(field, id),
            Some(common::record_ref::Record::Key(key)) => Ok(Self::Key(source_key(key))),
            None => Err(Fault::invalid(field, "must have an id or a key")),
        }
    }

    fn id(field: &str, text: &str) -> Result<Self, Fault> {
        Uuid::try_parse(text)
            .map(Self::Id)
            .map_err(|_| Fault::invalid(format!("{field}.id"), "must be a UUID"))
    }

    /// The customer's id: as given, or derived from the key.
    #[must_use]
    pub fn customer_id(&self, ids: &IdKey) -> CustomerId {
        CustomerId(self.uuid("customer", ids))
    }

    /// The record's id: as given, or derived from kind and key.
    #[must_use]
    pub fn record_id(&self, kind: &str, ids: &IdKey) -> RecordId {
        RecordId(self.uuid(kind, ids))
    }

    fn uuid(&self, kind: &str, ids: &IdKey) -> Uuid {
        match self {
            Self::Id(id) => *id,
            Self::Key(key) => ids.id(kind, key),
        }
    }

    /// The source key, where it was named by one.
    #[must_use]
    pub fn key(&self) -> Option<&SourceKey> {
        match self {
            Self::Id(_) => None,
            Self::Key(key) => Some(key),
        }
    }
}

/// The channel of a wire number; none for unspecified.
///
/// # Errors
/// `FIELD_INVALID` naming the field, for a number that is not declared.
pub fn channel(field: &str, number: i32) -> Result<Option<Channel>, Fault> {
    let wire = common::Channel::try_from(number)
        .map_err(|_| Fault::invalid(field, "must be a declared channel"))?;
    Ok(match wire {
        common::Channel::Unspecified => None,
        common::Channel::WebSurvey => Some(Channel::WebSurvey),
        common::Channel::Email => Some(Channel::Email),
        common::Channel::Phone => Some(Channel::Phone),
        common::Channel::InPerson => Some(Channel::InPerson),
        common::Channel::Social => Some(Channel::Social),
        common::Channel::Website => Some(Channel::Website),
        common::Channel::Wechat => Some(Channel::Wechat),
        common::Channel::CallCentre => Some(Channel::CallCentre),
        common::Channel::LiveChat => Some(Channel::LiveChat),
        common::Channel::Bot => Some(Channel::Bot),
        common::Channel::Community => Some(Channel::Community),
        common::Channel::Store => Some(Channel::Store),
        common::Channel::App => Some(Channel::App),
        common::Channel::Other => Some(Channel::Other),
    })
}

/// The wire number of a channel.
#[must_use]
pub fn to_channel(channel: Option<Channel>) -> i32 {
    let wire = match channel {
        None => common::Channel::Unspecified,
        Some(Channel::WebSurvey) => common::Channel::WebSurvey,
        Some(Channel::Email) => common::Channel::Email,
        Some(Channel::Phone) => common::Channel::Phone,
        Some(Channel::InPerson) => common::Channel::InPerson,
        Some(Channel::Social) => common::Channel::Social,
        Some(Channel::Website) => common::Channel::Website,
        Some(Channel::Wechat) => common::Channel::Wechat,
        Some(Channel::CallCentre) => common::Channel::CallCentre,
        Some(Channel::LiveChat) => common::Channel::LiveChat,
        Some(Channel::Bot) => common::Channel::Bot,
        Some(Channel::Community) => common::Channel::Community,
        Some(Channel::Store) => common::Channel::Store,
        Some(Channel::App) => common::Channel::App,
        Some(Channel::Other) => common::Channel::Other,
    };
    i32::from(wire)
}

/// The etag of one version of one record: short, opaque, the same in every process.
#[must_use]
pub fn etag(kind: &str, id: Uuid, version: i64) -> String {
    use base64::Engine as _;
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    hash.update([0]);
    hash.update(id.as_bytes());
    hash.update(version.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.get(..9).unwrap_or_default())
}

/// Checks the etag that a caller sent against the stored version; an empty one asks for no check.
///
/// # Errors
/// `ETAG_MISMATCH` if another version is stored.
pub fn check_etag(given: &str, kind: &str, id: Uuid, version: i64) -> Result<(), Fault> {
    if given.is_empty() || given == etag(kind, id, version) {
        return Ok(());
    }
    Err(Fault::stale().meta("resource", kind).meta("id", id))
}

/// Which fields an update changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Option<Vec<&'static str>>);

impl Mask {
    /// The mask of an update that can change these fields; absent, empty or `*` means all of them.
    ///
    /// # Errors
    /// `FIELD_INVALID` naming each path of the mask that cannot be changed.
    pub fn of(mask: Option<&FieldMask>, allowed: &[&'static str]) -> Result<Self, Fault> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        if paths.is_empty() || matches!(paths, [all] if all == "*") {
            return Ok(Self(None));
        }
        let mut chosen = Vec::with_capacity(paths.len());
        let mut bad = None;
        for (index, path) in paths.iter().enumerate() {
            match allowed.iter().find(|name| *name == path) {
                Some(name) => chosen.push(*name),
                None => {
                    let field = format!("update_mask.paths[{index}]");
                    let why = format!("must be one of {}", allowed.join(", "));
                    bad = Some(match bad {
                        None => Fault::invalid(field, why),
                        Some(fault) => Fault::and_invalid(fault, field, why),
                    });
                }
            }
        }
        bad.map_or(Ok(Self(Some(chosen))), Err)
    }

    /// Whether the field is to be changed.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.0.as_ref().is_none_or(|chosen| chosen.contains(&field))
    }
}

/// A row of an ingest batch that was not stored, because of a fault.
#[must_use]
pub fn rejected(index: usize, fault: &Fault) -> common::RejectedRow {
    let mut violations = fault
        .violations
        .iter()
        .take(crate::status::MAX_VIOLATIONS)
        .map(|(field, why)| common::FieldViolation {
            field: field.clone(),
            description: why.clone(),
        })
        .collect::<Vec<_>>();
    if violations.is_empty() {
        violations.push(common::FieldViolation {
            field: String::new(),
            description: fault.message.clone(),
        });
    }
    let reason =
        common::ErrorReason::from_reason(fault.reason).unwrap_or(common::ErrorReason::FieldInvalid);
    common::RejectedRow {
        index: row(index),
        reason: i32::from(reason),
        violations,
        metadata: fault.meta.iter().cloned().collect(),
    }
}

/// A row of an ingest batch that breaks rules of the contract.
#[must_use]
pub fn rejected_fields(
    index: usize,
    broken: &regard_proto::validate::Violations,
) -> common::RejectedRow {
    let violations = broken
        .listed()
        .iter()
        .map(|violation| common::FieldViolation {
            field: violation.field.clone(),
            description: violation.description.to_owned(),
        });
    common::RejectedRow {
        index: row(index),
        reason: i32::from(common::ErrorReason::FieldInvalid),
        violations: violations.collect(),
        metadata: std::collections::BTreeMap::new(),
    }
}

/// Most bytes of violations of one batch that are told in full; beyond, each row keeps its first one (5,000 rows of one
/// violation each stay below the message limit).
const REJECTED_BYTES: usize = 1024 * 1024;

/// Cuts what is told of rejected rows so that the answer to a batch stays below the message limit.
pub fn fit_rejected(rows: &mut [common::RejectedRow]) {
    let mut bytes = 0;
    for row in rows {
        let size = |v: &common::FieldViolation| v.field.len() + v.description.len() + 16;
        let all: usize = row.violations.iter().map(size).sum();
        if bytes + all > REJECTED_BYTES {
            row.violations.truncate(1);
        }
        bytes += row.violations.iter().map(size).sum::<usize>();
    }
}

fn row(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

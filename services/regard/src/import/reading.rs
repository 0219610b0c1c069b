//! Values of a record, each with the fault that names it.

use regard_proto::types::Money;
use regard_server::wire;
use regard_types::{Channel, Currency, Micros};

use super::columns::{Columns, Place};
use crate::read::{DayReader, LineFault, Record, money};

/// Longest id at a source, in characters.
const ID_MAX: usize = 128;

/// A record with the places of its roles.
pub struct Row<'a> {
    pub record: &'a Record,
    pub columns: &'a Columns,
}

impl<'a> Row<'a> {
    /// A fault of a role.
    pub fn fault(&self, role: &str, expected: impl Into<String>) -> LineFault {
        let (name, found) = match self.columns.place(role) {
            Some(Place::Column(at, name)) => (name.as_str(), self.record.lossy(*at)),
            _ => (role, String::new()),
        };
        LineFault::new(self.record.line(), name, &found, expected)
    }

    /// The text of a role; empty where the file has none.
    pub fn text(&self, role: &str) -> Result<std::borrow::Cow<'a, str>, LineFault> {
        match self.columns.place(role) {
            None => Ok("".into()),
            Some(Place::Line) => Ok(self.record.line().to_string().into()),
            Some(Place::Column(at, _)) if *at >= self.record.len() => Ok("".into()),
            Some(Place::Column(at, _)) => self
                .record
                .text(*at)
                .map(Into::into)
                .ok_or_else(|| self.fault(role, "text in UTF-8")),
        }
    }

    /// An id of a role; empty where there is none.
    pub fn id(&self, role: &str) -> Result<std::borrow::Cow<'a, str>, LineFault> {
        let id = self.text(role)?;
        if id.chars().count() > ID_MAX {
            return Err(self.fault(role, format!("an id of at most {ID_MAX} characters")));
        }
        Ok(id)
    }

    /// An id that must be there.
    pub fn needed_id(
        &self,
        role: &str,
        what: &str,
    ) -> Result<std::borrow::Cow<'a, str>, LineFault> {
        let id = self.id(role)?;
        if id.is_empty() {
            return Err(self.fault(role, what));
        }
        Ok(id)
    }

    /// A time.
    pub fn time(&self, role: &str, days: &DayReader) -> Result<Micros, LineFault> {
        let text = self.text(role)?;
        if text.is_empty() {
            return Err(self.fault(role, "a day or time"));
        }
        days.instant(&text)
            .map_err(|expected| self.fault(role, expected))
    }

    /// An amount in millionths, not negative.
    pub fn amount(&self, role: &str) -> Result<i64, LineFault> {
        let text = self.text(role)?;
        let amount = money(&text).map_err(|expected| self.fault(role, expected))?;
        if amount < 0 {
            return Err(self.fault(
                role,
                "an amount of 0 or more; money given back is recorded by RecordRefund",
            ));
        }
        Ok(amount)
    }

    /// A whole number; 0 where there is none.
    pub fn whole(&self, role: &str) -> Result<i64, LineFault> {
        let text = self.text(role)?;
        if text.is_empty() {
            return Ok(0);
        }
        let number = text.parse::<i64>().ok().filter(|n| *n >= 0);
        number.ok_or_else(|| self.fault(role, "a whole number of 0 or more"))
    }

    /// A channel; the usual one where the row says nothing.
    pub fn channel(&self, usual: i32) -> Result<i32, LineFault> {
        let text = self.text("channel")?;
        if text.is_empty() {
            return Ok(usual);
        }
        channel(&text).ok_or_else(|| self.fault("channel", channels()))
    }
}

/// A channel of the wire by its name.
pub fn channel(text: &str) -> Option<i32> {
    let name = text.trim().to_lowercase().replace([' ', '-'], "_");
    Channel::parse(&name)
        .ok()
        .map(|channel| wire::to_channel(Some(channel)))
}

/// The names of all channels.
pub fn channels() -> String {
    let names: Vec<&str> = Channel::ALL
        .iter()
        .map(|channel| channel.as_str())
        .collect();
    format!("one of {}", names.join(", "))
}

/// Millionths as money of the wire.
pub fn wire_money(millionths: i64, currency: Currency) -> Money {
    Money {
        currency_code: currency.as_str().to_owned(),
        units: millionths / 1_000_000,
        // Below 1e9 either way.
        nanos: i32::try_from(millionths % 1_000_000 * 1_000).unwrap_or(0),
    }
}

//! A tenant: the business whose customers these are, and how it counts days and money.

use std::fmt;

use regard_types::record::Head;
use regard_types::{CallerLimits, Currency, Day, Fault, TenantId, Zone};

/// A tenant as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Follows from the name.
    pub id: TenantId,
    /// Fixed once given.
    pub name: String,
    /// What can be changed.
    pub terms: Terms,
    /// Counts changes of zone and pinned day, from 1.
    pub day_version: i64,
    /// Version and times.
    pub head: Head,
}

/// What can be changed of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whose days count.
    pub zone: Zone,
    /// Of all money.
    pub currency: Currency,
    /// The day that counts as today; none follows the clock.
    pub pinned_day: Option<Day>,
    /// The first day of complete records.
    pub history_start: Option<Day>,
    /// Metrics over fewer people are suppressed.
    pub minimum_group_size: i32,
    /// How much each of its callers may ask for.
    pub limits: CallerLimits,
    /// How long what customers said in their own words is kept, in days; 0 keeps it for good.
    pub retention_days: i32,
}

impl Terms {
    /// Reads zone and currency; empty texts mean UTC and USD.
    ///
    /// # Errors
    /// `FIELD_INVALID`, naming the field below `at`.
    pub fn parse(at: &str, zone: &str, currency: &str) -> Result<(Zone, Currency), Fault> {
        let zone = match zone {
            "" => Ok(Zone::utc()),
            name => Zone::parse(name),
        };
        let currency = Currency::parse(if currency.is_empty() { "USD" } else { currency });
        match (zone, currency) {
            (Ok(zone), Ok(currency)) => Ok((zone, currency)),
            (Err(zone), Ok(_)) => Err(Fault::invalid(format!("{at}.zone"), zone.to_string())),
            (Ok(_), Err(currency)) => Err(invalid_currency(at, &currency)),
            (Err(zone), Err(currency)) => {
                let fault = Fault::invalid(format!("{at}.zone"), zone.to_string());
                Err(fault.and_invalid(format!("{at}.currency"), currency.to_string()))
            }
        }
    }
}

fn invalid_currency(at: &str, why: &impl fmt::Display) -> Fault {
    Fault::invalid(format!("{at}.currency"), why.to_string())
}

/// The day version after a change of terms: it rises when what counts as a day, or as today, changes.
pub fn next_day_version(day_version: i64, before: &Terms, after: &Terms) -> i64 {
    let same = before.zone == after.zone && before.pinned_day == after.pinned_day;
    if same { day_version } else { day_version + 1 }
}

/// The caller's tenant has no record.
pub fn unknown() -> Fault {
    let message =
        "the caller's tenant has no record; create the tenant, or correct the caller's key";
    Fault::new(regard_types::Kind::Denied, "TENANT_UNKNOWN", message)
}

/// No tenant with the name that was asked for.
pub fn unknown_name(name: &str) -> Fault {
    let message = format!("no tenant {name:?}");
    Fault::new(regard_types::Kind::NotFound, "TENANT_UNKNOWN", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn terms(zone: &str, pinned: Option<i32>) -> Terms {
        let (zone, currency) = Terms::parse("tenant", zone, "EUR").unwrap();
        Terms {
            zone,
            currency,
            pinned_day: pinned.map(Day),
            history_start: None,
            minimum_group_size: 0,
            limits: CallerLimits::default(),
            retention_days: 0,
        }
    }

    #[test]
    fn the_day_version_follows_zone_and_pinned_day_only() {
        let before = terms("Europe/Paris", Some(10));
        let mut other = before.clone();
        other.minimum_group_size = 5;
        other.limits.burst = 7;
        other.retention_days = 9;
        other.history_start = Some(Day(3));
        assert_eq!(next_day_version(7, &before, &other), 7);
        assert_eq!(next_day_version(7, &before, &terms("UTC", Some(10))), 8);
        assert_eq!(
            next_day_version(7, &before, &terms("Europe/Paris", Some(11))),
            8
        );
        assert_eq!(
            next_day_version(7, &before, &terms("Europe/Paris", None)),
            8
        );
    }

    #[test]
    fn every_bad_field_is_named() {
        let fault = Terms::parse("tenant", "Mars/Olympus", "XQX").unwrap_err();
        let fields: Vec<_> = fault.violations.iter().map(|(f, _)| f.as_str()).collect();
        assert_eq!(fields, ["tenant.zone", "tenant.currency"]);
        let (zone, currency) = Terms::parse("tenant", "", "").unwrap();
        assert_eq!((zone.name(), currency.as_str()), ("UTC", "USD"));
    }
}

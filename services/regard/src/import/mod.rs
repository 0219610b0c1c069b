//! Files into a running suite, by its bulk streams. Every row names its key, so an import that was interrupted is
//! simply run again: what is there already counts as unchanged.

mod columns;
mod customers;
mod orders;
mod pump;
mod questions;
mod reading;
mod responses;

use std::path::{Path, PathBuf};

use regard_client::Client;
use regard_proto::customer::v1::GetTenantRequest;
use regard_types::{Currency, Zone};

use crate::failure::usage;
use crate::reach::{given, refused};
use crate::read::DayOrder;

pub use columns::Wanted;
pub use customers::customers;
pub use orders::orders;
pub use questions::Sheet;
pub use responses::{Answers, responses};

/// What all kinds of rows need to know.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub file: PathBuf,
    /// Columns by role, where the common names do not find them.
    pub columns: Wanted,
    /// The source system of the keys.
    pub source: String,
    /// How to read days such as 03/04/2024.
    pub day_order: Option<DayOrder>,
    /// The zone of days and local times; none: the tenant's.
    pub zone: Option<String>,
    /// How it came about, for rows that do not say; empty: not stated.
    pub channel: String,
    /// Rows that cannot be used go here, with their reasons.
    pub rejected: PathBuf,
    /// Whether a bar is drawn.
    pub shown: bool,
}

impl Plan {
    /// The usual plan for a file of a source.
    #[must_use]
    pub fn new(file: &Path, source: &str) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            rejected: file.with_file_name(format!("{stem}.rejected.csv")),
            file: file.to_owned(),
            columns: Wanted::default(),
            source: source.to_owned(),
            day_order: None,
            zone: None,
            channel: String::new(),
            shown: false,
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that are stored now and were not before, or not so.
    pub accepted: u64,
    /// Rows that were there already.
    pub unchanged: u64,
    /// Rows that cannot be used.
    pub rejected: u64,
    /// Where these are, if there are any.
    pub rejected_file: Option<PathBuf>,
    /// Names the last write: a read with it is answered from data at least that new.
    pub change_token: String,
}

/// The tenant's zone and currency, unless they are stated.
async fn terms(
    client: &Client,
    zone: Option<&str>,
    currency: Option<&str>,
) -> anyhow::Result<(Zone, Currency)> {
    let read_zone =
        |name: &str| Zone::parse(name).map_err(|e| usage(format!("--zone {name}: {e}")));
    let read_currency =
        |code: &str| Currency::parse(code).map_err(|e| usage(format!("--currency {code}: {e}")));
    if let (Some(zone), Some(currency)) = (zone, currency) {
        return Ok((read_zone(zone)?, read_currency(currency)?));
    }
    let answer = client
        .tenants()
        .get_tenant(GetTenantRequest::default())
        .await;
    let tenant = given(answer.map_err(refused)?.into_inner().tenant, "tenant")?;
    Ok((
        read_zone(zone.unwrap_or(&tenant.zone))?,
        read_currency(currency.unwrap_or(&tenant.currency))?,
    ))
}

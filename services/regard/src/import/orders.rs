//! Orders: customer, time and value; id, units and channel where the file has them.

use std::collections::HashMap;

use regard_client::Client;
use regard_proto::customer::v1::{IngestOrdersRequest, Order, OrderRow};
use regard_server::wire;
use regard_types::{Currency, Day, Zone};
use sha2::{Digest as _, Sha256};

use super::columns::{Columns, Role, names};
use super::pump::{Parse, Way, pump};
use super::reading::{Row, channel, channels, wire_money};
use super::{Outcome, Plan, terms};
use crate::failure::usage;
use crate::reach::{customer_key, key};
use crate::read::{DayReader, Delimited, LineFault, Record, decimal, money};
use crate::score::{CUSTOMER, DATE, VALUE};

/// Longest key, in bytes; longer ones are hashed.
const KEY_MAX: usize = 128;

const ROLES: &[Role] = &[
    Role::required("customer", CUSTOMER),
    Role::required("date", DATE),
    Role::required("value", VALUE),
    Role::optional(
        "id",
        &[
            "orderid",
            "orderno",
            "ordernumber",
            "invoiceno",
            "invoiceid",
            "invoice",
            "transactionid",
            "order",
        ],
    ),
    Role::optional(
        "units",
        &["units", "quantity", "qty", "items", "pieces", "cds"],
    ),
    Role::optional("channel", &["channel", "saleschannel"]),
    Role::optional("revision", &["revision"]),
];

/// Imports a file of orders.
///
/// # Errors
/// The file cannot be read, its columns are not found, or the server refuses.
pub async fn orders(
    client: &Client,
    plan: &Plan,
    currency: Option<&str>,
    create_missing: bool,
) -> anyhow::Result<Outcome> {
    let usual = usual_channel(&plan.channel)?;
    plan.columns.check(ROLES, |_| false)?;
    let (zone, currency) = terms(client, plan.zone.as_deref(), currency).await?;
    let days = DayReader::new(zone.clone(), plan.day_order);
    let mut file = Delimited::open(&plan.file)?;
    let mut first = Record::default();
    file.next(&mut first)?;
    let (columns, is_row) = columns(plan, &first, file.by_blanks(), &days)?;
    let mut reader = Reader {
        columns,
        days,
        zone,
        currency,
        source: plan.source.clone(),
        usual,
        seen: HashMap::new(),
    };
    let parse: Parse<OrderRow> = Box::new(move |record| reader.row(record));
    let way = Way {
        wrap: if create_missing {
            |rows| IngestOrdersRequest {
                rows,
                create_missing: true,
                validate_only: false,
            }
        } else {
            |rows| IngestOrdersRequest {
                rows,
                create_missing: false,
                validate_only: false,
            }
        },
        result: |answer: regard_proto::customer::v1::IngestOrdersResponse| answer.result,
    };
    let mut orders = client.orders();
    let first = is_row.then_some(first);
    pump(plan, file, first, parse, way, |requests| async move {
        orders.ingest_orders(requests).await
    })
    .await
}

/// The channel of rows that say none.
pub(super) fn usual_channel(text: &str) -> anyhow::Result<i32> {
    if text.is_empty() {
        return Ok(0);
    }
    channel(text).ok_or_else(|| usage(format!("--channel {text}: expected {}", channels())))
}

/// The columns, and whether the first record is a row.
fn columns(
    plan: &Plan,
    first: &Record,
    by_blanks: bool,
    days: &DayReader,
) -> anyhow::Result<(Columns, bool)> {
    let shown = plan.file.display().to_string();
    let names = names(first);
    if !names.iter().any(|name| days.day(name).is_ok()) {
        return Ok((
            Columns::by_header(first, ROLES, &plan.columns, &shown)?,
            false,
        ));
    }
    let usual: &[(&str, usize)] = match names.len() {
        3 => &[("customer", 0), ("date", 1), ("value", 2)],
        // As the CDNOW file stands: two customer ids, day, units, value.
        5 if by_blanks && names.iter().skip(3).all(|n| money(n).is_ok()) => {
            &[("customer", 1), ("date", 2), ("units", 3), ("value", 4)]
        }
        _ => &[],
    };
    Ok((
        Columns::by_position(first, ROLES, &plan.columns, usual, &shown)?,
        true,
    ))
}

struct Reader {
    columns: Columns,
    days: DayReader,
    zone: Zone,
    currency: Currency,
    source: String,
    usual: i32,
    /// How often a customer, day and value stood in the file so far.
    seen: HashMap<(Box<str>, Day, i64), u32>,
}

impl Reader {
    fn row(&mut self, record: &Record) -> Result<OrderRow, LineFault> {
        let row = Row {
            record,
            columns: &self.columns,
        };
        let customer = row.needed_id("customer", "the customer's id")?;
        let time = row.time("date", &self.days)?;
        let amount = row.amount("value")?;
        let (units, revision) = (row.whole("units")?, row.whole("revision")?);
        let channel = row.channel(self.usual)?;
        let id = row.id("id")?;
        let id = if id.is_empty() {
            let day = Day::of(time, &self.zone);
            let seen = self
                .seen
                .entry((customer.as_ref().into(), day, amount))
                .or_insert(0);
            *seen += 1;
            made_key(&customer, day, amount, *seen)
        } else {
            id.into_owned()
        };
        Ok(OrderRow {
            order: Some(Order {
                key: Some(key(&self.source, &id)),
                customer: Some(customer_key(&self.source, &customer)),
                order_time: Some(wire::timestamp(time)),
                gross: Some(wire_money(amount, self.currency)),
                units,
                channel,
                ..Order::default()
            }),
            revision,
        })
    }
}

/// The key of an order whose file names none: the same in every import of the file.
pub fn made_key(customer: &str, day: Day, amount: i64, occurrence: u32) -> String {
    let made = format!(
        "{customer}/{day}/{}/{occurrence}",
        decimal(i128::from(amount))
    );
    if made.len() <= KEY_MAX {
        return made;
    }
    let digest = Sha256::digest(made.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

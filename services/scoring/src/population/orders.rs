//! A scan of what all customers bought, customer by customer.

use std::collections::{HashMap, HashSet};

use regard_database::{Row, StoreError, Tx};
use regard_types::{Channel, CustomerId, Micros, RecordId, TenantId, Uuid};

use crate::event::store::Loads;
use crate::event::{Event, Kind};
use crate::group;

/// Rows of a page, unless one customer alone has more.
const PAGE: i64 = 10_000;

const COLUMNS: &str = "customer, kind, record, version, occurred, live, value, aux, link, channel";

/// A customer and the events of all its arrival ids (who it is, orders, refunds), in no order and with old versions among them.
pub type Bought = (Uuid, Vec<Event>);

/// A scan of a tenant's orders and refunds; merged customers come once, at its end.
pub struct Scan {
    tenant: TenantId,
    loads: Loads,
    after: Option<Uuid>,
    page: i64,
    /// Arrivals that are part of another customer.
    merged: HashMap<Uuid, Uuid>,
    /// Customers that others are part of.
    roots: HashSet<Uuid>,
    held: HashMap<Uuid, Vec<Event>>,
    done: bool,
}

impl Scan {
    /// Starts a scan; all its pages must be read in this transaction.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn start(tx: &Tx, tenant: TenantId, loads: Loads) -> Result<Self, StoreError> {
        let merged = group::store::merged(tx, tenant).await?;
        let roots = merged.values().copied().collect();
        Ok(Self {
            tenant,
            loads,
            after: None,
            page: PAGE,
            merged,
            roots,
            held: HashMap::new(),
            done: false,
        })
    }

    /// The next customers; None at the end.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn next(&mut self, tx: &Tx) -> Result<Option<Vec<Bought>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let rows = self.rows(tx).await?;
        let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= self.page;
        let mut out: Vec<Bought> = Vec::new();
        for row in &rows {
            let e = read(row)?;
            match out.last_mut() {
                Some((customer, events)) if *customer == e.customer.0 => events.push(e),
                _ => out.push((e.customer.0, vec![e])),
            }
        }
        if full {
            // The last customer may be cut: it comes again with the next page.
            out.pop();
            match out.last() {
                Some((customer, _)) => self.after = Some(*customer),
                None => self.page = self.page.saturating_mul(2),
            }
        } else {
            self.done = true;
        }
        let (mut ready, mut held) = (Vec::with_capacity(out.len()), Vec::new());
        for (arrival, events) in out {
            let root = self.merged.get(&arrival).copied();
            if root.is_none() && !self.roots.contains(&arrival) {
                ready.push((arrival, events));
            } else {
                held.push((root.unwrap_or(arrival), events));
            }
        }
        for (customer, events) in held {
            self.held.entry(customer).or_default().extend(events);
        }
        if self.done {
            ready.extend(std::mem::take(&mut self.held));
        }
        Ok(Some(ready))
    }

    async fn rows(&self, tx: &Tx) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM event WHERE tenant = $1 AND customer > $2 AND kind <= 3 AND load = $3 ORDER BY customer LIMIT $4"
        );
        let after = self.after.unwrap_or(Uuid::nil());
        tx.fetch(
            sql,
            vec![
                self.tenant.0.into(),
                after.into(),
                self.loads.customer.into(),
                self.page.into(),
            ],
        )
        .await
    }
}

/// When the first order of a tenant was, fully refunded ones included.
///
/// # Errors
/// What the engine answers.
pub async fn first(tx: &Tx, tenant: TenantId, loads: Loads) -> Result<Option<Micros>, StoreError> {
    let sql =
        "SELECT min(occurred) FROM event WHERE tenant = $1 AND load = $2 AND kind = 2 AND live = 1";
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), loads.customer.into()])
        .await?;
    let first: Option<i64> = row.map(|row| row.get(0)).transpose()?.flatten();
    Ok(first.map(Micros))
}

fn read(row: &Row) -> Result<Event, StoreError> {
    let kind: i64 = row.get(1)?;
    let kind = i32::try_from(kind)
        .ok()
        .and_then(Kind::of)
        .ok_or_else(|| StoreError::corrupt("an event of no known kind"))?;
    let channel: Option<String> = row.get(9)?;
    Ok(Event {
        customer: CustomerId(row.get(0)?),
        kind,
        record: RecordId(row.get(2)?),
        version: row.get(3)?,
        part: 0,
        lane: 0,
        position: 0,
        occurred: Micros(row.get(4)?),
        recorded: Micros(0),
        live: row.flag(5)?,
        anonymous: false,
        value: row.get(6)?,
        aux: row.get(7)?,
        link: row.get(8)?,
        metric: String::new(),
        dimension: String::new(),
        question: String::new(),
        channel: channel.and_then(|c| Channel::parse(&c).ok()),
    })
}

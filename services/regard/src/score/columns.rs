//! Which columns of an order file hold customer, date and value.

use anyhow::bail;

use crate::failure::usage;
use crate::read::{DayReader, Record, money};

/// Positions in a record, with the names to use in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub customer: (usize, String),
    pub date: (usize, String),
    pub value: (usize, String),
    /// Whether the first record is a header.
    pub header: bool,
}

/// What `--columns` asked for: names or positions from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    customer: Option<String>,
    date: Option<String>,
    value: Option<String>,
}

/// Common names of the column, folded.
pub const CUSTOMER: &[&str] = &[
    "customerid",
    "customer",
    "customerno",
    "customernumber",
    "customerkey",
    "custid",
    "cust",
    "clientid",
    "client",
    "userid",
    "user",
    "buyerid",
    "buyer",
    "memberid",
    "member",
    "accountid",
    "account",
    "customeremail",
    "email",
    "id",
];
/// Common names of the column, folded.
pub const DATE: &[&str] = &[
    "orderdate",
    "orderedat",
    "date",
    "day",
    "purchasedate",
    "transactiondate",
    "invoicedate",
    "orderday",
    "datetime",
    "timestamp",
    "createdat",
    "orderpurchasetimestamp",
    "time",
    "t",
];
/// Common names of the column, folded.
pub const VALUE: &[&str] = &[
    "value",
    "ordervalue",
    "amount",
    "orderamount",
    "total",
    "ordertotal",
    "totalamount",
    "revenue",
    "netvalue",
    "net",
    "sales",
    "spend",
    "price",
    "totalprice",
    "paymentvalue",
    "turnover",
    "monetaryvalue",
    "dollars",
    "gross",
];

impl Wanted {
    /// Reads `customer=…,date=…,value=…`; what is left out is found by common names.
    ///
    /// # Errors
    /// Another form or another role.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut wanted = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let form = || {
                usage(format!(
                    "--columns: found {part:?}; expected customer=NAME,date=NAME,value=NAME (or positions from 1)"
                ))
            };
            let (role, name) = part.split_once('=').ok_or_else(form)?;
            let slot = match role.trim() {
                "customer" => &mut wanted.customer,
                "date" => &mut wanted.date,
                "value" => &mut wanted.value,
                _ => return Err(form()),
            };
            *slot = Some(name.trim().to_owned());
        }
        Ok(wanted)
    }

    /// Finds the columns from the first record.
    pub(super) fn find(
        &self,
        first: &Record,
        by_blanks: bool,
        days: &DayReader,
        file: &str,
    ) -> anyhow::Result<Columns> {
        let names: Vec<String> = (0..first.len()).map(|i| first.lossy(i)).collect();
        let header = !names.iter().any(|name| days.day(name).is_ok());
        if !header {
            return self.by_position(&names, by_blanks, file);
        }
        let folded: Vec<String> = names.iter().map(|name| fold(name)).collect();
        let find = |role: &str,
                    wanted: Option<&String>,
                    common: &[&str]|
         -> anyhow::Result<(usize, String)> {
            let at = match wanted {
                Some(name) => names
                    .iter()
                    .position(|n| n == name)
                    .or_else(|| folded.iter().position(|n| *n == fold(name)))
                    .or_else(|| position(name, names.len())),
                None => common
                    .iter()
                    .find_map(|c| folded.iter().position(|n| n == c)),
            };
            at.map(|at| (at, names[at].clone())).ok_or_else(|| {
                usage(format!("{file}, line 1: no column for the {role} among {:?}; name it by --columns {role}=NAME", names.join(",")))
            })
        };
        let columns = Columns {
            customer: find("customer", self.customer.as_ref(), CUSTOMER)?,
            date: find("date", self.date.as_ref(), DATE)?,
            value: find("value", self.value.as_ref(), VALUE)?,
            header: true,
        };
        columns.apart(file)
    }

    /// No header: positions as asked for, or customer, date, value, or the five columns of the CDNOW file.
    fn by_position(
        &self,
        names: &[String],
        by_blanks: bool,
        file: &str,
    ) -> anyhow::Result<Columns> {
        let usual = match names.len() {
            3 => Some([0, 1, 2]),
            5 if by_blanks && names.iter().skip(3).all(|n| money(n).is_ok()) => Some([1, 2, 4]),
            _ => None,
        };
        let find = |index: usize,
                    role: &str,
                    wanted: Option<&String>|
         -> anyhow::Result<(usize, String)> {
            let at = match wanted {
                Some(text) => position(text, names.len()),
                None => usual.map(|u| u[index]),
            };
            let at = at.ok_or_else(|| {
                usage(format!(
                    "{file}: the first line is no header and has {} columns; add a header, or say --columns customer=1,date=2,value=3 with the right positions ({role} not found)",
                    names.len()
                ))
            })?;
            Ok((at, role.to_owned()))
        };
        let columns = Columns {
            customer: find(0, "customer", self.customer.as_ref())?,
            date: find(1, "date", self.date.as_ref())?,
            value: find(2, "value", self.value.as_ref())?,
            header: false,
        };
        columns.apart(file)
    }
}

impl Columns {
    fn apart(self, file: &str) -> anyhow::Result<Self> {
        let [c, d, v] = [self.customer.0, self.date.0, self.value.0];
        if c == d || d == v || c == v {
            bail!(
                "{file}: customer, date and value are columns {}, {} and {}: expected three different ones; name them by --columns",
                c + 1,
                d + 1,
                v + 1
            );
        }
        Ok(self)
    }
}

fn position(text: &str, columns: usize) -> Option<usize> {
    text.parse::<usize>()
        .ok()
        .filter(|n| (1..=columns).contains(n))
        .map(|n| n - 1)
}

/// A name without case and signs.
pub fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

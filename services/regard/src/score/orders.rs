//! Reading orders: each row becomes 16 bytes, each customer's name is kept once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use regard_types::Day;

use super::columns::{Columns, Wanted};
use super::counting::Row;
use crate::read::{DayReader, Delimited, LineFault, Record, money};
use crate::show;

/// Longest name of a customer, in bytes.
const NAME_MAX: usize = 256;

/// The usable orders of a file.
#[derive(Debug, Default)]
pub struct Orders {
    /// Names by index.
    pub customers: Vec<Box<str>>,
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// Rows that could not be used.
    pub rejected: u64,
}

/// Rows that could not be used, with reasons; the file is made at the first one.
pub struct Rejects {
    path: PathBuf,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl Rejects {
    /// To a file at `path`.
    #[must_use]
    pub fn to(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            writer: None,
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, fault: &LineFault, record: &Record) -> anyhow::Result<()> {
        let shown = self.path.display().to_string();
        let failed = || format!("cannot write {shown}");
        if self.writer.is_none() {
            let mut writer = csv::WriterBuilder::new()
                .flexible(true)
                .from_path(&self.path)
                .with_context(failed)?;
            writer
                .write_record(["line", "field", "found", "expected", "row"])
                .with_context(failed)?;
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            let line = fault.line.to_string();
            let head = [
                line.as_bytes(),
                fault.field.as_bytes(),
                fault.found.as_bytes(),
                fault.expected.as_bytes(),
            ];
            writer
                .write_byte_record(&head.into_iter().chain(record.fields()).collect())
                .with_context(failed)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> anyhow::Result<Option<PathBuf>> {
        let Some(mut writer) = self.writer else {
            return Ok(None);
        };
        writer
            .flush()
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Some(self.path))
    }
}

impl Orders {
    /// Reads a file; rows that cannot be used go to `rejects`.
    ///
    /// # Errors
    /// The file cannot be read, the columns are not found, or no row can be used.
    pub fn read(
        path: &Path,
        wanted: &Wanted,
        days: &DayReader,
        rejects: &mut Rejects,
    ) -> anyhow::Result<Self> {
        let mut file = Delimited::open(path)?;
        let mut record = Record::default();
        let shown = path.display().to_string();
        if !file.next(&mut record)? {
            bail!("{shown} is empty; expected a header and orders");
        }
        let columns = wanted.find(&record, file.by_blanks(), days, &shown)?;
        let bar = show::bytes_bar(file.bytes(), "reading");
        let mut orders = Self::default();
        let mut index: HashMap<Box<str>, u32> = HashMap::new();
        let mut last_day: Option<(String, Day)> = None;
        let mut first_fault = None;
        let mut more = !columns.header || file.next(&mut record)?;
        while more {
            match parse(&record, &columns, days, &mut last_day) {
                Ok((name, day, value)) => {
                    let customer = match index.get(name) {
                        Some(customer) => *customer,
                        None => orders.intern(name, &mut index)?,
                    };
                    orders.rows.push(Row {
                        customer,
                        day,
                        value,
                    });
                }
                Err(fault) => {
                    orders.rejected += 1;
                    rejects.add(&fault, &record)?;
                    first_fault.get_or_insert(fault);
                }
            }
            if orders.rows.len() % 16_384 == 0 {
                bar.set_position(file.position());
            }
            more = file.next(&mut record)?;
        }
        bar.finish_and_clear();
        if orders.rows.is_empty() {
            match first_fault {
                Some(fault) => bail!(
                    "{shown}: none of its {} orders can be used; first, {fault}",
                    orders.rejected
                ),
                None => bail!("{shown} has a header but no orders"),
            }
        }
        Ok(orders)
    }

    fn intern(&mut self, name: &str, index: &mut HashMap<Box<str>, u32>) -> anyhow::Result<u32> {
        let next = u32::try_from(self.customers.len()).context("more than 4 billion customers")?;
        if let Entry::Vacant(slot) = index.entry(name.into()) {
            slot.insert(next);
            self.customers.push(name.into());
        }
        Ok(next)
    }
}

fn parse<'a>(
    record: &'a Record,
    columns: &Columns,
    days: &DayReader,
    last: &mut Option<(String, Day)>,
) -> Result<(&'a str, Day, i64), LineFault> {
    let text = |(at, name): &(usize, String), expected: &str| -> Result<&'a str, LineFault> {
        let fault = || LineFault::new(record.line(), name, &record.lossy(*at), expected);
        record.text(*at).filter(|t| !t.is_empty()).ok_or_else(fault)
    };
    let fault = |(at, name): &(usize, String), expected: &str| {
        LineFault::new(record.line(), name, &record.lossy(*at), expected)
    };
    let customer = text(&columns.customer, "the customer's id, as UTF-8 text")?;
    if customer.len() > NAME_MAX {
        return Err(fault(&columns.customer, "an id of at most 256 bytes"));
    }
    let date = text(&columns.date, "the day of the order")?;
    // Files are mostly sorted by time or hold few days: the last reading is kept.
    let day = match last {
        Some((known, day)) if known == date => *day,
        _ => {
            let day = days
                .day(date)
                .map_err(|expected| fault(&columns.date, expected))?;
            *last = Some((date.to_owned(), day));
            day
        }
    };
    let value = text(&columns.value, "the value of the order")?;
    let value = money(value).map_err(|expected| fault(&columns.value, expected))?;
    Ok((customer, day, value))
}

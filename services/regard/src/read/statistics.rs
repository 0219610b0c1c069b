//! Sufficient statistics of customers: `id,x,t_x,T` with `m` or `zbar` and `weight`, or the names that `lifetimes` uses.

use std::path::Path;

use anyhow::bail;
use regard_models::{Spend, Stat};

use super::{Delimited, LineFault, Record, plain};
use crate::show;

/// Faulty lines shown before the rest is only counted.
const SHOWN: usize = 5;

/// Which columns a model cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// x, `t_x` and T.
    Purchases,
    /// x and m.
    Values,
}

/// Customers of a file, one entry a row in every list.
#[derive(Debug, Default)]
pub struct Statistics {
    /// The id column; the number of the row, from 1, where there is none.
    pub ids: Vec<String>,
    /// Purchase histories; empty where only values are needed.
    pub stats: Vec<Stat>,
    /// Values of purchases; empty where the file has none.
    pub spends: Vec<Spend>,
    /// Line of each row.
    pub lines: Vec<u64>,
}

#[derive(Debug, Default)]
struct Columns {
    id: Option<usize>,
    x: Option<usize>,
    t_x: Option<usize>,
    t: Option<usize>,
    m: Option<usize>,
    weight: Option<usize>,
    /// Names as the file has them.
    names: Vec<String>,
}

impl Columns {
    fn find(header: &Record, path: &Path) -> anyhow::Result<Self> {
        let mut columns = Self::default();
        for index in 0..header.len() {
            let name = header.lossy(index);
            let slot = match name.to_lowercase().replace(['.', ' ', '-'], "_").as_str() {
                "id" | "customer_id" | "customer" => &mut columns.id,
                "x" | "frequency" => &mut columns.x,
                "t_x" | "tx" | "recency" => &mut columns.t_x,
                // T and t_x stay apart when the case is folded.
                "t" => &mut columns.t,
                "m" | "zbar" | "monetary_value" => &mut columns.m,
                "weight" => &mut columns.weight,
                _ => {
                    columns.names.push(name);
                    continue;
                }
            };
            if let Some(first) = slot {
                bail!(
                    "{}: columns {} ({}) and {} ({name}) of the header mean the same; keep one",
                    path.display(),
                    *first + 1,
                    columns.names.get(*first).map_or("", String::as_str),
                    index + 1
                );
            }
            *slot = Some(index);
            columns.names.push(name);
        }
        Ok(columns)
    }

    fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }

    fn require(&self, needs: Needs, path: &Path) -> anyhow::Result<()> {
        let wanted: &[(&str, Option<usize>)] = match needs {
            Needs::Purchases => &[
                ("x (or frequency)", self.x),
                ("t_x (or recency)", self.t_x),
                ("T", self.t),
            ],
            Needs::Values => &[
                ("x (or frequency)", self.x),
                ("m (or zbar, monetary_value)", self.m),
            ],
        };
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|(_, at)| at.is_none())
            .map(|(name, _)| *name)
            .collect();
        if !missing.is_empty() {
            bail!(
                "{}, line 1: the header lacks {}; found {:?}; expected id,x,t_x,T and optionally m or zbar, weight",
                path.display(),
                missing.join(", "),
                self.names.join(",")
            );
        }
        Ok(())
    }
}

impl Statistics {
    /// Reads a file whole.
    ///
    /// # Errors
    /// The file cannot be read, the header lacks a column, or rows are not usable: the first few are named.
    pub fn read(path: &Path, needs: Needs) -> anyhow::Result<Self> {
        let mut file = Delimited::open(path)?;
        let mut record = Record::default();
        if !file.next(&mut record)? {
            bail!("{} is empty; expected a header and rows", path.display());
        }
        let columns = Columns::find(&record, path)?;
        columns.require(needs, path)?;
        let bar = show::bytes_bar(file.bytes(), "reading");
        let mut all = Self::default();
        let mut faults: Vec<LineFault> = Vec::new();
        let mut wrong = 0_u64;
        while file.next(&mut record)? {
            if let Err(fault) = all.push(&columns, &record, needs) {
                wrong += 1;
                if faults.len() < SHOWN {
                    faults.push(fault);
                }
            }
            if all.ids.len() % 8192 == 0 {
                bar.set_position(file.position());
            }
        }
        bar.finish_and_clear();
        if wrong > 0 {
            let shown: Vec<String> = faults.iter().map(|f| format!("  {f}")).collect();
            let more = wrong - faults.len() as u64;
            let more = if more > 0 {
                format!("\n  and {more} more")
            } else {
                String::new()
            };
            bail!(
                "{}: {wrong} rows cannot be used; correct or remove them\n{}{more}",
                path.display(),
                shown.join("\n")
            );
        }
        if all.ids.is_empty() {
            bail!("{} has a header but no rows", path.display());
        }
        Ok(all)
    }

    fn push(&mut self, columns: &Columns, record: &Record, needs: Needs) -> Result<(), LineFault> {
        let line = record.line();
        let field = |at: Option<usize>, expected: &str| -> Result<Option<f64>, LineFault> {
            let Some(at) = at else { return Ok(None) };
            let fault = || LineFault::new(line, columns.name(at), &record.lossy(at), expected);
            let text = record.text(at).ok_or_else(fault)?;
            if text.is_empty() {
                return Ok(None);
            }
            plain(text).ok_or_else(fault).map(Some)
        };
        let needed = |at: Option<usize>, expected: &str| -> Result<f64, LineFault> {
            let missing =
                || LineFault::new(line, at.map_or("", |at| columns.name(at)), "", expected);
            field(at, expected)?.ok_or_else(missing)
        };
        let rename = |error: regard_models::summary::InputError| {
            let at = match error.field {
                "x" => columns.x,
                "t_x" => columns.t_x,
                "T" => columns.t,
                "m" => columns.m,
                _ => columns.weight,
            };
            let name = at.map_or(error.field, |at| columns.name(at));
            LineFault::new(
                line,
                name,
                &at.map_or_else(|| error.found.to_string(), |at| record.lossy(at)),
                error.expected,
            )
        };
        let x = needed(columns.x, "a whole number of repeat purchases")?;
        let weight = field(columns.weight, "a number of customers, more than 0")?.unwrap_or(1.0);
        let stat = if needs == Needs::Purchases {
            let t_x = needed(columns.t_x, "weeks from first to last purchase")?;
            let t = needed(columns.t, "weeks observed")?;
            let stat = Stat { x, t_x, t, weight };
            stat.validate().map_err(rename)?;
            Some(stat)
        } else {
            None
        };
        let spend = match columns.m {
            None => None,
            Some(at) => {
                let expected = "the mean value of repeat purchases (decimal point)";
                let m = if x > 0.0 {
                    needed(Some(at), expected)?
                } else {
                    field(Some(at), expected)?.unwrap_or(0.0)
                };
                let spend = Spend { x, m, weight };
                spend.validate().map_err(rename)?;
                Some(spend)
            }
        };
        let id = match columns.id {
            None => (self.ids.len() + 1).to_string(),
            Some(at) => record
                .text(at)
                .ok_or_else(|| {
                    LineFault::new(line, columns.name(at), &record.lossy(at), "UTF-8 text")
                })?
                .to_owned(),
        };
        self.ids.push(id);
        self.stats.extend(stat);
        self.spends.extend(spend);
        self.lines.push(line);
        Ok(())
    }
}

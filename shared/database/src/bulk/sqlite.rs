//! `INSERT … VALUES (…), (…)` in chunks of powers of two, so that few statement texts exist and stay prepared.

use sqlx::Sqlite;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::{ColumnData, Columns};
use crate::row::Row;
use crate::tx::safe;

/// Rows of the largest statement (256 rows of 20 columns stay far below SQLite's 32,766 places).
const ROWS: usize = 256;
const PLACES: usize = 30_000;

impl ColumnData<'_> {
    fn bind_one(&self, args: &mut SqliteArguments, row: usize) -> Result<(), sqlx::Error> {
        macro_rules! at {
            ($values:expr) => {
                sqlx::Arguments::add(args, $values.get(row))
            };
            (opt $values:expr) => {
                sqlx::Arguments::add(args, $values.get(row).and_then(Option::as_ref))
            };
        }
        match self {
            Self::Uuid(v) => at!(v),
            Self::OptUuid(v) => at!(opt v),
            Self::I64(v) => at!(v),
            Self::OptI64(v) => at!(opt v),
            Self::F64(v) => at!(v),
            Self::OptF64(v) => at!(opt v),
            Self::Text(v) => sqlx::Arguments::add(args, v.get(row).map(String::as_str)),
            Self::OptText(v) => sqlx::Arguments::add(args, v.get(row).and_then(Option::as_deref)),
            Self::Str(v) => sqlx::Arguments::add(args, v.get(row).copied()),
            Self::OptStr(v) => sqlx::Arguments::add(args, v.get(row).copied().flatten()),
            Self::Bytes(v) => sqlx::Arguments::add(args, v.get(row).map(Vec::as_slice)),
            Self::OptBytes(v) => sqlx::Arguments::add(args, v.get(row).and_then(Option::as_deref)),
            Self::Flag(v) => sqlx::Arguments::add(args, v.get(row).map(|b| i64::from(*b))),
            Self::OneUuid(v) => sqlx::Arguments::add(args, v),
            Self::OneI64(v) => sqlx::Arguments::add(args, v),
            Self::OneText(v) => sqlx::Arguments::add(args, *v),
        }
        .map_err(sqlx::Error::Encode)
    }
}

/// Chunks of `rows`: the largest that fits, then ever smaller powers of two.
fn chunks(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut largest = ROWS;
    while largest > 1 && largest * columns > PLACES {
        largest /= 2;
    }
    let mut from = 0;
    std::iter::from_fn(move || {
        let left = rows - from;
        if left == 0 {
            return None;
        }
        let mut size = largest;
        while size > left {
            size /= 2;
        }
        from += size;
        Some((from - size, size))
    })
}

fn places(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row.as_str(); rows].join(",")
}

fn bind(
    columns: &[&(&'static str, ColumnData<'_>)],
    from: usize,
    size: usize,
) -> Result<SqliteArguments, sqlx::Error> {
    let mut args = SqliteArguments::default();
    for row in from..from + size {
        for (_, data) in columns {
            data.bind_one(&mut args, row)?;
        }
    }
    Ok(args)
}

/// Makes the statement for a chunk size, and keeps the last one.
struct Texts<F: Fn(usize) -> String> {
    make: F,
    last: Option<(usize, sqlx::SqlStr)>,
}

impl<F: Fn(usize) -> String> Texts<F> {
    fn new(make: F) -> Self {
        Self { make, last: None }
    }

    fn of(&mut self, size: usize) -> sqlx::SqlStr {
        match &self.last {
            Some((have, sql)) if *have == size => sql.clone(),
            _ => {
                let sql = safe((self.make)(size).into());
                self.last = Some((size, sql.clone()));
                sql
            }
        }
    }
}

pub(super) async fn insert(
    conn: &mut SqliteConnection,
    table: &str,
    columns: &Columns<'_>,
    rows: usize,
    conflict: &str,
    returning: Option<&str>,
) -> Result<(u64, Vec<Row>), sqlx::Error> {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let tail = returning
        .map(|list| format!(" RETURNING {list}"))
        .unwrap_or_default();
    let mut texts = Texts::new(|size| {
        format!(
            "INSERT INTO {table} ({names}) VALUES {}{conflict}{tail}",
            places(size, columns.len())
        )
    });
    let all: Vec<_> = columns.iter().collect();
    let (mut touched, mut out) = (0, Vec::new());
    for (from, size) in chunks(rows, columns.len()) {
        let query = sqlx::query_with::<Sqlite, _>(texts.of(size), bind(&all, from, size)?);
        if returning.is_some() {
            let rows = query.fetch_all(&mut *conn).await?;
            out.extend(rows.into_iter().map(|row| Row(row.into())));
        } else {
            touched += query.execute(&mut *conn).await?.rows_affected();
        }
    }
    Ok((touched, out))
}

pub(super) async fn update(
    conn: &mut SqliteConnection,
    table: &str,
    key: &Columns<'_>,
    set: &Columns<'_>,
    rows: usize,
) -> Result<u64, sqlx::Error> {
    let all: Vec<_> = key.iter().chain(set).collect();
    let equal: Vec<_> = key
        .iter()
        .enumerate()
        .map(|(i, (name, _))| format!("t.{name} = s.column{}", i + 1))
        .collect();
    let take: Vec<_> = set
        .iter()
        .enumerate()
        .map(|(i, (name, _))| format!("{name} = s.column{}", key.len() + i + 1))
        .collect();
    let mut texts = Texts::new(|size| {
        // CROSS JOIN order: the list outside, the table by its key inside
        format!(
            "UPDATE {table} AS t SET {} FROM (VALUES {}) AS s WHERE {}",
            take.join(", "),
            places(size, all.len()),
            equal.join(" AND ")
        )
    });
    let mut touched = 0;
    for (from, size) in chunks(rows, all.len()) {
        let query = sqlx::query_with::<Sqlite, _>(texts.of(size), bind(&all, from, size)?);
        touched += query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(touched)
}

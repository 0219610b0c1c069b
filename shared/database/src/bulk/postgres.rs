//! `INSERT … SELECT … FROM unnest(…)`: one statement for up to 5,000 rows, arrays in binary form.

use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments as _, Postgres};

use super::{ColumnData, Columns};
use crate::row::Row;
use crate::tx::safe;

/// Rows of one statement; more bring nothing (measured 500 to 5,000: level).
const ROWS: usize = 5_000;

impl ColumnData<'_> {
    fn array_type(&self) -> &'static str {
        match self {
            Self::Uuid(_) | Self::OptUuid(_) | Self::OneUuid(_) => "uuid",
            Self::I64(_) | Self::OptI64(_) | Self::OneI64(_) => "bigint",
            Self::F64(_) | Self::OptF64(_) => "double precision",
            Self::Text(_)
            | Self::OptText(_)
            | Self::Str(_)
            | Self::OptStr(_)
            | Self::OneText(_) => "text",
            Self::Bytes(_) | Self::OptBytes(_) => "bytea",
            Self::Flag(_) => "smallint",
        }
    }

    fn bind_array(
        &self,
        args: &mut PgArguments,
        from: usize,
        to: usize,
    ) -> Result<(), sqlx::Error> {
        fn part<T>(all: &[T], from: usize, to: usize) -> &[T] {
            all.get(from..to).unwrap_or_default()
        }
        match self {
            Self::Uuid(v) => args.add(part(v, from, to)),
            Self::OptUuid(v) => args.add(part(v, from, to)),
            Self::I64(v) => args.add(part(v, from, to)),
            Self::OptI64(v) => args.add(part(v, from, to)),
            Self::F64(v) => args.add(part(v, from, to)),
            Self::OptF64(v) => args.add(part(v, from, to)),
            Self::Text(v) => args.add(part(v, from, to)),
            Self::OptText(v) => args.add(part(v, from, to)),
            Self::Str(v) => args.add(part(v, from, to)),
            Self::OptStr(v) => args.add(part(v, from, to)),
            Self::Bytes(v) => args.add(part(v, from, to)),
            Self::OptBytes(v) => args.add(part(v, from, to)),
            Self::Flag(v) => args.add(
                part(v, from, to)
                    .iter()
                    .map(|b| i16::from(*b))
                    .collect::<Vec<i16>>(),
            ),
            Self::OneUuid(v) => args.add(v),
            Self::OneI64(v) => args.add(v),
            Self::OneText(v) => args.add(v),
        }
        .map_err(sqlx::Error::Encode)
    }
}

/// What follows INSERT: (column names, expressions, arrays, their aliases); places count from `first`.
pub(crate) struct Source {
    pub names: String,
    pub select: String,
    pub unnest: String,
}

pub(crate) fn source(columns: &Columns<'_>, first: usize) -> Source {
    let (mut names, mut select, mut arrays, mut aliases) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, (name, data)) in columns.iter().enumerate() {
        let place = first + i;
        names.push((*name).to_owned());
        match data {
            ColumnData::OneUuid(_) | ColumnData::OneI64(_) | ColumnData::OneText(_) => {
                select.push(format!("${place}::{}", data.array_type()));
            }
            _ => {
                arrays.push(format!("${place}::{}[]", data.array_type()));
                aliases.push(format!("c{place}"));
                select.push(format!("u.c{place}"));
            }
        }
    }
    Source {
        names: names.join(", "),
        select: select.join(", "),
        unnest: format!("unnest({}) u({})", arrays.join(", "), aliases.join(", ")),
    }
}

pub(crate) fn bind(
    columns: &Columns<'_>,
    args: &mut PgArguments,
    from: usize,
    to: usize,
) -> Result<(), sqlx::Error> {
    columns
        .iter()
        .try_for_each(|(_, data)| data.bind_array(args, from, to))
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    persistent: bool,
    table: &str,
    columns: &Columns<'_>,
    rows: usize,
    conflict: &str,
    returning: Option<&str>,
) -> Result<(u64, Vec<Row>), sqlx::Error> {
    let s = source(columns, 1);
    let mut sql = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {}{conflict}",
        s.names, s.select, s.unnest
    );
    if let Some(list) = returning {
        sql = format!("{sql} RETURNING {list}");
    }
    let sql = safe(sql.into());
    let (mut touched, mut out) = (0, Vec::new());
    for from in (0..rows).step_by(ROWS) {
        let mut args = PgArguments::default();
        bind(columns, &mut args, from, rows.min(from + ROWS))?;
        let query = sqlx::query_with::<Postgres, _>(sql.clone(), args).persistent(persistent);
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
    conn: &mut PgConnection,
    persistent: bool,
    table: &str,
    key: &Columns<'_>,
    set: &Columns<'_>,
    rows: usize,
) -> Result<u64, sqlx::Error> {
    let all: Vec<_> = key.iter().chain(set).cloned().collect();
    let s = source(&all, 1);
    // by place: a column may be both compared and set
    let names: Vec<_> = (1..=all.len()).map(|i| format!("v{i}")).collect();
    let equal: Vec<_> = key
        .iter()
        .zip(&names)
        .map(|((name, _), v)| format!("t.{name} = s.{v}"))
        .collect();
    let take: Vec<_> = set
        .iter()
        .zip(names.iter().skip(key.len()))
        .map(|((name, _), v)| format!("{name} = s.{v}"))
        .collect();
    let sql = format!(
        "UPDATE {table} t SET {} FROM (SELECT {} FROM {}) s({}) WHERE {}",
        take.join(", "),
        s.select,
        s.unnest,
        names.join(", "),
        equal.join(" AND ")
    );
    let sql = safe(sql.into());
    let mut touched = 0;
    for from in (0..rows).step_by(ROWS) {
        let mut args = PgArguments::default();
        bind(&all, &mut args, from, rows.min(from + ROWS))?;
        let query = sqlx::query_with::<Postgres, _>(sql.clone(), args).persistent(persistent);
        touched += query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(touched)
}

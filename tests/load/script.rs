//! A pgbench script from PostgreSQL's log of one call: the same statements, with the values that must differ between
//! transactions (ids, lane, position, request) made from counters.

use anyhow::{Context, bail};

/// A pgbench script of one transaction.
pub struct Script {
    pub text: String,
    pub statements: usize,
}

/// A logged statement with its bound values.
#[derive(Debug, Clone)]
struct Logged {
    sql: String,
    values: Vec<String>,
}

/// What stands for the literals of the logged call.
struct Marks {
    lane: String,
    position: String,
    order: String,
    customer: String,
    request: String,
}

/// Unique in all runs: run, client, transaction.
const NUMBER: &str = ":n";

impl Script {
    /// Takes a logged transaction that inserted an order of so many units.
    ///
    /// # Errors
    /// When the log has none, or one that is not understood.
    pub fn of_log(log: &str, units: i64) -> anyhow::Result<Self> {
        let all = parse(log);
        let mut transactions: Vec<Vec<Logged>> = Vec::new();
        for statement in all {
            if statement.sql.starts_with("BEGIN") {
                transactions.push(Vec::new());
            }
            if let Some(open) = transactions.last_mut() {
                open.push(statement);
            }
        }
        let of_order = transactions.into_iter().filter_map(|mut t| {
            let end = t.iter().position(|s| s.sql == "COMMIT")?;
            t.truncate(end + 1);
            let marks = Marks::find(&t, units)?;
            Some((t, marks))
        });
        // A lane below 2 could be mistaken for a version or a flag.
        let mut fit = of_order.filter(|(_, m)| m.lane.parse().is_ok_and(|l: i64| l >= 2));
        let (transaction, marks) = fit
            .next()
            .with_context(|| format!("no recorded order in PostgreSQL's log:\n{log}"))?;
        Ok(Self::write(&transaction, &marks))
    }

    fn write(transaction: &[Logged], marks: &Marks) -> Self {
        let mut text = String::from(
            "\\set i :i + 1\n\\set n (:run * 100 + :client_id) * 1000000 + :i\n\\set lane :client_id % 16\n",
        );
        let mut statements = 0;
        for logged in transaction {
            let sql = logged.filled(marks);
            statements += 1;
            if let Some((_, rest)) = logged.sql.split_once("BEGIN; ") {
                // One trip, as the service does it.
                text += "\\startpipeline\nBEGIN;\n";
                for part in rest.split("; ") {
                    text += &marks.vary(part);
                    text += ";\n";
                    statements += 1;
                }
                text += "\\endpipeline\n";
            } else if sql.starts_with("UPDATE lane") {
                text += &sql;
                text += " \\gset\n";
            } else {
                text += &sql;
                text += ";\n";
            }
        }
        Self { text, statements }
    }
}

impl Logged {
    /// The statement with its values in place.
    fn filled(&self, marks: &Marks) -> String {
        let mut sql = self.sql.clone();
        // From the last, so that $1 does not touch $12.
        for (i, value) in self.values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", i + 1), &marks.literal(value));
        }
        sql
    }
}

impl Marks {
    fn find(transaction: &[Logged], units: i64) -> Option<Self> {
        let insert = transaction.iter().find(|s| {
            s.sql.starts_with("INSERT INTO sales_order ")
                && s.values.contains(&format!("{{{units}}}"))
        })?;
        let value = |column: &str| {
            let names = insert.sql.split_once('(')?.1.split_once(')')?.0;
            let at = names.split(", ").position(|name| name == column)?;
            Some(bare(insert.values.get(at)?).to_owned())
        };
        let claim = transaction
            .first()?
            .sql
            .split_once("INSERT INTO idempotency")?
            .1;
        let request = claim.split("'\\x").nth(1)?.split('\'').next()?;
        Some(Self {
            lane: value("lane")?,
            position: value("position")?,
            order: value("id")?,
            customer: value("customer")?,
            request: request.to_owned(),
        })
    }

    /// A bound value as an expression.
    fn literal(&self, value: &str) -> String {
        let inner = bare(value);
        let made = if inner == self.lane {
            ":lane::bigint".to_owned()
        } else if inner == self.position {
            ":head::bigint".to_owned()
        } else if inner == self.order {
            order_id()
        } else if inner == self.customer {
            format!("md5(({NUMBER}::bigint % 10000)::text)::uuid")
        } else if inner.strip_prefix("\\x") == Some(&self.request) {
            request_id()
        } else if is_v7(inner) {
            // The audit entry's id: in the order of time, as the service's are.
            format!("('01900000-0000-7000-8000-' || lpad(to_hex({NUMBER}::bigint), 12, '0'))::uuid")
        } else {
            return match value {
                "NULL" => "NULL".to_owned(),
                other => format!("'{}'", other.replace('\'', "''")),
            };
        };
        if value.starts_with('{') {
            format!("ARRAY[{made}]")
        } else {
            made
        }
    }

    /// A statement whose values stand in its text.
    fn vary(&self, sql: &str) -> String {
        sql.replace(&format!("'\\x{}'", self.request), &request_id())
    }
}

fn order_id() -> String {
    format!("md5({NUMBER}::bigint::text)::uuid")
}

fn request_id() -> String {
    format!("sha256({NUMBER}::bigint::text::bytea)")
}

/// The only element of an array's text, or the text.
fn bare(value: &str) -> &str {
    let inner = value
        .strip_prefix('{')
        .and_then(|v| v.strip_suffix('}'))
        .unwrap_or(value);
    inner
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(inner)
}

fn is_v7(text: &str) -> bool {
    text.len() == 36 && text.as_bytes().get(14) == Some(&b'7') && text.matches('-').count() == 4
}

/// Statements of the log in order; those of several connections must not be mixed (the calls came one by one).
fn parse(log: &str) -> Vec<Logged> {
    let mut all: Vec<Logged> = Vec::new();
    for line in log.lines() {
        if let Some((_, sql)) = line.split_once("LOG:  statement: ") {
            all.push(Logged {
                sql: sql.trim_end_matches(';').to_owned(),
                values: Vec::new(),
            });
        } else if let Some((_, rest)) = line.split_once("LOG:  execute ") {
            if let Some((_, sql)) = rest.split_once(": ") {
                all.push(Logged {
                    sql: sql.to_owned(),
                    values: Vec::new(),
                });
            }
        } else if let Some((_, rest)) = line.split_once("DETAIL:  parameters: ")
            && let (Some(last), Ok(values)) = (all.last_mut(), values(rest))
        {
            last.values = values;
        }
    }
    all
}

/// Reads `$1 = 'it''s', $2 = NULL`.
fn values(text: &str) -> anyhow::Result<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (_, after) = rest.split_once(" = ").context("a value")?;
        let Some(quoted) = after.strip_prefix('\'') else {
            let end = after.find(", $").unwrap_or(after.len());
            values.push(after[..end].to_owned());
            rest = after[end..].trim_start_matches(", ");
            continue;
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices().peekable();
        let end = loop {
            match chars.next() {
                Some((_, '\'')) if chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                    chars.next();
                    value.push('\'');
                }
                Some((at, '\'')) => break at + 1,
                Some((_, c)) => value.push(c),
                None => bail!("an open quote in {text}"),
            }
        };
        values.push(value);
        rest = quoted[end..].trim_start_matches(", ");
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::{Script, values};

    const LOG: &str = r"
LOG:  statement: BEGIN; SET LOCAL regard.tenant = 't'; INSERT INTO idempotency (request, at) VALUES ('\xab12', 5)
LOG:  execute s1: UPDATE lane SET head = head + $1 WHERE lane = $2 RETURNING head
DETAIL:  parameters: $1 = '1', $2 = '9'
LOG:  execute s2: INSERT INTO sales_order (id, lane, customer, position, units, key_external) SELECT u.c1, $2::bigint, u.c3, u.c4, u.c5, u.c6 FROM unnest($1::uuid[])
DETAIL:  parameters: $1 = '{0f9d2f3c-0000-8000-8000-000000000001}', $2 = '9', $3 = '{0f9d2f3c-0000-8000-8000-000000000002}', $4 = '{77}', $5 = '{424242}', $6 = '{it''s}'
LOG:  execute s3: UPDATE idempotency SET answer = $1 WHERE request = $2
DETAIL:  parameters: $1 = NULL, $2 = '\xab12'
LOG:  statement: COMMIT
";

    #[test]
    fn a_logged_call_becomes_a_script() -> anyhow::Result<()> {
        let script = Script::of_log(LOG, 424_242)?;
        assert_eq!(script.statements, 7);
        for part in [
            "\\startpipeline\nBEGIN;\nSET LOCAL regard.tenant = 't';\n",
            "VALUES (sha256(:n::bigint::text::bytea), 5);\n\\endpipeline\n",
            "UPDATE lane SET head = head + '1' WHERE lane = :lane::bigint RETURNING head \\gset\n",
            "SELECT u.c1, :lane::bigint::bigint",
            "unnest(ARRAY[md5(:n::bigint::text)::uuid]::uuid[])",
            "SET answer = NULL WHERE request = sha256(",
            "COMMIT;\n",
        ] {
            assert!(
                script.text.contains(part),
                "{part} is not in\n{}",
                script.text
            );
        }
        Ok(())
    }

    #[test]
    fn quotes_and_nulls_of_values_are_read() -> anyhow::Result<()> {
        let read = values("$1 = 'it''s, $2 = 5', $2 = NULL, $3 = ''")?;
        assert_eq!(read, ["it's, $2 = 5", "NULL", ""]);
        Ok(())
    }
}

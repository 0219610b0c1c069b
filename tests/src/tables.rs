//! Looks into stores, to compare them: the statistics of every customer, as text, versions aside.

use regard_testkit::{Engine, admin_url};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// What a summary says; nothing of when or how often it was computed.
const STATISTICS: [&str; 14] = [
    "as_of",
    "next_day",
    "first_day",
    "last_day",
    "purchase_days",
    "orders",
    "units",
    "gross",
    "refunded",
    "refunded_unlinked",
    "repeat_net",
    "complaints",
    "complaints_open",
    "since",
];

/// The engine of a database.
#[must_use]
pub fn engine_of(url: &str) -> Engine {
    if url.starts_with("sqlite:") {
        Engine::Sqlite
    } else {
        Engine::Postgres
    }
}

/// The one text column that a query answers.
///
/// # Panics
/// When the store cannot be read.
pub async fn texts(url: &str, sql: String) -> Vec<String> {
    match engine_of(url) {
        Engine::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            let rows = sqlx::query(AssertSqlSafe(sql))
                .fetch_all(&mut connection)
                .await
                .unwrap();
            rows.iter().map(|row| row.get::<String, _>(0)).collect()
        }
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&admin_url(url)).await.unwrap();
            let rows = sqlx::query(AssertSqlSafe(sql))
                .fetch_all(&mut connection)
                .await
                .unwrap();
            rows.iter().map(|row| row.get::<String, _>(0)).collect()
        }
    }
}

/// Runs statements.
///
/// # Panics
/// When the store refuses.
pub async fn run(url: &str, statements: &[&str]) {
    for sql in statements {
        let sql = AssertSqlSafe((*sql).to_owned());
        match engine_of(url) {
            Engine::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
            Engine::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&admin_url(url)).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
        }
    }
}

fn hex(url: &str, column: &str) -> String {
    match engine_of(url) {
        Engine::Sqlite => format!("lower(hex({column}))"),
        Engine::Postgres if column == "answers" => format!("encode({column}, 'hex')"),
        Engine::Postgres => format!("replace(CAST({column} AS text), '-', '')"),
    }
}

/// Every customer's statistics in a scoring store, sorted; customers of whom nothing is known are left out.
pub async fn summaries(url: &str) -> Vec<String> {
    let mut columns = vec![hex(url, "tenant"), hex(url, "customer")];
    columns.extend(
        STATISTICS
            .iter()
            .map(|name| format!("'{name}=' || coalesce(CAST({name} AS text), '-')")),
    );
    columns.push(format!(
        "'answers=' || coalesce({}, '')",
        hex(url, "answers")
    ));
    let sql = format!(
        "SELECT {} FROM summary WHERE orders <> 0 OR refunded_unlinked <> 0 OR complaints <> 0 OR next_day IS NOT NULL \
         OR since IS NOT NULL OR length(answers) > 0",
        columns.join(" || ' ' || ")
    );
    let mut out = texts(url, sql).await;
    out.sort();
    out
}

/// Number of rows of a table.
///
/// # Panics
/// When the store cannot be read.
pub async fn count(url: &str, table: &str) -> u64 {
    texts(url, format!("SELECT CAST(count(*) AS text) FROM {table}")).await[0]
        .parse()
        .unwrap()
}

/// Fails with the first differences of two sorted lists.
///
/// # Panics
/// When they differ.
pub fn check_same(what: &str, found: &[String], expected: &[String]) {
    if found == expected {
        return;
    }
    let more: Vec<_> = found
        .iter()
        .filter(|row| !expected.contains(row))
        .take(5)
        .collect();
    let less: Vec<_> = expected
        .iter()
        .filter(|row| !found.contains(row))
        .take(5)
        .collect();
    panic!(
        "{what}: {} rows instead of {}\n  found only: {more:#?}\n  expected only: {less:#?}",
        found.len(),
        expected.len()
    );
}

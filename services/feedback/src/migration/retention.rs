//! How long texts are kept: when each was recorded, and the tenants' own terms, for which the customer service's feed is
//! read once more. Lock cost on PostgreSQL: `record_text` is written once and its index made, writers wait for that.

use regard_database::{Engine, Table};

/// The statements of this step.
pub(super) fn up(engine: Engine) -> Vec<String> {
    let number = match engine {
        Engine::Sqlite => "INTEGER",
        Engine::Postgres => "bigint",
    };
    let terms = Table::new("text_retention")
        .uuid("tenant")
        .uuid("epoch")
        .i64("version")
        .i64("days")
        .primary(&["tenant"]);
    let mut all = terms.create(engine);
    all.push(format!(
        "ALTER TABLE record_text ADD COLUMN recorded {number} NOT NULL DEFAULT 0"
    ));
    let mut read = vec!["record_text".to_owned()];
    for kind in ["response", "feedback_item", "complaint"] {
        read.extend([kind.to_owned(), format!("{kind}_history")]);
    }
    if engine == Engine::Postgres {
        // The owner reads and writes all tenants' rows here; the wall is closed again at the end of the same transaction.
        all.extend(
            read.iter()
                .map(|table| format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")),
        );
    }
    for kind in ["response", "feedback_item", "complaint"] {
        all.push(recorded(kind));
    }
    all.push("CREATE INDEX record_text_recorded ON record_text (tenant, recorded)".to_owned());
    all.push("DELETE FROM customer_cursor".to_owned());
    all
}

/// The text of a complaint is carried along by its later versions and stays as old as it is.
fn recorded(kind: &str) -> String {
    let of = |table: &str| {
        format!(
            "(SELECT CASE WHEN record_text.kind = 'complaint' AND record_text.part = 'text' THEN r.created ELSE r.updated END \
             FROM {table} r WHERE r.tenant = record_text.tenant AND r.id = record_text.id AND r.version = record_text.version)"
        )
    };
    format!(
        "UPDATE record_text SET recorded = coalesce({}, {}, 0) WHERE kind = '{kind}'",
        of(kind),
        of(&format!("{kind}_history"))
    )
}

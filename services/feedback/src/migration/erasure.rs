//! What the erasure of persons needs: how far the customer service's feed was read, tombstones, accounts, and three indexes
//! by which a person's records are found (writers of these tables wait while they are made).

use regard_database::{Engine, Table};

/// The statements of this step.
pub(super) fn up(engine: Engine) -> Vec<String> {
    let mut all = regard_erasure::tables(engine);
    let cursor = Table::new("customer_cursor")
        .i64("lane")
        .uuid("epoch")
        .i64("position")
        .i64("nonce")
        .primary(&["lane"]);
    all.extend(cursor.create(engine));
    for table in ["response", "feedback_item", "complaint"] {
        all.push(format!(
            "CREATE INDEX {table}_customer ON {table} (tenant, customer) WHERE customer IS NOT NULL"
        ));
    }
    all
}

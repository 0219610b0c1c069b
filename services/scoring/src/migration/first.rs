//! The first tables. New tables only: no lock on PostgreSQL that anybody waits for.

use regard_database::{Engine, Table};

pub fn up(engine: Engine) -> Vec<String> {
    let tables = [
        // What was read of a feed since its last snapshot; events and cursors belong to one load.
        Table::new("load")
            .i64("no")
            .word("feed", &["customer", "feedback"])
            .uuid("epoch")
            .word("state", &["loading", "active", "old"])
            .bytes("resume")
            .i64("created")
            .primary(&["no"]),
        // How far a load's lanes are applied, and how far their effects are in the cache.
        Table::new("feed_cursor")
            .i64("load")
            .i64("lane")
            .i64("position")
            .i64("nonce")
            .i64("cached")
            .primary(&["load", "lane"]),
        // 1: the cache's generation; 2: the fingerprint of the definitions.
        Table::new("cache_generation")
            .i64("id")
            .i64("generation")
            .primary(&["id"]),
        Table::new("tenant_state")
            .uuid("tenant")
            .text("name")
            .text("zone")
            .text("currency")
            .opt_i64("pinned_day")
            .opt_i64("history_start")
            .i64("minimum_group_size")
            .i64("record_version")
            .i64("stamp")
            .i64("models")
            .opt_i64("rolled_day")
            .i64("rolled_stamp")
            .i64("rolled_models")
            .primary(&["tenant"]),
        Table::new("event")
            .uuid("tenant")
            .uuid("customer")
            .i64("kind")
            .uuid("record")
            .i64("version")
            .i64("part")
            .i64("load")
            .i64("lane")
            .i64("position")
            .i64("occurred")
            .i64("recorded")
            .flag("live")
            .flag("anonymous")
            .i64("value")
            .i64("aux")
            .opt_uuid("link")
            .text("metric")
            .text("dimension")
            .text("question")
            .opt_text("channel")
            .primary(&[
                "tenant", "customer", "kind", "record", "version", "part", "load",
            ])
            .index_where("event_merge", &["tenant", "link"], "kind = 4")
            .index_where(
                "event_answer",
                &["tenant", "metric", "occurred"],
                "kind = 5",
            ),
        Table::new("alias")
            .uuid("tenant")
            .uuid("arrival")
            .uuid("canonical")
            .primary(&["tenant", "arrival"])
            .index("alias_canonical", &["tenant", "canonical"]),
        // A customer's summary and current scores: one row, so that both always agree.
        Table::new("summary")
            .uuid("tenant")
            .uuid("customer")
            .i64("version")
            .i64("stamp")
            .i64("models")
            .opt_i64("as_of")
            .opt_i64("next_day")
            .opt_i64("valid_until")
            .opt_i64("first_day")
            .opt_i64("last_day")
            .i64("purchase_days")
            .i64("orders")
            .i64("units")
            .i64("gross")
            .i64("refunded")
            .i64("refunded_unlinked")
            .i64("repeat_net")
            .i64("complaints")
            .i64("complaints_open")
            .opt_i64("since")
            .bytes("answers")
            .bytes("scores")
            .primary(&["tenant", "customer"]),
        Table::new("score_rank")
            .uuid("tenant")
            .text("score")
            .uuid("customer")
            .f64("value")
            .primary(&["tenant", "score", "customer"])
            .index(
                "score_rank_value",
                &["tenant", "score", "value DESC", "customer"],
            ),
        Table::new("model")
            .uuid("tenant")
            .uuid("id")
            .word("kind", &["bgnbd", "mbgnbd", "gamma_gamma", "rfm"])
            .flag("serving")
            .i64("as_of")
            .i64("created")
            .bytes("body")
            .primary(&["tenant", "id"])
            .index("model_serving", &["tenant", "kind", "serving"]),
        Table::new("operation")
            .uuid("tenant")
            .uuid("id")
            .word("kind", &["fit_model", "rescore_all"])
            .word(
                "state",
                &["waiting", "running", "done", "failed", "cancelled"],
            )
            .flag("cancel")
            .bytes("request")
            .bytes("progress")
            .bytes("result")
            .i64("created")
            .i64("updated")
            .primary(&["tenant", "id"])
            .index_where(
                "operation_open",
                &["created"],
                "state IN ('waiting', 'running')",
            ),
        Table::new("checkpoint")
            .i64("at")
            .bytes("positions")
            .primary(&["at"]),
    ];
    tables
        .into_iter()
        .flat_map(|table| table.create(engine))
        .collect()
}

//! The first schema. Creates tables only: no lock on existing ones.

use regard_database::{Engine, Step, Table};
use regard_types::Channel;
use sea_orm_migration::MigrationTrait;

pub(super) fn step() -> Box<dyn MigrationTrait> {
    Step::boxed("customer_1_start", |engine| {
        let mut all = Vec::new();
        for (current, history, table) in [
            ("tenant", "tenant_history", tenant as Body),
            ("customer", "customer_history", customer),
            ("sales_order", "sales_order_history", order),
            ("refund", "refund_history", refund),
            ("merge_edge", "merge_edge_history", merge),
        ] {
            let first = table(record(current)).primary(&["tenant", "id"]);
            all.extend(indexed(current, first).create(engine));
            let former = table(record(history)).primary(&["tenant", "id", "version"]);
            all.extend(former.create(engine));
        }
        all.extend(identity(engine));
        all
    })
}

type Body = fn(Table) -> Table;

fn record(name: &'static str) -> Table {
    Table::record(name).check("version >= 1")
}

fn tenant(table: Table) -> Table {
    let table = table.text("name").text("zone").text("currency");
    let table = table.opt_i64("pinned_day").opt_i64("history_start");
    table.i64("minimum_group_size").i64("day_version")
}

/// `attributes` is an opaque JSON object; `content` a keyed digest by which versions are compared.
fn customer(table: Table) -> Table {
    let table = table.opt_text("key_source").opt_text("key_external");
    let table = table.word("kind", &["person", "organisation"]);
    let table = table.text("attributes").opt_i64("since_day");
    table.i64("revision").bytes("content")
}

fn order(table: Table) -> Table {
    let table = table.opt_text("key_source").opt_text("key_external");
    let table = table.uuid("customer").i64("order_time").i64("gross");
    let table = table.i64("units").opt_text("channel").flag("voided");
    let words: Vec<_> = Channel::ALL.iter().map(|c| c.as_str()).collect();
    let channel = format!("channel IS NULL OR channel IN ('{}')", words.join("', '"));
    let table = table.check(&channel).check("gross >= 0");
    table.check("units >= 0").i64("revision")
}

fn refund(table: Table) -> Table {
    let table = table.opt_text("key_source").opt_text("key_external");
    let table = table.uuid("customer").opt_uuid("order_id");
    table.i64("refund_time").i64("amount").check("amount >= 0")
}

/// One edge a merged customer: its id is the customer's. Versions tell merged and stood alone again.
fn merge(table: Table) -> Table {
    table.uuid("into_id").text("evidence").flag("ended")
}

/// The indexes that the lists need; the history is read by its key only.
fn indexed(name: &str, table: Table) -> Table {
    match name {
        "customer" => table.index("customer_kind", &["tenant", "kind", "id"]),
        "sales_order" => table.index(
            "sales_order_customer",
            &["tenant", "customer", "order_time DESC", "id DESC"],
        ),
        "refund" => table.index_where(
            "refund_order",
            &["tenant", "order_id"],
            "order_id IS NOT NULL",
        ),
        _ => table,
    }
}

/// Who a person is lies apart: bytes that only this service reads, and keyed digests for look-ups.
fn identity(engine: Engine) -> Vec<String> {
    let table = Table::new("customer_identity").uuid("tenant").uuid("id");
    let table = table.i64("version").bytes("sealed");
    let mut all = table.primary(&["tenant", "id", "version"]).create(engine);
    let table = Table::new("customer_key").uuid("tenant");
    let table = table.word("kind", &["email", "phone", "name"]);
    let table = table.bytes("digest").uuid("customer");
    let table = table.primary(&["tenant", "kind", "digest", "customer"]);
    let table = table.index("customer_key_customer", &["tenant", "customer"]);
    all.extend(table.clustered().create(engine));
    all
}

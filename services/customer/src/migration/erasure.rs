//! Erasures, their receipts and what is gone. New tables; three indexes by which the rows of a person are found (writers
//! of these tables wait while they are made).

use regard_database::{Step, Table};
use sea_orm_migration::MigrationTrait;

pub(super) fn step() -> Box<dyn MigrationTrait> {
    Step::boxed("customer_2_erasure", |engine| {
        let mut all = regard_erasure::tables(engine);
        let tables = [
            Table::new("erasure")
                .uuid("tenant")
                .uuid("id")
                .i64("lane")
                .i64("position")
                .i64("created")
                .text("reason")
                .opt_i64("completed")
                .bytes("heads")
                .primary(&["tenant", "id"])
                .index("erasure_id", &["id"])
                .index("erasure_created", &["tenant", "created DESC", "id DESC"]),
            Table::new("erasure_part")
                .uuid("tenant")
                .uuid("erasure")
                .text("service")
                .bytes("part")
                .primary(&["tenant", "erasure", "service"]),
            // Which customer became which, until every service knows.
            Table::new("erasure_pair")
                .uuid("tenant")
                .uuid("erasure")
                .uuid("old")
                .uuid("new")
                .primary(&["tenant", "erasure", "old"]),
        ];
        all.extend(tables.iter().flat_map(|table| table.create(engine)));
        for (index, columns) in [
            ("refund_customer", "refund (tenant, customer)"),
            ("merge_edge_into", "merge_edge (tenant, into_id)"),
            (
                "merge_edge_history_into",
                "merge_edge_history (tenant, into_id)",
            ),
        ] {
            all.push(format!("CREATE INDEX {index} ON {columns}"));
        }
        all
    })
}

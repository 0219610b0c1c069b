//! The vault's tables. Lock cost on PostgreSQL: none, all are new.

use sea_orm_migration::MigrationTrait;

use crate::migration::{Step, Table};

pub(crate) fn step() -> Box<dyn MigrationTrait> {
    Step::boxed("frame_vault_1", |engine| {
        let mut all = Vec::new();
        // Which master key wraps, the latest last, each with a value by which it is recognised.
        let master = Table::new("vault_master").i64("ordinal").text("master");
        let master = master.bytes("check_value").i64("created");
        all.extend(master.primary(&["ordinal"]).create(engine));
        // `wrapped` is empty once a key is destroyed.
        let key = Table::new("data_key").uuid("tenant").i64("id");
        let key = key.bytes("wrapped").text("master");
        let key = key.word("state", &["active", "retiring", "destroyed"]);
        let key = key.i64("created").opt_i64("ended").check("id >= 1");
        let key = key.check("(state = 'destroyed') = (ended IS NOT NULL)");
        all.extend(key.primary(&["tenant", "id"]).create(engine));
        all.push(
            "CREATE UNIQUE INDEX data_key_active ON data_key (tenant) WHERE state = 'active'"
                .to_owned(),
        );
        // `place` says which sealed column comes next, and the last row of it that is done.
        let rotation = Table::new("key_rotation").uuid("tenant").uuid("id");
        let rotation = rotation.i64("former").i64("key");
        let rotation = rotation
            .word("state", &["running", "done"])
            .bytes("place")
            .i64("resealed");
        let rotation = rotation.i64("created").opt_i64("ended");
        all.extend(rotation.primary(&["tenant", "id"]).create(engine));
        all.push(
            "CREATE UNIQUE INDEX key_rotation_running ON key_rotation (tenant) WHERE state = 'running'".to_owned(),
        );
        all
    })
}

//! The audit's tables. Lock cost on PostgreSQL: none, all are new.

use sea_orm_migration::MigrationTrait;

use crate::engine::Engine;
use crate::migration::{Step, Table};

pub(crate) fn step() -> Box<dyn MigrationTrait> {
    Step::boxed("frame_audit_1", |engine| {
        let audit = Table::new("audit").uuid("tenant").uuid("id");
        let audit = audit.i64("lane").i64("sequence").opt_i64("position");
        let audit = audit.text("caller").text("roles");
        let audit = audit.text("method").text("action").opt_uuid("record");
        let audit = audit.opt_bytes("before_digest").opt_bytes("after_digest");
        let audit = audit.text("request_id").i64("at").bytes("mac");
        let audit = audit
            .primary(&["tenant", "id"])
            .unique("audit_chain", &["lane", "sequence"])
            .index("audit_caller", &["tenant", "caller", "id"])
            .index_where(
                "audit_record",
                &["tenant", "record", "id"],
                "record IS NOT NULL",
            );
        let mut all = audit.create(engine);
        // Ranges of a lane, each with the hash of the one before.
        let seal = Table::new("audit_seal")
            .i64("lane")
            .i64("first")
            .i64("last");
        let seal = seal.bytes("previous").bytes("hash").i64("at");
        let seal = seal.primary(&["lane", "first"]).clustered();
        all.extend(seal.create(engine));
        // How far retention took a lane's entries, and the hash of the last seal that it took.
        let trim = Table::new("audit_trim").i64("lane").i64("sequence");
        let trim = trim.bytes("hash").i64("at").bytes("mac");
        all.extend(trim.primary(&["lane"]).create(engine));
        if engine == Engine::Sqlite {
            all.extend(triggers());
        }
        all
    })
}

/// How far each lane was sealed, in one row; and which credential a caller had. On SQLite an entry replaces none.
pub(crate) fn roll_step() -> Box<dyn MigrationTrait> {
    Step::boxed("frame_audit_2", |engine| {
        let roll = Table::new("audit_roll").i64("id").bytes("heads");
        let roll = roll.i64("at").bytes("mac").check("id = 1");
        let mut all = roll.primary(&["id"]).create(engine);
        all.push("ALTER TABLE audit ADD COLUMN caller_id TEXT NOT NULL DEFAULT ''".to_owned());
        if engine == Engine::Sqlite {
            // REPLACE takes the old row without a word to the trigger of DELETE
            all.push(
                "CREATE TRIGGER audit_is_new BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit \
                 WHERE lane = NEW.lane AND sequence = NEW.sequence OR tenant = NEW.tenant AND id = NEW.id) BEGIN \
                 SELECT RAISE(ABORT, 'audit is append-only'); END"
                    .to_owned(),
            );
        }
        all
    })
}

/// SQLite has no roles: triggers refuse what only a mistake would do. Retention moves its mark first.
fn triggers() -> Vec<String> {
    let mut all = Vec::new();
    for (table, end) in [("audit", "sequence"), ("audit_seal", "last")] {
        all.push(format!(
            "CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} BEGIN \
             SELECT RAISE(ABORT, '{table} is append-only'); END"
        ));
        all.push(format!(
            "CREATE TRIGGER {table}_is_kept BEFORE DELETE ON {table} \
             WHEN OLD.{end} > coalesce((SELECT sequence FROM audit_trim WHERE lane = OLD.lane), 0) BEGIN \
             SELECT RAISE(ABORT, '{table} is append-only'); END"
        ));
    }
    all
}

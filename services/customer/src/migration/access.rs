//! API keys and roles, and what tenants decide of their callers. New columns have a constant default: no table is rewritten.

use regard_database::{Engine, Step, Table};
use sea_orm_migration::MigrationTrait;

pub(super) fn step() -> Box<dyn MigrationTrait> {
    Step::boxed("customer_2_access", |engine| {
        let mut all = tenants(engine);
        let key = Table::new("api_key")
            .uuid("tenant")
            .uuid("id")
            .i64("version");
        let key = key.i64("created").i64("updated").text("name").text("roles");
        let key = key
            .text("prefix")
            .bytes("digest")
            .opt_i64("expires")
            .opt_i64("revoked");
        let key = key
            .text("creator")
            .check("version >= 1")
            .primary(&["tenant", "id"]);
        all.extend(key.unique("api_key_prefix", &["prefix"]).create(engine));
        let role = |name: &'static str| {
            let table = Table::new(name).uuid("tenant").uuid("id").i64("version");
            let table = table
                .i64("created")
                .i64("updated")
                .text("name")
                .text("title");
            table
                .text("permissions")
                .flag("ended")
                .check("version >= 1")
        };
        let current = role("access_role").primary(&["tenant", "id"]);
        all.extend(current.create(engine));
        let former = role("access_role_history").primary(&["tenant", "id", "version"]);
        all.extend(former.create(engine));
        all
    })
}

fn tenants(engine: Engine) -> Vec<String> {
    let number = match engine {
        Engine::Sqlite => "INTEGER",
        Engine::Postgres => "bigint",
    };
    let mut all = Vec::new();
    for table in ["tenant", "tenant_history"] {
        for column in ["requests_per_second", "burst", "retention_days"] {
            all.push(format!(
                "ALTER TABLE {table} ADD COLUMN {column} {number} NOT NULL DEFAULT 0"
            ));
        }
    }
    all
}

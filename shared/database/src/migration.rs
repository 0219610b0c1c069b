//! Schema steps. A step is a name and the statements that it runs, written once for both engines; it runs in one
//! transaction, under a lock, in the order of the list. Names are unique within a service and never change.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::engine::Engine;

/// One schema step.
pub struct Step {
    name: &'static str,
    up: fn(Engine) -> Vec<String>,
}

impl Step {
    /// A step; `up` gives its statements in order. Boxed for [`crate::Database::open`].
    pub fn boxed(name: &'static str, up: fn(Engine) -> Vec<String>) -> Box<dyn MigrationTrait> {
        Box::new(Self { name, up })
    }
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let engine = match manager.get_database_backend() {
            sea_orm::DbBackend::Postgres => Engine::Postgres,
            _ => Engine::Sqlite,
        };
        for statement in (self.up)(engine) {
            manager
                .get_connection()
                .execute_unprepared(&statement)
                .await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A table in the portable subset, as statements for one engine. Column kinds: uuid (BLOB of 16 bytes on SQLite),
/// i64, f64, text, bytes, flag (0 or 1). All are NOT NULL unless made by an `opt_` method.
pub struct Table {
    name: &'static str,
    columns: Vec<(&'static str, Kind, bool)>,
    checks: Vec<String>,
    primary: &'static [&'static str],
    indexes: Vec<(
        bool,
        &'static str,
        &'static [&'static str],
        Option<&'static str>,
    )>,
    clustered: bool,
    fill_factor: Option<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Uuid,
    I64,
    F64,
    Text,
    Bytes,
    Flag,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident, $opt:ident = $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(self, column: &'static str) -> Self {
                self.column(column, Kind::$kind, false)
            }

            /// The same, or NULL.
            #[must_use]
            pub fn $opt(self, column: &'static str) -> Self {
                self.column(column, Kind::$kind, true)
            }
        )*
    };
}

impl Table {
    /// A table with what every record has: tenant, id, version, its place in the feed, and its times.
    #[must_use]
    pub fn record(name: &'static str) -> Self {
        Self::new(name)
            .uuid("tenant")
            .uuid("id")
            .i64("version")
            .i64("lane")
            .i64("position")
            .i64("created")
            .i64("updated")
    }

    /// A table without columns yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            columns: Vec::new(),
            checks: Vec::new(),
            primary: &[],
            indexes: Vec::new(),
            clustered: false,
            fill_factor: None,
        }
    }

    columns! {
        /// An id.
        uuid, opt_uuid = Uuid;
        /// A whole number.
        i64, opt_i64 = I64;
        /// A double.
        f64, opt_f64 = F64;
        /// Text.
        text, opt_text = Text;
        /// Bytes.
        bytes, opt_bytes = Bytes;
        /// 0 or 1.
        flag, opt_flag = Flag;
    }

    fn column(mut self, name: &'static str, kind: Kind, null: bool) -> Self {
        if matches!(kind, Kind::Flag) {
            self.checks.push(format!("{name} IN (0, 1)"));
        }
        self.columns.push((name, kind, null));
        self
    }

    /// Short text of a closed set, with a CHECK.
    #[must_use]
    pub fn word(mut self, column: &'static str, words: &[&str]) -> Self {
        let list: Vec<_> = words.iter().map(|w| format!("'{w}'")).collect();
        self.checks
            .push(format!("{column} IN ({})", list.join(", ")));
        self.text(column)
    }

    /// A further CHECK in portable SQL.
    #[must_use]
    pub fn check(mut self, sql: &str) -> Self {
        self.checks.push(sql.to_owned());
        self
    }

    /// The primary key.
    #[must_use]
    pub fn primary(mut self, columns: &'static [&'static str]) -> Self {
        self.primary = columns;
        self
    }

    /// An index; columns may say `x DESC`.
    #[must_use]
    pub fn index(mut self, name: &'static str, columns: &'static [&'static str]) -> Self {
        self.indexes.push((false, name, columns, None));
        self
    }

    /// An index of the rows that meet a condition.
    #[must_use]
    pub fn index_where(
        mut self,
        name: &'static str,
        columns: &'static [&'static str],
        condition: &'static str,
    ) -> Self {
        self.indexes.push((false, name, columns, Some(condition)));
        self
    }

    /// A unique index.
    #[must_use]
    pub fn unique(mut self, name: &'static str, columns: &'static [&'static str]) -> Self {
        self.indexes.push((true, name, columns, None));
        self
    }

    /// Rows lie in the order of the primary key (SQLite: WITHOUT ROWID): for small rows read by key ranges.
    #[must_use]
    pub fn clustered(mut self) -> Self {
        self.clustered = true;
        self
    }

    /// PostgreSQL leaves room in each page for rows that are updated in place; percent filled at first.
    #[must_use]
    pub fn fill_factor(mut self, percent: u8) -> Self {
        self.fill_factor = Some(percent);
        self
    }

    /// The statements that make it. Every table of a service comes from here: row-level security goes here, too.
    #[must_use]
    pub fn create(&self, engine: Engine) -> Vec<String> {
        let mut sql = format!("CREATE TABLE {} (", self.name);
        for (name, kind, null) in &self.columns {
            let _ = write!(
                sql,
                "{name} {}{}, ",
                kind.text(engine),
                if *null { "" } else { " NOT NULL" }
            );
        }
        let _ = write!(sql, "PRIMARY KEY ({})", self.primary.join(", "));
        for check in &self.checks {
            let _ = write!(sql, ", CHECK ({check})");
        }
        sql.push(')');
        match engine {
            Engine::Sqlite if self.clustered => sql.push_str(" STRICT, WITHOUT ROWID"),
            Engine::Sqlite => sql.push_str(" STRICT"),
            Engine::Postgres => {
                if let Some(percent) = self.fill_factor {
                    let _ = write!(sql, " WITH (fillfactor = {percent})");
                }
            }
        }
        let mut statements = vec![sql];
        for (unique, name, columns, condition) in &self.indexes {
            let unique = if *unique { "UNIQUE " } else { "" };
            let mut sql = format!(
                "CREATE {unique}INDEX {name} ON {} ({})",
                self.name,
                columns.join(", ")
            );
            if let Some(condition) = condition {
                let _ = write!(sql, " WHERE {condition}");
            }
            statements.push(sql);
        }
        statements
    }
}

impl Kind {
    fn text(self, engine: Engine) -> &'static str {
        match (engine, self) {
            (Engine::Sqlite, Self::Uuid | Self::Bytes) => "BLOB",
            (Engine::Sqlite, Self::I64 | Self::Flag) => "INTEGER",
            (Engine::Sqlite, Self::F64) => "REAL",
            (_, Self::Text) => "TEXT",
            (Engine::Postgres, Self::Uuid) => "uuid",
            (Engine::Postgres, Self::I64) => "bigint",
            (Engine::Postgres, Self::F64) => "double precision",
            (Engine::Postgres, Self::Bytes) => "bytea",
            (Engine::Postgres, Self::Flag) => "smallint",
        }
    }
}

/// Lanes of a fresh store. More may be added by inserting rows: a replica takes what it finds at start.
const LANES_POSTGRES: u16 = 16;

/// The tables that every service has.
pub(crate) fn frame() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Step::boxed("frame_1_changes", |engine| {
            let mut all = Vec::new();
            all.extend(
                Table::new("feed")
                    .i64("ordinal")
                    .uuid("epoch")
                    .i64("created")
                    .primary(&["ordinal"])
                    .create(engine),
            );
            // `head`: the last position given; `trimmed`: the last one that retention took; each with its nonce.
            // `audited`: the number of the lane's last audit entry.
            let lane = Table::new("lane")
                .i64("lane")
                .i64("head")
                .i64("nonce")
                .i64("trimmed")
                .i64("trimmed_nonce")
                .i64("audited");
            all.extend(lane.primary(&["lane"]).fill_factor(10).create(engine));
            let change = Table::new("change")
                .i64("lane")
                .i64("position")
                .i64("nonce")
                .uuid("tenant")
                .text("kind")
                .uuid("record")
                .i64("version")
                .opt_uuid("customer")
                .i64("occurred_at")
                .i64("recorded_at")
                .bytes("measures");
            all.extend(
                change
                    .primary(&["lane", "position"])
                    .clustered()
                    .create(engine),
            );
            let idempotency = Table::new("idempotency")
                .uuid("tenant")
                .bytes("request")
                .bytes("digest")
                .bytes("answer")
                .i64("created");
            all.extend(
                idempotency
                    .primary(&["tenant", "request"])
                    .index("idempotency_created", &["created"])
                    .clustered()
                    .create(engine),
            );
            let lease = Table::new("lease")
                .text("name")
                .text("holder")
                .i64("term")
                .i64("until");
            all.extend(lease.primary(&["name"]).create(engine));
            let lanes = if engine == Engine::Sqlite {
                1
            } else {
                LANES_POSTGRES
            };
            for lane in 0..lanes {
                all.push(format!("INSERT INTO lane (lane, head, nonce, trimmed, trimmed_nonce, audited) VALUES ({lane}, 0, 0, 0, 0, 0)"));
            }
            all
        }),
        trace_column(),
        crate::audit::step(),
        crate::audit::roll_step(),
    ]
}

/// Changes say which trace they belong to: 25 bytes, NULL for most.
fn trace_column() -> Box<dyn MigrationTrait> {
    Step::boxed("frame_2_trace", |engine| {
        let kind = Kind::Bytes.text(engine);
        vec![format!("ALTER TABLE change ADD COLUMN trace {kind}")]
    })
}

//! A small service of its own: one table of notes.
#![allow(dead_code, clippy::unwrap_used)]

use regard_database::*;
use regard_testkit::TestStore;
use regard_types::*;

pub const SECRET: IdSecret = IdSecret([7; 32]);

pub fn notes() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
    vec![Step::boxed("test_1_note", |engine| {
        Table::new("note")
            .uuid("tenant")
            .uuid("id")
            .i64("version")
            .text("body")
            .opt_text("extra")
            .opt_i64("number")
            .f64("weight")
            .flag("done")
            .opt_bytes("raw")
            .word("state", &["open", "closed"])
            .primary(&["tenant", "id"])
            .unique("note_body", &["tenant", "body"])
            .create(engine)
    })]
}

pub fn settings(store: &TestStore) -> DatabaseSettings {
    DatabaseSettings {
        acquire_ms: 20_000,
        migrate_url: store.migrate_url.clone(),
        ..DatabaseSettings::new(&store.url)
    }
}

pub async fn open_with(settings: &DatabaseSettings) -> Database {
    Database::open(settings, Service::Customer, notes(), Clock::System, SECRET)
        .await
        .unwrap()
}

pub async fn open(store: &TestStore) -> Database {
    open_with(&settings(store)).await
}

pub fn caller(name: &str) -> Caller {
    Caller::new(SECRET.tenant_id(name), name, "tester")
}

pub fn command(request_id: &str, body: u8) -> Command<'_> {
    Command {
        method: "CreateNote",
        request_id,
        digest: [body; 32],
        validate_only: false,
    }
}

pub fn change(record: Uuid, position: u64) -> Change {
    Change {
        kind: "note",
        record: RecordId(record),
        version: 1,
        customer: Some(CustomerId(record)),
        occurred_at: Micros(5),
        measures: vec![1, 2, 3],
        position,
    }
}

/// Inserts one note as a service would.
pub async fn insert(write: &mut Write, body: &str) -> Result<Uuid, Fault> {
    let id = new_record_id(&Clock::System).0;
    let tenant = write.caller().tenant.0;
    let positions = write.reserve(1).await?;
    let sql = "INSERT INTO note (tenant, id, version, body, weight, done, state) VALUES ($1, $2, 1, $3, 0.5, 0, 'open')";
    write
        .run(sql, vec![tenant.into(), id.into(), body.into()])
        .await?;
    write.change(change(id, positions.at(0)));
    write.audit("note.create", RecordId(id), None, Some([1; 32]));
    Ok(id)
}

/// A whole mutation.
pub async fn put(
    db: &Database,
    caller: &Caller,
    request_id: &str,
    body: &str,
) -> Result<(Uuid, ChangeToken), Fault> {
    let digest = body.bytes().fold(0u8, u8::wrapping_add);
    let mut write = db.mutate(caller, command(request_id, digest)).await?;
    if let Some(answer) = write.repeated() {
        return Ok((answer.records[0].1.0, answer.token.clone()));
    }
    let id = insert(&mut write, body).await?;
    let token = write.commit(vec![("note", RecordId(id), 1)]).await?;
    Ok((id, token.unwrap()))
}

pub async fn count(db: &Database, caller: &Caller, table: &str) -> i64 {
    let read = db.read(caller).await.unwrap();
    let sql = format!("SELECT count(*) FROM {table} WHERE tenant = $1");
    read.fetch_one(sql, vec![caller.tenant.0.into()])
        .await
        .unwrap()
        .unwrap()
        .get(0)
        .unwrap()
}

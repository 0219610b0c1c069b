//! The vault: what is sealed opens in its own place alone, a tenant has one key whoever comes first, the wrong master key is
//! found out at once, and both kinds of key are replaced while writers go on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use regard_database::vault::rotation;
use regard_database::vault::{KeyColumn, KeyValue, SealedColumn};
use regard_database::*;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::*;

/// The test service's sealed column: `raw` of a note.
const RAW: SealedColumn = SealedColumn {
    table: "note",
    column: "raw",
    key: &[KeyColumn::Uuid("id")],
};

fn keyed(store: &TestStore, master: MasterKeys) -> DatabaseSettings {
    DatabaseSettings {
        master: Some(master),
        ..settings(store)
    }
}

fn local(byte: u8) -> LocalKey {
    LocalKey::new([byte; 32])
}

async fn open_keyed(store: &TestStore) -> Database {
    open_with(&keyed(store, MasterKeys::new(local(1)))).await
}

/// Why opening fails, with all causes.
async fn refused(settings: &DatabaseSettings) -> String {
    let opened = Database::open(settings, Service::Customer, notes(), Clock::System, SECRET).await;
    match opened {
        Ok(_) => panic!("it opened"),
        Err(StoreError::Corrupt(cause)) => cause.to_string(),
        Err(other) => panic!("{other:?}"),
    }
}

/// Stores a sealed note, as a service does: tries again where a key was replaced.
async fn put_sealed(db: &Database, caller: &Caller, text: &str) -> Uuid {
    let vault = db.vault().unwrap();
    for _ in 0..20 {
        let sealer = vault.sealer(caller.tenant).await.unwrap();
        let mut write = db.mutate(caller, command("", 0)).await.unwrap();
        let id = insert(&mut write, text).await.unwrap();
        match sealer.fence(&write).await {
            Ok(()) => {}
            Err(StoreError::Busy(_)) => continue,
            Err(other) => panic!("{other:?}"),
        }
        let sealed = sealer
            .seal(&RAW.context(&[KeyValue::Uuid(id)]), text.as_bytes())
            .unwrap();
        let sql = "UPDATE note SET raw = $1 WHERE tenant = $2 AND id = $3";
        let values = vec![sealed.into(), caller.tenant.0.into(), id.into()];
        write.run(sql, values).await.unwrap();
        write.commit(vec![]).await.unwrap();
        return id;
    }
    panic!("the key was replaced each time");
}

/// All notes that open, by what they say.
async fn texts(db: &Database, caller: &Caller) -> Result<HashSet<String>, StoreError> {
    let tx = db.read(caller).await?;
    let sql = "SELECT id, raw, body FROM note WHERE tenant = $1 AND raw IS NOT NULL";
    let mut rows: Vec<(Uuid, Vec<u8>, String)> = Vec::new();
    for row in tx.fetch(sql, vec![caller.tenant.0.into()]).await? {
        rows.push((row.get(0)?, row.get(1)?, row.get(2)?));
    }
    let all = rows.iter().map(|row| row.1.as_slice());
    let opener = db.vault()?.opener(&tx, caller.tenant, all).await?;
    let mut out = HashSet::new();
    for (id, sealed, body) in &rows {
        let plain = opener.open(&RAW.context(&[KeyValue::Uuid(*id)]), sealed)?;
        assert_eq!(plain, body.as_bytes());
        out.insert(body.clone());
    }
    Ok(out)
}

async fn number(db: &Database, sql: &'static str) -> i64 {
    let tx = db.read_system().await.unwrap();
    tx.fetch_one(sql, vec![])
        .await
        .unwrap()
        .unwrap()
        .get(0)
        .unwrap()
}

on_both_engines!(
    a_value_opens_in_its_place_alone,
    the_first_values_of_a_tenant_share_one_key,
    a_wrong_master_key_is_found_out_at_start,
    the_master_key_is_replaced,
    a_key_service_is_a_program,
    a_data_key_is_replaced_while_writers_go_on,
    a_rotation_goes_on_where_it_stopped,
);

async fn a_value_opens_in_its_place_alone(store: TestStore) {
    let db = open_keyed(&store).await;
    let (ann, bob) = (caller("ann"), caller("bob"));
    let id = put_sealed(&db, &ann, "secret words").await;
    put_sealed(&db, &bob, "other words").await;
    let vault = db.vault().unwrap();
    let tx = db.read(&ann).await.unwrap();
    let sql = "SELECT raw FROM note WHERE tenant = $1";
    let rows = tx.fetch(sql, vec![ann.tenant.0.into()]).await.unwrap();
    let sealed: Vec<u8> = rows[0].get(0).unwrap();
    assert!(!sealed.windows(6).any(|w| w == b"secret"));
    let context = RAW.context(&[KeyValue::Uuid(id)]);
    let opener = vault
        .opener(&tx, ann.tenant, [sealed.as_slice()])
        .await
        .unwrap();
    assert_eq!(opener.open(&context, &sealed).unwrap(), b"secret words");
    let elsewhere = RAW.context(&[KeyValue::Uuid(Uuid::nil())]);
    assert!(opener.open(&elsewhere, &sealed).is_err());
    // Another tenant's key has the same number and opens nothing.
    let other = db.read(&bob).await.unwrap();
    let others = vault
        .opener(&other, bob.tenant, [sealed.as_slice()])
        .await
        .unwrap();
    assert!(others.open(&context, &sealed).is_err());
    for at in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[at] ^= 1;
        let opened = match vault.opener(&tx, ann.tenant, [bent.as_slice()]).await {
            Ok(opener) => opener.open(&context, &bent).is_ok(),
            Err(_) => false,
        };
        assert!(!opened, "byte {at} was altered and it opened");
        assert!(
            vault
                .opener(&tx, ann.tenant, [&sealed[..at]])
                .await
                .is_err()
                || at >= 33
        );
    }
    // The same text twice is not told by its bytes.
    let sealer = vault.sealer(ann.tenant).await.unwrap();
    let twice = [(); 2].map(|()| sealer.seal(&context, b"x").unwrap());
    assert_ne!(twice[0], twice[1]);
    assert!(db.vault().is_ok() && open(&store).await.vault().is_err());
}

async fn the_first_values_of_a_tenant_share_one_key(store: TestStore) {
    let (one, two) = (open_keyed(&store).await, open_keyed(&store).await);
    let ann = caller("ann");
    let mut work = tokio::task::JoinSet::new();
    for i in 0..16 {
        let (db, ann) = (
            if i % 2 == 0 { one.clone() } else { two.clone() },
            ann.clone(),
        );
        work.spawn(async move { put_sealed(&db, &ann, &format!("text {i}")).await });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    assert_eq!(number(&one, "SELECT count(*) FROM data_key").await, 1);
    assert_eq!(texts(&two, &ann).await.unwrap().len(), 16);
    // A call that only looks makes no key that seals and is gone.
    let bob = caller("bob");
    let sealer = one.vault().unwrap().sealer(bob.tenant).await.unwrap();
    let looks = Command {
        validate_only: true,
        ..command("", 0)
    };
    let write = one.mutate(&bob, looks).await.unwrap();
    sealer.fence(&write).await.unwrap();
    write.commit(vec![]).await.unwrap();
    put_sealed(&one, &bob, "kept").await;
    assert_eq!(texts(&two, &bob).await.unwrap().len(), 1);
}

async fn a_wrong_master_key_is_found_out_at_start(store: TestStore) {
    let db = open_keyed(&store).await;
    put_sealed(&db, &caller("ann"), "a").await;
    db.close().await;
    let why = refused(&keyed(&store, MasterKeys::new(local(2)))).await;
    assert!(why.contains("secrets.master_key"), "{why}");
    assert!(!why.contains("0202"), "{why}");
    // A key that names itself alike and is another one.
    struct Liar(LocalKey, String);
    #[async_trait::async_trait]
    impl MasterKey for Liar {
        fn id(&self) -> &str {
            &self.1
        }
        async fn wrap(
            &self,
            key: &vault::KeyBytes,
            context: &[u8],
        ) -> Result<Vec<u8>, MasterError> {
            self.0.wrap(key, context).await
        }
        async fn unwrap(
            &self,
            wrapped: &[u8],
            context: &[u8],
        ) -> Result<vault::KeyBytes, MasterError> {
            self.0.unwrap(wrapped, context).await
        }
    }
    let id = local(1).id().to_owned();
    let why = refused(&keyed(&store, MasterKeys::new(Liar(local(2), id)))).await;
    assert!(why.contains("does not open"), "{why}");
    let db = open_keyed(&store).await;
    assert_eq!(texts(&db, &caller("ann")).await.unwrap().len(), 1);
}

async fn the_master_key_is_replaced(store: TestStore) {
    let db = open_keyed(&store).await;
    for tenant in ["ann", "bob"] {
        put_sealed(&db, &caller(tenant), "a").await;
    }
    // Two processes replace it at once, while the one with the former key goes on.
    let both = keyed(&store, MasterKeys::new(local(2)).with_former(local(1)));
    let (a, b) = tokio::join!(open_with(&both), open_with(&both));
    put_sealed(&db, &caller("late"), "made under the former key").await;
    for tenant in ["ann", "bob", "late"] {
        assert_eq!(texts(&a, &caller(tenant)).await.unwrap().len(), 1);
        assert_eq!(texts(&b, &caller(tenant)).await.unwrap().len(), 1);
    }
    for db in [a, b, db] {
        db.close().await;
    }
    let why = refused(&keyed(
        &store,
        MasterKeys::new(local(1)).with_former(local(2)),
    ))
    .await;
    assert!(why.contains("swap"), "{why}");
    open_with(&both).await.close().await;
    // The former key is needed no more, and opens nothing.
    let after = open_with(&keyed(&store, MasterKeys::new(local(2)))).await;
    for tenant in ["ann", "bob", "late"] {
        assert_eq!(texts(&after, &caller(tenant)).await.unwrap().len(), 1);
    }
    refused(&keyed(&store, MasterKeys::new(local(1)))).await;
}

async fn a_key_service_is_a_program(store: TestStore) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kms");
    let script = |body: &str| {
        let mut file = std::fs::File::create(&program).unwrap();
        write!(file, "#!/bin/sh\n{body}\n").unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o700))
            .unwrap();
    };
    // Reversed base64 text stands for encryption: enough to see that its answers are used.
    let good = "case \"$2\" in id) echo key-7;; wrap) base64 -d | rev | base64 -w0;; unwrap) base64 -d | rev | base64 -w0;; esac";
    let reversing = good.replace("rev", "LC_ALL=C tr '\\000-\\377' '\\001-\\377\\000'");
    let inverse = "unwrap) base64 -d | LC_ALL=C tr '\\001-\\377\\000' '\\000-\\377' | base64 -w0";
    let cut = reversing.rfind("unwrap)").unwrap();
    script(&format!("{}{inverse};; esac", &reversing[..cut]));
    let line = format!("{} --region=x", program.display());
    let limit = Duration::from_secs(20);
    let key = CommandKey::connect(&line, limit).await.unwrap();
    assert_eq!(key.id(), "command-key-7");
    let db = open_with(&keyed(&store, MasterKeys::new(key))).await;
    put_sealed(&db, &caller("ann"), "sealed by a service").await;
    db.close().await;
    let key = CommandKey::connect(&line, limit).await.unwrap();
    let db = open_with(&keyed(&store, MasterKeys::new(key))).await;
    assert_eq!(texts(&db, &caller("ann")).await.unwrap().len(), 1);
    db.close().await;
    // What is wrong is told as what it is, without what was wrapped.
    let away = |error: MasterError| matches!(error, MasterError::Away(_));
    let fails = |line: String, limit: u64| async move {
        CommandKey::connect(&line, Duration::from_millis(limit))
            .await
            .unwrap_err()
    };
    assert!(away(fails("/nowhere/kms".to_owned(), 20_000).await));
    script("exit 3");
    let error = fails(line.clone(), 20_000).await;
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    script("sleep 60");
    let error = fails(line.clone(), 50).await;
    assert!(error.to_string().contains("within 50 ms"), "{error}");
    script("case \"$2\" in id) echo key-7;; *) echo '!';; esac");
    let key = CommandKey::connect(&line, limit).await.unwrap();
    let why = refused(&keyed(&store, MasterKeys::new(key))).await;
    assert!(why.contains("master key"), "{why}");
}

/// Begins a rotation as a service does.
async fn rotate(db: &Database, caller: &Caller) -> Result<rotation::Rotation, Fault> {
    let vault = db.vault().unwrap();
    for _ in 0..20 {
        let plan = vault.plan(caller.tenant).await.unwrap();
        let mut write = db.mutate(caller, command("", 0)).await.unwrap();
        write.reserve(0).await.unwrap();
        match vault
            .begin(&write, &plan, new_record_id(&Clock::System))
            .await
        {
            Ok(rotation) => {
                write.commit(vec![]).await.unwrap();
                vault.started(&rotation);
                return Ok(rotation);
            }
            Err(fault) if fault.kind == Kind::Busy => {}
            Err(fault) => return Err(fault),
        }
    }
    panic!("busy each time");
}

async fn finish(db: &Database, pages: usize) -> Option<rotation::Rotation> {
    let vault = db.vault().unwrap();
    let lease = db.lease("rotation");
    let term = lease.take(Duration::from_secs(60)).await.unwrap().unwrap();
    let mut running = vault.running(None).await.unwrap();
    let mut rotation = running.pop()?;
    for _ in 0..pages {
        vault
            .advance(&mut rotation, &[RAW], (&lease, term))
            .await
            .unwrap();
        if rotation.ended.is_some() {
            break;
        }
    }
    lease.release().await.unwrap();
    Some(rotation)
}

async fn a_data_key_is_replaced_while_writers_go_on(store: TestStore) {
    let (db, other) = (open_keyed(&store).await, open_keyed(&store).await);
    let ann = caller("ann");
    put_sealed(&other, &caller("bob"), "bob's").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut work = tokio::task::JoinSet::new();
    for i in 0..4 {
        let (db, ann, stop) = (
            if i % 2 == 0 {
                db.clone()
            } else {
                other.clone()
            },
            ann.clone(),
            stop.clone(),
        );
        work.spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) || n < 20 {
                put_sealed(&db, &ann, &format!("{i}-{n}")).await;
                n += 1;
            }
            n
        });
    }
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let rotation = rotate(&db, &ann).await.unwrap();
        if rotation.former > 0 {
            let again = rotate(&other, &ann).await.unwrap_err();
            assert_eq!(again.reason, "WRONG_STATE");
        }
        if let Some(done) = finish(&db, 1_000).await {
            assert!(done.ended.is_some(), "round {round}: {done:?}");
        }
        // A reader in between finds every value, whatever key it is under.
        texts(&other, &ann).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    while let Some(done) = work.join_next().await {
        written += done.unwrap();
    }
    assert_eq!(texts(&db, &ann).await.unwrap().len(), written);
    // A process that knew none of it opens all: nothing is left under a destroyed key.
    let fresh = open_keyed(&store).await;
    assert_eq!(texts(&fresh, &ann).await.unwrap().len(), written);
    let gone = "SELECT count(*) FROM data_key WHERE state = 'destroyed' AND length(wrapped) = 0";
    assert!(number(&db, gone).await >= 2);
    let left = "SELECT count(*) FROM data_key WHERE state <> 'destroyed'";
    assert_eq!(number(&db, left).await, 2);
    assert_eq!(texts(&fresh, &caller("bob")).await.unwrap().len(), 1);
}

async fn a_rotation_goes_on_where_it_stopped(store: TestStore) {
    let db = open_keyed(&store).await;
    let ann = caller("ann");
    let none = rotate(&db, &ann).await.unwrap();
    assert!(none.ended.is_some() && none.former == 0 && none.key == 1);
    let notes = 1_100;
    let vault = db.vault().unwrap();
    let sealer = vault.sealer(ann.tenant).await.unwrap();
    let tx = db.system().await.unwrap();
    sealer.fence(&tx).await.unwrap();
    let ids: Vec<Uuid> = (0..notes).map(|_| Uuid::new_v4()).collect();
    let bodies: Vec<String> = (0..notes).map(|i| format!("note {i}")).collect();
    let sealed: Vec<Vec<u8>> = ids
        .iter()
        .zip(&bodies)
        .map(|(id, body)| {
            sealer
                .seal(&RAW.context(&[KeyValue::Uuid(*id)]), body.as_bytes())
                .unwrap()
        })
        .collect();
    let columns = [
        ("tenant", ColumnData::OneUuid(ann.tenant.0)),
        ("id", ids.into()),
        ("version", ColumnData::OneI64(1)),
        ("body", bodies.into()),
        ("weight", ColumnData::F64(vec![0.5; notes].into())),
        ("done", vec![false; notes].into()),
        ("state", ColumnData::OneText("open")),
        ("raw", sealed.into()),
    ];
    tx.bulk_insert("note", &columns, Conflict::Fail)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    rotate(&db, &ann).await.unwrap();
    let begun = finish(&db, 1).await.unwrap();
    assert_eq!((begun.resealed, begun.ended), (500, None));
    // The process dies here; another one goes on, while both keys are needed.
    let other = open_keyed(&store).await;
    assert_eq!(texts(&other, &ann).await.unwrap().len(), notes);
    let done = finish(&other, 100).await.unwrap();
    assert_eq!(done.resealed, 1_100);
    assert!(done.ended.is_some());
    let tx = other.read_system().await.unwrap();
    let stored = rotation::get(&tx, ann.tenant, None).await.unwrap().unwrap();
    assert_eq!(stored, done);
    assert_eq!(
        rotation::get(&tx, caller("bob").tenant, Some(done.id))
            .await
            .unwrap(),
        None
    );
    drop(tx);
    assert_eq!(
        texts(&open_keyed(&store).await, &ann).await.unwrap().len(),
        notes
    );
    // One whose lease was taken over changes nothing.
    rotate(&db, &ann).await.unwrap();
    let lost = db.lease("rotation");
    let term = lost.take(Duration::ZERO).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut running = vault.running(None).await.unwrap();
    finish(&other, 100).await.unwrap();
    let fault = vault
        .advance(&mut running[0], &[RAW], (&lost, term))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, Kind::Busy);
}

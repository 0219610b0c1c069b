//! What a service has still to do after the transaction that erased a person: leave nothing of it on the disk, and tell
//! the customer service what was done.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use regard_database::{Database, Engine, StoreError, Table, Tx};
use regard_proto::common::v1::{ErasedTable, ErasurePart};
use regard_server::{Job, wire};
use regard_types::{Fault, Kind, Micros, TenantId, Uuid};

use super::receipt::sign;

pub(super) fn table() -> Table {
    Table::new("erasure_task")
        .uuid("tenant")
        .uuid("erasure")
        .bytes("counts")
        .i64("waits")
        .i64("erased")
        .flag("reported")
        .primary(&["tenant", "erasure"])
        .index_where("erasure_task_open", &["erased"], "reported = 0")
}

/// Whose news of an erasure are needed before it is done here; as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feeds(i64);

impl Feeds {
    /// The customer service's own.
    pub const CUSTOMER: Self = Self(1);
    /// The feedback service's.
    pub const FEEDBACK: Self = Self(2);
    /// Both.
    pub const BOTH: Self = Self(3);
    /// None (yet).
    pub const NONE: Self = Self(0);

    const fn without(self, other: Self) -> i64 {
        self.0 & !other.0
    }
}

/// What was done, by table: removed, relabelled, refolded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, [u64; 3]>);

impl Counts {
    fn add(&mut self, table: &str, place: usize, rows: u64) {
        if rows == 0 {
            return;
        }
        let counts = self.0.entry(table.to_owned()).or_default();
        if let Some(count) = counts.get_mut(place) {
            *count += rows;
        }
    }

    /// Rows that are gone.
    pub fn removed(&mut self, table: &str, rows: u64) {
        self.add(table, 0, rows);
    }

    /// Rows that got other ids.
    pub fn relabelled(&mut self, table: &str, rows: u64) {
        self.add(table, 1, rows);
    }

    /// Rows that were written anew.
    pub fn refolded(&mut self, table: &str, rows: u64) {
        self.add(table, 2, rows);
    }

    fn join(&mut self, other: &Self) {
        for (table, counts) in &other.0 {
            for (place, rows) in counts.iter().enumerate() {
                self.add(table, place, *rows);
            }
        }
    }

    fn to_wire(&self) -> Vec<ErasedTable> {
        let number = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let one = |(table, [removed, relabelled, refolded]): (&String, &[u64; 3])| ErasedTable {
            table: table.clone(),
            removed: number(*removed),
            relabelled: number(*relabelled),
            refolded: number(*refolded),
        };
        self.0.iter().map(one).collect()
    }

    fn of_wire(tables: &[ErasedTable]) -> Self {
        let one = |t: &ErasedTable| {
            let counts = [t.removed, t.relabelled, t.refolded].map(i64::unsigned_abs);
            (t.table.clone(), counts)
        };
        Self(tables.iter().map(one).collect())
    }
}

/// Notes what was done for an erasure in this transaction. The service's account is complete when the news of all `needs`
/// have `come`, in this call or earlier ones; what is done for an erasure that was reported already adds nothing.
///
/// # Errors
/// What the engine answers.
pub async fn note(
    tx: &Tx,
    (tenant, erasure): (TenantId, Uuid),
    counts: &Counts,
    (needs, come): (Feeds, Feeds),
    now: Micros,
) -> Result<(), StoreError> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    };
    let sql = format!(
        "SELECT counts, waits, reported FROM erasure_task WHERE tenant = $1 AND erasure = $2{lock}"
    );
    let key = vec![tenant.0.into(), erasure.into()];
    let Some(row) = tx.fetch_one(sql, key).await? else {
        let sql = "INSERT INTO erasure_task (tenant, erasure, counts, waits, erased, reported) VALUES ($1, $2, $3, $4, $5, 0)";
        let values = vec![
            tenant.0.into(),
            erasure.into(),
            encode(counts).into(),
            needs.without(come).into(),
            now.0.into(),
        ];
        tx.run(sql, values).await?;
        return Ok(());
    };
    if row.flag(2)? {
        return Ok(());
    }
    let mut all = decode(&row.get::<Vec<u8>>(0)?)?;
    all.join(counts);
    let waits = Feeds(row.get(1)?).without(come);
    let sql = "UPDATE erasure_task SET counts = $3, waits = $4, erased = $5 WHERE tenant = $1 AND erasure = $2";
    let values = vec![
        tenant.0.into(),
        erasure.into(),
        encode(&all).into(),
        waits.into(),
        now.0.into(),
    ];
    tx.run(sql, values).await?;
    Ok(())
}

fn encode(counts: &Counts) -> Vec<u8> {
    ErasurePart {
        tables: counts.to_wire(),
        ..ErasurePart::default()
    }
    .encode_to_vec()
}

fn decode(bytes: &[u8]) -> Result<Counts, StoreError> {
    let part = ErasurePart::decode(bytes).map_err(StoreError::corrupt)?;
    Ok(Counts::of_wire(&part.tables))
}

/// An account that is complete and was not told yet.
struct Task {
    tenant: TenantId,
    erasure: Uuid,
    counts: Counts,
    erased: Micros,
}

/// Accounts that are read at once.
const ROUND: i64 = 100;
/// The longest rest between two clearings of the disk.
const REST: Duration = Duration::from_secs(60);
/// Accounts that are known to be cleared.
const MOST: usize = 10_000;
/// Pause between two looks, and the longest after failures.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Clears the disk after erasures and delivers the signed accounts, again and again until each is accepted.
pub fn job<F, W>(db: &Database, deliver: F) -> Job
where
    F: Fn(TenantId, Uuid, ErasurePart) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let (db, deliver) = (db.clone(), Arc::new(deliver));
    Job::restarting("erasures", move || {
        let (db, deliver) = (db.clone(), deliver.clone());
        async move {
            let mut pause = PAUSE.0;
            let mut disk = Disk::default();
            loop {
                tokio::time::sleep(pause).await;
                pause = match round(&db, &*deliver, &mut disk).await {
                    Ok(Round { told: 0, failed }) if failed > 0 => (pause * 2).min(PAUSE.1),
                    Ok(_) => PAUSE.0,
                    Err(fault) => {
                        tracing::warn!(%fault, "erasures could not be reported yet");
                        (pause * 2).min(PAUSE.1)
                    }
                };
            }
        }
    })
}

/// What came of a round.
#[derive(Debug, Default, PartialEq, Eq)]
struct Round {
    told: usize,
    failed: usize,
}

/// Tells of every account that waits. One that is not taken keeps no other from being told.
async fn round<F, W>(db: &Database, deliver: &F, disk: &mut Disk) -> Result<Round, Fault>
where
    F: Fn(TenantId, Uuid, ErasurePart) -> W + Send + Sync,
    W: Future<Output = Result<(), Fault>> + Send,
{
    let mut done = Round::default();
    let mut after = None;
    loop {
        let tasks = open(db, after).await?;
        let Some(last) = tasks.last() else {
            return Ok(done);
        };
        after = Some((last.erased, last.tenant, last.erasure));
        disk.clear(db, &tasks).await?;
        for task in tasks {
            let (tenant, erasure) = (task.tenant, task.erasure);
            match tell(db, deliver, task).await {
                Ok(()) => done.told += 1,
                Err(fault) => {
                    done.failed += 1;
                    tracing::warn!(%tenant, %erasure, %fault, "an erasure could not be reported yet");
                }
            }
        }
    }
}

async fn tell<F, W>(db: &Database, deliver: &F, task: Task) -> Result<(), Fault>
where
    F: Fn(TenantId, Uuid, ErasurePart) -> W + Send + Sync,
    W: Future<Output = Result<(), Fault>> + Send,
{
    let part = ErasurePart {
        service: db.service().as_str().to_owned(),
        store: match db.engine() {
            Engine::Sqlite => "sqlite".to_owned(),
            Engine::Postgres => "postgres".to_owned(),
        },
        tables: task.counts.to_wire(),
        erase_time: Some(wire::timestamp(task.erased)),
        ..ErasurePart::default()
    };
    let part = sign(db.secret(), task.erasure, part)?;
    match deliver(task.tenant, task.erasure, part).await {
        // A customer service that was restored from an older backup will never know of it.
        Err(fault) if fault.kind == Kind::NotFound => {
            tracing::warn!(tenant = %task.tenant, erasure = %task.erasure, "nobody knows of an erasure that was done here; its account is not told");
        }
        told => told?,
    }
    let tx = db.system().await?;
    let sql = "UPDATE erasure_task SET reported = 1 WHERE tenant = $1 AND erasure = $2";
    tx.run(sql, vec![task.tenant.0.into(), task.erasure.into()])
        .await?;
    tx.commit().await.map(drop)
}

/// What was cleared from the disk. Writers wait while it is, so that it happens once for each account, and takes a tenth of the
/// time at most.
#[derive(Default)]
struct Disk {
    cleared: HashSet<(TenantId, Uuid, Micros)>,
    rest: Option<Instant>,
}

impl Disk {
    async fn clear(&mut self, db: &Database, tasks: &[Task]) -> Result<(), Fault> {
        let keys: HashSet<_> = tasks
            .iter()
            .map(|task| (task.tenant, task.erasure, task.erased))
            .collect();
        if keys.is_subset(&self.cleared) {
            return Ok(());
        }
        if let Some(rest) = self.rest {
            tokio::time::sleep_until(rest.into()).await;
        }
        let began = Instant::now();
        let empty = db.compact().await?;
        self.rest = Some(Instant::now() + (began.elapsed() * 9).min(REST));
        if !empty {
            return Err(Fault::busy().caused_by("readers keep the log of before"));
        }
        // Those that wait for long stay known; the rest was told and comes no more.
        if self.cleared.len() > MOST {
            self.cleared.clear();
        }
        self.cleared.extend(keys);
        Ok(())
    }
}

async fn open(
    db: &Database,
    after: Option<(Micros, TenantId, Uuid)>,
) -> Result<Vec<Task>, StoreError> {
    let tx = db.read_system().await?;
    let mut values = vec![ROUND.into()];
    let mut from = "";
    if let Some((erased, tenant, erasure)) = after {
        values.extend([erased.0.into(), tenant.0.into(), erasure.into()]);
        from = " AND (erased, tenant, erasure) > ($2, $3, $4)";
    }
    let sql = format!(
        "SELECT tenant, erasure, counts, erased FROM erasure_task WHERE reported = 0 AND waits = 0{from} ORDER BY erased, tenant, erasure LIMIT $1"
    );
    let mut out = Vec::new();
    for row in tx.fetch(sql, values).await? {
        out.push(Task {
            tenant: TenantId(row.get(0)?),
            erasure: row.get(1)?,
            counts: decode(&row.get::<Vec<u8>>(2)?)?,
            erased: Micros(row.get(3)?),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests;

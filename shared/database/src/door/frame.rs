//! What every writing transaction carries: its lane, its positions, its changes and audit entries, and how they are
//! written at the end, in one statement where the engine can.

use regard_types::{Caller, Fault, IdKey, Micros, RecordId, TenantId, TokenPart, Trace};
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use uuid::Uuid;

use super::{Change, Positions};
use crate::Database;
use crate::audit::Entry;
use crate::bulk::postgres::{bind, source};
use crate::bulk::{ColumnData, Conflict};
use crate::engine::View;
use crate::error::StoreError;
use crate::hazard::Hazard;
use crate::lane::LaneGuard;
use crate::tx::{Inner, Tx, safe};

/// Changes of one statement; beyond, they are written apart.
const ONE_STATEMENT: usize = 5_000;

pub(super) struct Frame {
    pub db: Database,
    pub at: Micros,
    pub positions: Option<Positions>,
    lane: LaneGuard,
    changes: Changes,
    audits: Vec<Noted>,
    /// The lane's last audit entry once this transaction counted there, and how many it counted.
    audited: Option<(u64, u64)>,
    /// The trace that the changes belong to, where its spans are kept.
    trace: Option<Trace>,
}

#[derive(Default)]
struct Changes {
    position: Vec<i64>,
    tenant: Vec<Uuid>,
    kind: Vec<&'static str>,
    record: Vec<Uuid>,
    version: Vec<i64>,
    customer: Vec<Option<Uuid>>,
    occurred_at: Vec<i64>,
    measures: Vec<Vec<u8>>,
}

struct Noted {
    action: &'static str,
    record: Option<RecordId>,
    before: Option<[u8; 32]>,
    after: Option<[u8; 32]>,
}

/// The end of an idempotency row.
pub(super) struct Remember {
    pub tenant: TenantId,
    pub request: [u8; 32],
    pub digest: [u8; 32],
    pub answer: Vec<u8>,
}

/// Whose audit entries they are.
pub(super) struct Who<'a> {
    pub caller: &'a Caller,
    pub method: &'static str,
    /// The idempotency key, for calls without a request id of their own.
    pub request_id: &'a str,
    /// What the mutation answers with.
    pub records: &'a [(&'static str, RecordId, i64)],
}

type Set<'a> = Vec<(&'static str, ColumnData<'a>)>;

impl Frame {
    pub async fn new(db: &Database, trace: Option<Trace>) -> Result<Self, StoreError> {
        let lane = db.0.lanes.checkout().await?;
        Ok(Self {
            db: db.clone(),
            at: db.now(),
            positions: None,
            lane,
            changes: Changes::default(),
            audits: Vec::new(),
            audited: None,
            trace: trace.filter(|trace| trace.sampled()),
        })
    }

    /// `audits`: how many audit entries are counted in the same step.
    pub async fn reserve(&mut self, tx: &Tx, n: u32, audits: u32) -> Result<Positions, Fault> {
        if self.positions.is_some() {
            return Err(Fault::bug("a transaction reserved positions twice"));
        }
        let lane = self.lane.lane;
        if n == 0 {
            let positions = Positions {
                lane,
                first: 0,
                n,
                nonce: 0,
                epoch: self.db.epoch(),
            };
            self.positions = Some(positions);
            return Ok(positions);
        }
        let nonce: i64 = rand::random_range(1..=i64::MAX);
        let sql = "UPDATE lane SET head = head + $1, nonce = $2, audited = audited + $4 WHERE lane = $3 \
                   RETURNING head, (SELECT epoch FROM feed ORDER BY ordinal DESC LIMIT 1), audited";
        let values = vec![
            i64::from(n).into(),
            nonce.into(),
            i64::from(lane).into(),
            i64::from(audits).into(),
        ];
        let row = if self.db.0.doors.hazard() == Hazard::LoosePositions {
            let outside = crate::database::begin(&self.db.0.pools, View::Nobody).await?;
            let row = outside.fetch_one(sql, values).await?;
            outside.commit().await?;
            row
        } else {
            tx.fetch_one(sql, values).await?
        };
        let row = row.ok_or_else(|| Fault::bug(format!("lane {lane} is not in the store")))?;
        let head: i64 = row.get(0)?;
        let first = u64::try_from(head - i64::from(n) + 1).map_err(Fault::bug)?;
        let positions = Positions {
            lane,
            first,
            n,
            nonce: nonce.unsigned_abs(),
            epoch: row.get(1)?,
        };
        self.positions = Some(positions);
        if audits > 0 {
            let last = u64::try_from(row.get::<i64>(2)?).map_err(Fault::bug)?;
            self.audited = Some((last, u64::from(audits)));
        }
        Ok(positions)
    }

    /// Counts `n` audit entries in the lane in all; the number of the first one. The lane's counter is locked from here on,
    /// if it was not.
    async fn count_audits(&mut self, tx: &Tx, n: u64) -> Result<u64, Fault> {
        let (mut last, had) = self.audited.unwrap_or((0, 0));
        if had < n {
            let sql = "UPDATE lane SET audited = audited + $1 WHERE lane = $2 RETURNING audited";
            let lane = self.lane.lane;
            let values = vec![(n - had).cast_signed().into(), i64::from(lane).into()];
            let row = tx.fetch_one(sql, values).await?;
            let row = row.ok_or_else(|| Fault::bug(format!("lane {lane} is not in the store")))?;
            last = u64::try_from(row.get::<i64>(0)?).map_err(Fault::bug)?;
        } else if had > n {
            return Err(Fault::bug(format!(
                "{had} audit entries were counted, {n} made"
            )));
        }
        self.audited = Some((last, n));
        Ok(last + 1 - n)
    }

    pub fn change(&mut self, tenant: TenantId, change: Change) {
        let c = &mut self.changes;
        c.position
            .push(i64::try_from(change.position).unwrap_or(i64::MAX));
        c.tenant.push(tenant.0);
        c.kind.push(change.kind);
        c.record.push(change.record.0);
        c.version.push(change.version);
        c.customer.push(change.customer.map(|c| c.0));
        c.occurred_at.push(change.occurred_at.0);
        c.measures.push(change.measures);
    }

    pub fn audit(
        &mut self,
        action: &'static str,
        record: Option<RecordId>,
        before: Option<[u8; 32]>,
        after: Option<[u8; 32]>,
    ) {
        self.audits.push(Noted {
            action,
            record,
            before,
            after,
        });
    }

    /// The last position, for the change token; None if nothing changed.
    pub fn token(&self) -> Option<TokenPart> {
        let p = self.positions.filter(|p| p.n > 0)?;
        let position = p.first + u64::from(p.n) - 1;
        Some(TokenPart {
            service: self.db.service(),
            epoch: p.epoch,
            lane: p.lane,
            position,
            nonce: p.nonce,
        })
    }

    /// Every reserved position has exactly one change: readers rely on contiguity.
    fn check(&self) -> Result<(), Fault> {
        let (first, n) = self.positions.map_or((0, 0), |p| (p.first, p.n as usize));
        let mut got = self.changes.position.clone();
        got.sort_unstable();
        let right = got.len() == n
            && got
                .iter()
                .enumerate()
                .all(|(i, p)| u64::try_from(*p) == Ok(first + i as u64));
        if right {
            return Ok(());
        }
        Err(Fault::bug(format!(
            "{n} positions from {first} were reserved, and {} changes made",
            got.len()
        )))
    }

    /// Writes changes, audit and idempotency rows.
    pub async fn write(
        &mut self,
        tx: &Tx,
        who: Option<Who<'_>>,
        remember: Option<Remember>,
    ) -> Result<(), Fault> {
        self.check()?;
        let entries = match &who {
            Some(who) => self.entries(tx, who).await?,
            None => Vec::new(),
        };
        let changes = std::mem::take(&mut self.changes);
        let rows = changes.position.len();
        let mut sets: Vec<(&'static str, Set<'_>, usize)> = Vec::new();
        if rows > 0 {
            sets.push(("change", self.change_columns(changes), rows));
        }
        if !entries.is_empty() {
            let n = entries.len();
            sets.push(("audit", self.audit_columns(entries), n));
        }
        match &mut *tx.inner.lock().await {
            Inner::Sqlite(_) => {}
            Inner::Postgres(open) => {
                for (table, _, rows) in &sets {
                    tx.grew(table, *rows);
                }
                let done = finish(&mut open.conn, tx.persistent(), &sets, remember.as_ref()).await;
                return Ok(tx.note(done).map_err(StoreError::from)?);
            }
        }
        for (table, columns, _) in &sets {
            tx.bulk_insert(table, columns, Conflict::Fail).await?;
        }
        if let Some(r) = remember {
            let sql = "INSERT INTO idempotency (tenant, request, digest, answer, created) VALUES ($1, $2, $3, $4, $5)";
            let (request, digest) = (r.request.to_vec(), r.digest.to_vec());
            let values = vec![
                r.tenant.0.into(),
                request.into(),
                digest.into(),
                r.answer.into(),
                self.at.0.into(),
            ];
            tx.run(sql, values).await?;
        }
        Ok(())
    }

    fn change_columns<'a>(&self, c: Changes) -> Set<'a> {
        let (lane, nonce) = self.positions.map_or((0, 0), |p| (p.lane, p.nonce));
        let one_tenant = c
            .tenant
            .first()
            .copied()
            .filter(|first| c.tenant.iter().all(|t| t == first));
        let one_kind = c
            .kind
            .first()
            .copied()
            .filter(|first| c.kind.iter().all(|k| k == first));
        let rows = c.position.len();
        let mut columns: Set<'a> = vec![
            ("lane", ColumnData::OneI64(i64::from(lane))),
            ("position", c.position.into()),
            ("nonce", ColumnData::OneI64(nonce.cast_signed())),
            (
                "tenant",
                one_tenant.map_or_else(|| c.tenant.into(), ColumnData::OneUuid),
            ),
            (
                "kind",
                one_kind.map_or_else(|| c.kind.into(), ColumnData::OneText),
            ),
            ("record", c.record.into()),
            ("version", c.version.into()),
            ("customer", c.customer.into()),
            ("occurred_at", c.occurred_at.into()),
            ("recorded_at", ColumnData::OneI64(self.at.0)),
            ("measures", c.measures.into()),
        ];
        if let Some(trace) = self.trace {
            columns.push(("trace", vec![trace.to_bytes().to_vec(); rows].into()));
        }
        columns
    }

    /// The audit entries of a mutation: those that the service noted, or one for all of it where it noted none. What it
    /// gave no digest of is digested from the changes.
    async fn entries(&mut self, tx: &Tx, who: &Who<'_>) -> Result<Vec<Entry>, Fault> {
        let mut noted = std::mem::take(&mut self.audits);
        if noted.is_empty() && (!self.changes.position.is_empty() || tx.wrote()) {
            let record = match who.records {
                [(_, record, _)] => Some(*record),
                _ => None,
            };
            noted.push(Noted {
                action: who.method,
                record,
                before: None,
                after: None,
            });
        }
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.count_audits(tx, noted.len() as u64).await?;
        let caller = who.caller;
        let ids = self.db.ids(caller.tenant);
        let roles: Vec<&str> = caller.roles.iter().map(AsRef::as_ref).collect();
        let request_id = match &*caller.request_id {
            "" => who.request_id,
            id => id,
        };
        let entry = |(i, n): (usize, Noted)| Entry {
            tenant: caller.tenant,
            id: id_at(self.at),
            lane: self.lane.lane,
            sequence: first + i as u64,
            position: self.token().map(|t| t.position),
            caller: caller.name.to_string(),
            caller_id: caller.id.to_string(),
            roles: roles.join(","),
            method: who.method.to_owned(),
            action: n.action.to_owned(),
            record: n.record,
            before: n.before,
            after: n.after.or_else(|| self.changes.digest(&ids, n.record)),
            request_id: request_id.to_owned(),
            at: self.at,
        };
        Ok(noted.into_iter().enumerate().map(entry).collect())
    }

    fn audit_columns<'a>(&self, entries: Vec<Entry>) -> Set<'a> {
        let key = &self.db.0.audit_key;
        let (lane, at) = (i64::from(self.lane.lane), self.at.0);
        let tenant = entries.first().map(|e| e.tenant.0).unwrap_or_default();
        let n = entries.len();
        let (mut ids, mut sequences, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut callers, mut roles, mut methods) = (Vec::new(), Vec::new(), Vec::new());
        let (mut actions, mut records, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        let (mut befores, mut afters) = (Vec::new(), Vec::new());
        let mut caller_ids = Vec::with_capacity(n);
        let mut macs = Vec::with_capacity(n);
        for e in entries {
            macs.push(key.entry(&e).to_vec());
            ids.push(e.id);
            sequences.push(e.sequence.cast_signed());
            positions.push(e.position.map(u64::cast_signed));
            callers.push(e.caller);
            caller_ids.push(e.caller_id);
            roles.push(e.roles);
            methods.push(e.method);
            actions.push(e.action);
            records.push(e.record.map(|r| r.0));
            befores.push(e.before.map(|d| d.to_vec()));
            afters.push(e.after.map(|d| d.to_vec()));
            requests.push(e.request_id);
        }
        vec![
            ("tenant", ColumnData::OneUuid(tenant)),
            ("id", ids.into()),
            ("lane", ColumnData::OneI64(lane)),
            ("sequence", sequences.into()),
            ("position", positions.into()),
            ("caller", callers.into()),
            ("caller_id", caller_ids.into()),
            ("roles", roles.into()),
            ("method", methods.into()),
            ("action", actions.into()),
            ("record", records.into()),
            ("before_digest", befores.into()),
            ("after_digest", afters.into()),
            ("request_id", requests.into()),
            ("at", ColumnData::OneI64(at)),
            ("mac", macs.into()),
        ]
    }
}

impl Changes {
    /// Keyed digest of the changes of one record, or of all; none if there are none.
    fn digest(&self, ids: &IdKey, record: Option<RecordId>) -> Option<[u8; 32]> {
        let mut bytes = Vec::new();
        for (i, id) in self.record.iter().enumerate() {
            if record.is_some_and(|r| r.0 != *id) {
                continue;
            }
            let kind = self.kind.get(i).copied().unwrap_or_default();
            let version = self.version.get(i).copied().unwrap_or_default();
            let measures = self.measures.get(i).map(Vec::as_slice).unwrap_or_default();
            for part in [
                kind.as_bytes(),
                id.as_bytes(),
                &version.to_be_bytes(),
                measures,
            ] {
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        }
        (!bytes.is_empty()).then(|| ids.digest("audited changes", &bytes))
    }
}

/// An id that sorts by this time.
fn id_at(at: Micros) -> Uuid {
    let (seconds, nanos) = Micros(at.0.max(0)).seconds();
    let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// PostgreSQL: all of it in one statement, in one trip.
async fn finish(
    conn: &mut sqlx::PgConnection,
    persistent: bool,
    sets: &[(&'static str, Set<'_>, usize)],
    remember: Option<&Remember>,
) -> Result<(), sqlx::Error> {
    let mut args = PgArguments::default();
    let mut parts = Vec::new();
    for (table, columns, rows) in sets {
        if *rows > ONE_STATEMENT {
            crate::bulk::postgres::insert(conn, persistent, table, columns, *rows, "", None)
                .await?;
            continue;
        }
        let s = source(columns, args.len() + 1);
        bind(columns, &mut args, 0, *rows)?;
        parts.push(format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {}",
            s.names, s.select, s.unnest
        ));
    }
    if let Some(r) = remember {
        // the row was claimed when the transaction began
        let n = args.len();
        parts.push(format!(
            "UPDATE idempotency SET answer = ${} WHERE tenant = ${} AND request = ${}",
            n + 1,
            n + 2,
            n + 3
        ));
        args.add(&r.answer).map_err(sqlx::Error::Encode)?;
        args.add(r.tenant.0).map_err(sqlx::Error::Encode)?;
        args.add(r.request.as_slice())
            .map_err(sqlx::Error::Encode)?;
    }
    let Some(last) = parts.pop() else {
        return Ok(());
    };
    let with: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(i, part)| format!("w{i} AS ({part})"))
        .collect();
    let sql = if with.is_empty() {
        last
    } else {
        format!("WITH {} {last}", with.join(", "))
    };
    sqlx::query_with(safe(sql.into()), args)
        .persistent(persistent)
        .execute(conn)
        .await?;
    Ok(())
}

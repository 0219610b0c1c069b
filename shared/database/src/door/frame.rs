//! What every writing transaction carries: its lane, its positions, its changes and audit entries, and how they are
//! written at the end, in one statement where the engine can.

use regard_types::{Fault, Micros, RecordId, TenantId, TokenPart, Trace};
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use uuid::Uuid;

use super::{Change, Positions};
use crate::Database;
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
    audits: Vec<Audit>,
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

struct Audit {
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
    pub tenant: TenantId,
    pub caller: &'a str,
    pub method: &'static str,
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
            trace: trace.filter(|trace| trace.sampled()),
        })
    }

    pub async fn reserve(&mut self, tx: &Tx, n: u32) -> Result<Positions, Fault> {
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
        let sql = "UPDATE lane SET head = head + $1, nonce = $2 WHERE lane = $3 \
                   RETURNING head, (SELECT epoch FROM feed ORDER BY ordinal DESC LIMIT 1)";
        let values = vec![i64::from(n).into(), nonce.into(), i64::from(lane).into()];
        let row = if self.db.0.hazard == Hazard::LoosePositions {
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
        Ok(positions)
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
        self.audits.push(Audit {
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
        let changes = std::mem::take(&mut self.changes);
        let audits = std::mem::take(&mut self.audits);
        let rows = changes.position.len();
        let mut sets: Vec<(&'static str, Set<'_>, usize)> = Vec::new();
        if rows > 0 {
            sets.push(("change", self.change_columns(changes), rows));
        }
        if let (Some(who), false) = (who, audits.is_empty()) {
            let entries = audits.len();
            sets.push(("audit", self.audit_columns(&who, &audits), entries));
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

    fn audit_columns<'a>(&self, who: &Who<'a>, audits: &[Audit]) -> Set<'a> {
        let n = audits.len();
        let last = self.token();
        let bytes = |d: Option<[u8; 32]>| d.map(|d| d.to_vec());
        let ids: Vec<Uuid> = (0..n)
            .map(|_| regard_types::new_record_id(self.db.clock()).0)
            .collect();
        vec![
            ("tenant", ColumnData::OneUuid(who.tenant.0)),
            ("id", ids.into()),
            ("lane", vec![last.map(|t| i64::from(t.lane)); n].into()),
            (
                "position",
                vec![last.map(|t| t.position.cast_signed()); n].into(),
            ),
            ("caller", ColumnData::OneText(who.caller)),
            ("method", ColumnData::OneText(who.method)),
            (
                "action",
                audits.iter().map(|a| a.action).collect::<Vec<_>>().into(),
            ),
            (
                "record",
                audits
                    .iter()
                    .map(|a| a.record.map(|r| r.0))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            (
                "before_digest",
                audits
                    .iter()
                    .map(|a| bytes(a.before))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            (
                "after_digest",
                audits
                    .iter()
                    .map(|a| bytes(a.after))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            ("at", ColumnData::OneI64(self.at.0)),
        ]
    }
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

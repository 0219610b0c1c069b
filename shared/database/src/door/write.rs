//! The mutating door: one request, one transaction.

use std::ops::Deref;
use std::time::{Duration, Instant};

use prost::Message as _;
use regard_types::{Caller, ChangeToken, Fault, Micros, RecordId, TokenPart};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::frame::{Frame, Remember, Who};
use super::hold::Hold;
use super::read::in_time;
use super::{Answer, Change, Command, Positions};
use crate::Database;
use crate::database::{begin_read_until, begin_until};
use crate::engine::{Open, Pools, View};
use crate::error::StoreError;
use crate::figures::Door;
use crate::tx::Tx;

/// The longest pause between two tries to be let in, milliseconds (up to twice as long by jitter).
const PAUSE_MS: u64 = 100;

/// An open mutation. Reads and row writes go through it (it is a [`Tx`]); dropped, it rolls back.
pub struct Write {
    tx: Tx,
    frame: Frame,
    caller: Caller,
    method: &'static str,
    validate_only: bool,
    request: Option<Request>,
    request_id: String,
    repeated: Option<Answer>,
    _alone: Option<OwnedSemaphorePermit>,
}

/// An idempotency key, digested.
#[derive(Clone, Copy)]
struct Request {
    id: [u8; 32],
    digest: [u8; 32],
}

impl Deref for Write {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl Database {
    /// Opens a mutation in the caller's tenant. A known request id gives back what it was answered
    /// ([`Write::repeated`]); of two concurrent calls with one id the second waits and is a repeat.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` for a known id with another body; busy, late or down as the store is.
    pub async fn mutate(&self, caller: &Caller, command: Command<'_>) -> Result<Write, Fault> {
        self.enter(caller, command, Hold::Shared).await
    }

    /// As [`Database::mutate`], alone with the tenant: writers of it that are at work are waited for, others wait. For
    /// work that moves ids under everybody's feet; rare and short. At most two of a process are at it, whatever their
    /// tenants, and those that wait for their turn hold nothing.
    ///
    /// # Errors
    /// As [`Database::mutate`]; busy if the turn does not come in time.
    pub async fn mutate_alone(
        &self,
        caller: &Caller,
        command: Command<'_>,
    ) -> Result<Write, Fault> {
        self.enter(caller, command, Hold::Alone).await
    }

    async fn enter(
        &self,
        caller: &Caller,
        command: Command<'_>,
        hold: Hold,
    ) -> Result<Write, Fault> {
        in_time(caller)?;
        let request = (!command.request_id.is_empty()).then(|| self.request(caller, &command));
        let alone = match hold {
            Hold::Shared => None,
            Hold::Alone => Some(self.turn().await?),
        };
        // a claim that is found taken and then gone (aged out) is tried again
        for _ in 0..3 {
            let wait = self.0.figures.wait(Door::Mutate);
            let (frame, began) = self.framed(caller, request, hold).await?;
            let (tx, answer) = match began {
                Ok(tx) if matches!(self.0.pools, Pools::Sqlite { .. }) => {
                    let answer = self
                        .answer(&tx, caller, (request, command.request_id))
                        .await?;
                    (tx, answer)
                }
                Ok(tx) => (tx, None),
                Err(StoreError::Taken(key)) if key == "idempotency" => {
                    let view = View::Tenant(caller.tenant);
                    let tx = begin_read_until(&self.0.pools, view, caller.deadline).await?;
                    match self
                        .answer(&tx, caller, (request, command.request_id))
                        .await?
                    {
                        Some(answer) => (tx, Some(answer)),
                        None => continue,
                    }
                }
                Err(error) => return Err(error.into()),
            };
            return Ok(Write {
                tx: wait.over(tx),
                frame,
                caller: caller.clone(),
                method: command.method,
                validate_only: command.validate_only,
                request,
                request_id: command.request_id.to_owned(),
                repeated: answer,
                _alone: alone,
            });
        }
        Err(Fault::busy())
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = self.0.alone.clone().acquire_owned();
        let wait = Duration::from_millis(self.0.settings.acquire_ms);
        let turn = tokio::time::timeout(wait, turn).await;
        turn.map_err(|_| StoreError::Busy("others are alone with their tenants".into()))?
            .map_err(|e| StoreError::Down(e.into()))
    }

    /// A lane, and what its transaction began with. Whoever is not let in gives the lane and the connection back before
    /// the next try: a tenant that is closed keeps nobody else from working.
    async fn framed(
        &self,
        caller: &Caller,
        request: Option<Request>,
        hold: Hold,
    ) -> Result<(Frame, Result<Tx, StoreError>), StoreError> {
        let until = Instant::now() + Duration::from_millis(self.0.settings.acquire_ms);
        let mut pause = 5;
        loop {
            let frame = Frame::new(self, caller.trace).await?;
            match self.begin_claimed(caller, request, frame.at, hold).await {
                Err(StoreError::Busy(cause)) if Instant::now() < until => {
                    drop(frame);
                    tracing::debug!(%cause, "the store is busy, trying again");
                    let jitter = rand::random_range(0..=pause);
                    tokio::time::sleep(Duration::from_millis(pause + jitter)).await;
                    pause = (pause * 2).min(PAUSE_MS);
                }
                began => return Ok((frame, began)),
            }
        }
    }

    fn request(&self, caller: &Caller, command: &Command<'_>) -> Request {
        let ids = self.ids(caller.tenant);
        let key = [
            caller.id.as_bytes(),
            command.method.as_bytes(),
            command.request_id.as_bytes(),
        ]
        .join(&0);
        Request {
            id: ids.digest("request id", &key),
            digest: ids.digest("request body", &command.digest),
        }
    }

    /// Begins; on PostgreSQL the hold of the tenant and the claim of the request id go along in the same trip (its values
    /// are hexadecimal).
    async fn begin_claimed(
        &self,
        caller: &Caller,
        request: Option<Request>,
        at: Micros,
        hold: Hold,
    ) -> Result<Tx, StoreError> {
        let pools = &self.0.pools;
        let Pools::Postgres {
            pool,
            pooler,
            doors,
            ..
        } = pools
        else {
            return begin_until(pools, View::Tenant(caller.tenant), caller.deadline).await;
        };
        let begin = pools.begin_text("BEGIN", View::Tenant(caller.tenant), caller.deadline);
        let mut text = format!("{begin}; {}", hold.sql(caller.tenant).join("; "));
        if let Some(r) = request {
            text.push_str(&format!(
                "; INSERT INTO idempotency (tenant, request, digest, answer, created) \
                 VALUES ('{}', '\\x{}', '\\x{}', '', {})",
                caller.tenant,
                hex(&r.id),
                hex(&r.digest),
                at.0
            ));
        }
        Ok(Tx::postgres(
            Open::begin(pool, text).await?,
            *pooler,
            doors.hazard(),
        ))
    }

    async fn answer(
        &self,
        tx: &Tx,
        caller: &Caller,
        (request, request_id): (Option<Request>, &str),
    ) -> Result<Option<Answer>, Fault> {
        let Some(request) = request else {
            return Ok(None);
        };
        let sql = "SELECT digest, answer FROM idempotency WHERE tenant = $1 AND request = $2";
        let values = vec![caller.tenant.0.into(), request.id.to_vec().into()];
        let Some(row) = tx.fetch_one(sql, values).await? else {
            return Ok(None);
        };
        if row.digest(0)? != request.digest {
            let message =
                "the request id was used before with another body; a new request needs a new id";
            return Err(Fault::refused("REQUEST_ID_REUSED", message).meta("request_id", request_id));
        }
        let stored: Vec<u8> = row.get(1)?;
        let stored = StoredAnswer::decode(stored.as_slice()).map_err(Fault::bug)?;
        Ok(Some(stored.answer(self)?))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Write {
    /// The answer of the first call, if this is a repeat. Then read its records and [`Write::commit`] (or drop).
    #[must_use]
    pub fn repeated(&self) -> Option<&Answer> {
        self.repeated.as_ref()
    }

    /// The time of this transaction: created, updated and recorded times are all this one.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.frame.at
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes `n` positions of this transaction's lane and locks its counter until the end. Call it once, after reads
    /// and decisions and before row writes (rows store their lane and position). `n` may be 0.
    ///
    /// # Errors
    /// INTERNAL on a second call; busy or down as the store is.
    pub async fn reserve(&mut self, n: u32) -> Result<Positions, Fault> {
        if self.repeated.is_some() {
            return Err(Fault::bug("a repeated request wrote"));
        }
        // nearly every mutation leaves one entry: it is counted in the same step
        self.frame.reserve(&self.tx, n, 1).await
    }

    /// Adds a change; written at commit.
    pub fn change(&mut self, change: Change) {
        self.frame.change(self.caller.tenant, change);
    }

    /// Adds an audit entry; written at commit with the last position. One for a whole ingest batch. A mutation that wrote
    /// and adds none leaves one for all of it, and where `after` is none it is digested from the changes. `before` and
    /// `after` are digests by the tenant's key.
    pub fn audit(
        &mut self,
        action: &'static str,
        record: impl Into<Option<RecordId>>,
        before: Option<[u8; 32]>,
        after: Option<[u8; 32]>,
    ) {
        self.frame.audit(action, record.into(), before, after);
    }

    /// Writes changes, audit and idempotency rows, commits, and wakes watchers. `records` are what a repeat of the
    /// request will be answered from. Gives the change token: empty if nothing changed, that of the first call for a
    /// repeat, None (and a rollback) for `validate_only`.
    ///
    /// # Errors
    /// INTERNAL if reserved positions and changes do not agree or a statement had failed; busy, late or down as the
    /// store is. Nothing is kept then (a lost connection apart: repeat with the same request id to find out).
    pub async fn commit(
        mut self,
        records: Vec<(&'static str, RecordId, i64)>,
    ) -> Result<Option<ChangeToken>, Fault> {
        if let Some(answer) = self.repeated {
            return Ok(Some(answer.token));
        }
        let token = self.frame.token();
        let remember = self.request.map(|r| Remember {
            tenant: self.caller.tenant,
            request: r.id,
            digest: r.digest,
            answer: StoredAnswer::new(&records, token).encode_to_vec(),
        });
        let who = Who {
            caller: &self.caller,
            method: self.method,
            request_id: &self.request_id,
            records: &records,
        };
        self.frame.write(&self.tx, Some(who), remember).await?;
        if self.validate_only {
            return Ok(None);
        }
        let grown = self.tx.grown();
        self.tx.commit().await?;
        self.frame.db.grew(grown);
        if token.is_some() {
            self.frame.db.0.hub.wake();
        }
        Ok(Some(token.map(ChangeToken::one).unwrap_or_default()))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAnswer {
    #[prost(message, repeated, tag = "1")]
    records: Vec<StoredRecord>,
    #[prost(bytes = "vec", tag = "2")]
    epoch: Vec<u8>,
    #[prost(uint32, tag = "3")]
    lane: u32,
    #[prost(uint64, tag = "4")]
    position: u64,
    #[prost(fixed64, tag = "5")]
    nonce: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredRecord {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(int64, tag = "3")]
    version: i64,
}

impl StoredAnswer {
    fn new(records: &[(&'static str, RecordId, i64)], token: Option<TokenPart>) -> Self {
        let records = records.iter().map(|(kind, id, version)| StoredRecord {
            kind: (*kind).to_owned(),
            id: id.0.as_bytes().to_vec(),
            version: *version,
        });
        Self {
            records: records.collect(),
            epoch: token
                .map(|t| t.epoch.as_bytes().to_vec())
                .unwrap_or_default(),
            lane: token.map_or(0, |t| u32::from(t.lane)),
            position: token.map_or(0, |t| t.position),
            nonce: token.map_or(0, |t| t.nonce),
        }
    }

    fn answer(self, db: &Database) -> Result<Answer, Fault> {
        let mut records = Vec::with_capacity(self.records.len());
        for r in self.records {
            let id = Uuid::from_slice(&r.id).map_err(Fault::bug)?;
            records.push((r.kind, RecordId(id), r.version));
        }
        let mut token = ChangeToken::default();
        if !self.epoch.is_empty() {
            token = ChangeToken::one(TokenPart {
                service: db.service(),
                epoch: Uuid::from_slice(&self.epoch).map_err(Fault::bug)?,
                lane: u16::try_from(self.lane).map_err(Fault::bug)?,
                position: self.position,
                nonce: self.nonce,
            });
        }
        Ok(Answer { records, token })
    }
}

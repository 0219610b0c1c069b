//! What may be done with responses. One response is a batch of one: the same checks, the same verdicts, the same writes.

use std::collections::HashMap;
use std::sync::Arc;

use regard_database::vault::Sealer;
use regard_database::{Change, Command, Database, Missed, Place, Tx, Vault, Write, settle};
use regard_erasure::{customer_erased, record_erased};
use regard_types::record::{Seen, customer_fixed};
use regard_types::{Caller, ChangeToken, Fault, IdKey, Micros, RecordId, new_record_id};

use super::domain::{Known, NewResponse, Response, Verdict, judge, wrong_answers};
use super::store::NewVersion;
use super::{KIND, store};
use crate::change::measures;
use crate::erasure::gone;
use crate::survey::{KIND as SURVEY, State, Survey, Surveys};

/// The method that ingest batches are audited under.
const INGEST: &str = "regard.feedback.v1.ResponseService/IngestResponses";

/// The responses of all tenants.
#[derive(Clone)]
pub(crate) struct Responses {
    db: Database,
    vault: Vault,
    surveys: Surveys,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Rows stored.
    pub accepted: u32,
    /// Rows that say nothing new.
    pub unchanged: u32,
    /// Rows refused: index and why.
    pub rejected: Vec<(usize, Fault)>,
    /// Names the write; None if nothing was written.
    pub token: Option<ChangeToken>,
}

/// A response that keeps the rules of its survey.
struct Row<'a> {
    id: RecordId,
    digest: [u8; 32],
    survey: Arc<Survey>,
    content: &'a NewResponse,
}

/// What was done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stored {
        version: i64,
        created: Micros,
        updated: Micros,
    },
    Unchanged {
        version: i64,
    },
    CustomerFixed,
    CustomerErased,
    RecordErased,
}

impl Outcome {
    /// Why nothing of the row counts, if so.
    fn refusal(self, row: &Row<'_>) -> Option<Fault> {
        match self {
            Self::Stored { .. } | Self::Unchanged { .. } => None,
            Self::CustomerFixed => Some(customer_fixed("response.customer", row.id)),
            Self::CustomerErased => {
                let id = row
                    .content
                    .customer
                    .map_or_else(String::new, |c| c.to_string());
                Some(customer_erased("response.customer", id))
            }
            Self::RecordErased => Some(record_erased(KIND, row.id)),
        }
    }
}

impl Responses {
    pub fn new(db: Database, vault: Vault, surveys: Surveys) -> Self {
        Self { db, vault, surveys }
    }

    /// The id key of the caller's tenant.
    pub fn ids(&self, caller: &Caller) -> IdKey {
        self.db.ids(caller.tenant)
    }

    /// Records one response; no token where it says nothing new.
    pub async fn record(
        &self,
        caller: &Caller,
        command: Command<'_>,
        new: NewResponse,
    ) -> Result<(Response, Option<ChangeToken>), Fault> {
        let ids = self.db.ids(caller.tenant);
        settle(|| async {
            let surveys = self.surveys.known(caller, [new.survey]).await?;
            let sealer = self.vault.sealer(caller.tenant).await?;
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                let (id, version) = answer.record(KIND)?;
                return Ok((
                    self.version(&write, caller, id, version).await?,
                    Some(answer.token.clone()),
                ));
            }
            let row = self.checked(&ids, &surveys, &new)?;
            let (id, digest) = (row.id, row.digest);
            let outcome = apply(&self.db, &mut write, &sealer, std::slice::from_ref(&row)).await?;
            match outcome.first() {
                Some(Outcome::Stored {
                    version,
                    created,
                    updated,
                }) => {
                    write.audit("record", id, None, Some(digest));
                    let token = write.commit(vec![(KIND, id, *version)]).await?;
                    let (version, created, updated) = (*version, *created, *updated);
                    Ok((
                        Response {
                            id,
                            version,
                            created,
                            updated,
                            content: new.clone(),
                        },
                        token,
                    ))
                }
                Some(Outcome::Unchanged { version }) => {
                    let stored = self.version(&write, caller, id, *version).await?;
                    write.commit(vec![(KIND, id, *version)]).await?;
                    Ok((stored, None))
                }
                refused => {
                    let fault = refused.and_then(|outcome| outcome.refusal(&row));
                    let bug = || Fault::bug("a response without an outcome");
                    Err(fault.unwrap_or_else(bug).into())
                }
            }
        })
        .await
    }

    /// Takes a batch: each row with its index, already checked by itself. A refused row refuses only itself.
    pub async fn ingest(
        &self,
        caller: &Caller,
        validate_only: bool,
        rows: &[(usize, NewResponse)],
    ) -> Result<Batch, Fault> {
        settle(|| self.try_ingest(caller, validate_only, rows)).await
    }

    async fn try_ingest(
        &self,
        caller: &Caller,
        validate_only: bool,
        rows: &[(usize, NewResponse)],
    ) -> Result<Batch, Missed> {
        let ids = self.db.ids(caller.tenant);
        let surveys = self
            .surveys
            .known(caller, rows.iter().map(|(_, row)| row.survey))
            .await?;
        let mut batch = Batch::default();
        let mut taken: Vec<(usize, Row<'_>)> = Vec::with_capacity(rows.len());
        let mut seen = Seen::default();
        let mut echoes = Vec::new();
        for (index, new) in rows {
            let row = match self.checked(&ids, &surveys, new) {
                Ok(row) => row,
                Err(fault) => {
                    batch.rejected.push((*index, fault));
                    continue;
                }
            };
            let says = (row.digest, new.revision);
            match seen.again("response.key", &row.id, &says) {
                Ok(false) => {
                    seen.note(row.id, *index, says);
                    taken.push((*index, row));
                }
                Ok(true) => echoes.push((*index, row.id)),
                Err(fault) => batch.rejected.push((*index, fault)),
            }
        }
        if taken.is_empty() {
            return Ok(batch);
        }
        let (indexes, taken): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        let command = Command {
            method: INGEST,
            request_id: "",
            digest: [0; 32],
            validate_only,
        };
        let sealer = self.vault.sealer(caller.tenant).await?;
        let mut write = self.db.mutate(caller, command).await?;
        let outcomes = apply(&self.db, &mut write, &sealer, &taken).await?;
        let mut refused = HashMap::new();
        for ((index, row), outcome) in indexes.into_iter().zip(&taken).zip(outcomes) {
            match outcome {
                Outcome::Stored { .. } => batch.accepted += 1,
                Outcome::Unchanged { .. } => batch.unchanged += 1,
                refusal => {
                    refused.insert(row.id, (refusal, row));
                    batch
                        .rejected
                        .extend(refusal.refusal(row).map(|fault| (index, fault)));
                }
            }
        }
        // A row that repeats another one of its batch shares its fate.
        for (index, id) in echoes {
            match refused.get(&id) {
                Some((refusal, row)) => {
                    batch
                        .rejected
                        .extend(refusal.refusal(row).map(|fault| (index, fault)));
                }
                None => batch.unchanged += 1,
            }
        }
        if batch.accepted > 0 {
            write.audit("ingest", None, None, Some(batch_digest(&ids, &taken)));
            batch.token = write.commit(Vec::new()).await?;
        }
        Ok(batch)
    }

    /// One response.
    pub async fn get(&self, caller: &Caller, id: RecordId) -> Result<Response, Fault> {
        let read = self.db.glance(caller).await?;
        store::get(&read, (&self.vault, caller.tenant), id)
            .await?
            .ok_or_else(|| Fault::not_found(KIND, id))
    }

    async fn version(
        &self,
        tx: &Tx,
        caller: &Caller,
        id: RecordId,
        version: i64,
    ) -> Result<Response, Fault> {
        let found = store::version(tx, (&self.vault, caller.tenant), id, version).await?;
        found.ok_or_else(|| record_erased(KIND, id))
    }

    /// The response with its id, digest and survey, if its answers are answers to that survey.
    fn checked<'a>(
        &self,
        ids: &IdKey,
        surveys: &HashMap<RecordId, Arc<Survey>>,
        new: &'a NewResponse,
    ) -> Result<Row<'a>, Fault> {
        let Some(survey) = surveys.get(&new.survey) else {
            return Err(Fault::not_found(SURVEY, new.survey).and_invalid(
                "response.survey",
                "no such survey in this tenant; create and publish it first",
            ));
        };
        if survey.state != State::Published {
            let fault =
                Fault::wrong_state(survey.state.as_str(), "the survey is not published yet");
            return Err(fault
                .meta("resource", SURVEY)
                .meta("id", new.survey)
                .and_invalid(
                    "response.survey",
                    "publish the survey before it takes responses",
                ));
        }
        let wrong = wrong_answers("response.answers", survey, &new.answers);
        if !wrong.is_empty() {
            return Err(crate::wrong_fields(wrong));
        }
        let id = match &new.key {
            Some(key) => RecordId(ids.id(KIND, key)),
            None => new_record_id(self.db.clock()),
        };
        Ok(Row {
            id,
            digest: ids.digest(KIND, &new.bytes()),
            survey: survey.clone(),
            content: new,
        })
    }
}

/// Writes what of the rows (no two of one id) is new; an outcome a row, in their order.
async fn apply(
    db: &Database,
    write: &mut Write,
    sealer: &Sealer,
    rows: &[Row<'_>],
) -> Result<Vec<Outcome>, Missed> {
    let (tenant, now) = (write.caller().tenant, write.now());
    let mut keys: Vec<_> = rows.iter().map(|row| row.id.0).collect();
    keys.sort_unstable();
    let heads = store::heads(write, tenant, &keys).await?;
    // Only a row without a revision that differs from the current version may equal a former one.
    let differs = |row: &&Row<'_>| {
        row.content.revision == 0
            && heads
                .get(&row.id.0)
                .is_some_and(|h| h.version > 1 && h.digest != row.digest)
    };
    let asked: Vec<_> = rows.iter().filter(differs).map(|row| row.id.0).collect();
    let former = store::former_digests(write, tenant, &asked).await?;

    let mut asked: Vec<_> = rows
        .iter()
        .flat_map(|row| {
            let new = row.content.key.is_some() && !heads.contains_key(&row.id.0);
            let customer = row.content.customer.map(|customer| customer.0);
            customer.into_iter().chain(new.then_some(row.id.0))
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let gone = gone(db, write, &asked).await?;

    let mut outcomes = Vec::with_capacity(rows.len());
    let mut versions: Vec<(&Row<'_>, i64, i64, Micros)> = Vec::new();
    for row in rows {
        let head = heads.get(&row.id.0);
        let known = head.map(|h| Known {
            version: h.version,
            revision: h.revision,
            customer: h.customer,
            seen: h.digest == row.digest || former.contains(&(row.id.0, row.digest)),
        });
        let (revision, customer) = (row.content.revision, row.content.customer);
        if customer.is_some_and(|customer| gone.contains_key(&customer.0)) {
            outcomes.push(Outcome::CustomerErased);
            continue;
        }
        if gone.contains_key(&row.id.0) {
            outcomes.push(Outcome::RecordErased);
            continue;
        }
        outcomes.push(match judge(known, revision, customer) {
            Verdict::New => {
                versions.push((row, 1, revision, now));
                Outcome::Stored {
                    version: 1,
                    created: now,
                    updated: now,
                }
            }
            Verdict::Revise { version, revision } => {
                let created = head.map_or(now, |h| h.created);
                versions.push((row, version, revision, created));
                Outcome::Stored {
                    version,
                    created,
                    updated: now,
                }
            }
            Verdict::Unchanged => Outcome::Unchanged {
                version: known.map_or(1, |k| k.version),
            },
            Verdict::CustomerFixed => Outcome::CustomerFixed,
        });
    }
    if versions.is_empty() {
        return Ok(outcomes);
    }
    // Sorted by key, so that two batches never wait for each other in a circle.
    versions.sort_unstable_by_key(|(row, ..)| row.id);
    let count = u32::try_from(versions.len()).map_err(Fault::bug)?;
    let at = write.reserve(count).await?;
    let mut new = Vec::with_capacity(versions.len());
    for (position, (row, version, revision, created)) in (at.first..).zip(versions) {
        let place = Place {
            lane: at.lane,
            position,
        };
        let Row {
            id,
            digest,
            survey,
            content,
        } = row;
        new.push(NewVersion {
            id: id.0,
            version,
            revision,
            created,
            place,
            digest: *digest,
            content,
        });
        write.change(Change {
            kind: KIND,
            record: *id,
            version,
            customer: content.customer,
            occurred_at: content.answered,
            measures: measures::response(survey, content),
            position,
        });
    }
    store::write(write, (sealer, tenant), now, &new).await?;
    Ok(outcomes)
}

/// One digest for the audit entry of a batch.
fn batch_digest(ids: &IdKey, rows: &[Row<'_>]) -> [u8; 32] {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.digest).collect();
    ids.digest("response batch", &bytes)
}

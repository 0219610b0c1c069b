//! Reading scores: from the cache where it holds what is asked for, else from the tables.

use std::sync::Arc;

use regard_cache::{Cache as _, Entry, Vector};
use regard_types::{Caller, ChangeToken, Day, Fault, Kind, Uuid};

use super::domain::ScoreSet;
use super::explain::{Explanation, explain};
use super::find::{Found, find, unknown};
use super::store;
use super::view::{View, Views};
use crate::core::Core;
use crate::erasure;

/// Reads scores.
pub struct Scores {
    pub(super) core: Arc<Core>,
    pub(super) views: Views,
}

/// A customer's scores: the customer after merges, and the set.
pub type Scored = (Uuid, ScoreSet);

/// What a read asks for beside the customers.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The answer rests on data at least this new.
    pub token: ChangeToken,
    /// The day that the answer is about; None for the tenant's today.
    pub as_of: Option<Day>,
}

/// A score explained, with the day and validity that it is about.
#[derive(Debug)]
pub struct Explained {
    /// The explanation.
    pub explanation: Explanation,
    /// The set that the score belongs to.
    pub set: ScoreSet,
}

impl Scores {
    /// Over what all parts share.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            views: Views::default(),
        }
    }

    /// What all parts share.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The place of a score in the book.
    ///
    /// # Errors
    /// `DEFINITION_UNKNOWN`, naming those that there are.
    pub fn place(&self, name: &str) -> Result<usize, Fault> {
        self.core.book.score(name).ok_or_else(|| {
            let message = format!(
                "no score has this name; there are {}",
                self.core.book.score_names()
            );
            Fault::new(Kind::NotFound, "DEFINITION_UNKNOWN", message)
                .meta("definition", name)
                .meta("resource", "score definition")
                .meta("id", name)
        })
    }

    /// The scores as of today, if this process has them at hand: no await, no store.
    #[must_use]
    pub fn at_hand(&self, caller: &Caller, arrival: Uuid) -> Option<Scored> {
        let view = self.views.at_hand(&self.core, caller.tenant)?;
        self.hit(&view, arrival, None)
    }

    fn hit(&self, view: &View, arrival: Uuid, need: Option<&Vector>) -> Option<Scored> {
        let key = self.core.key(view.state.tenant, view.state.stamp, arrival);
        self.current(view, &self.core.cache.hit(&key, need)?)
    }

    /// What an entry says, if it still holds.
    fn current(&self, view: &View, entry: &Entry) -> Option<Scored> {
        let scored = store::decode(&self.core.book, &entry.value).ok()??;
        view.holds(&scored.1, self.core.clock()).then_some(scored)
    }

    /// A customer's scores. One that scoring has not heard of has scores without values.
    ///
    /// # Errors
    /// `TOKEN_EPOCH_GONE`, `DEADLINE_EXCEEDED`, and what the engine answers.
    pub async fn get(&self, caller: &Caller, arrival: Uuid, ask: &Ask) -> Result<Scored, Fault> {
        let (view, need) = self.views.covering(&self.core, caller, &ask.token).await?;
        if let Some(day) = self.another_day(&view, ask) {
            let found = find(&self.core, caller, &[arrival], Some(day))
                .await?
                .one(arrival)?;
            return Ok((found.customer, found.set.clone()));
        }
        let key = self.core.key(caller.tenant, view.state.stamp, arrival);
        let need = need.as_ref();
        let entry = self
            .core
            .cache
            .get_or_fill(&key, need, || self.fill(caller, &view, arrival, need))
            .await?;
        if entry.version == erasure::GONE.unsigned_abs() {
            return Err(erasure::gone(arrival));
        }
        if let Some(scored) = self.current(&view, &entry) {
            return Ok(scored);
        }
        // The row waits for its roll or its fold. What is computed meanwhile lies apart: it has the row's version, too.
        let key = self.core.key(caller.tenant, self.computed(&view), arrival);
        let entry = self
            .core
            .cache
            .get_or_fill(&key, need, || self.compute(caller, arrival, need))
            .await?;
        let scored = store::decode(&self.core.book, &entry.value)?;
        scored.ok_or_else(|| Fault::bug("a score set of other definitions under this one's key"))
    }

    /// The day asked for, if it is another one than today.
    fn another_day(&self, view: &View, ask: &Ask) -> Option<Day> {
        ask.as_of
            .filter(|day| *day != view.state.today(self.core.clock()))
    }

    /// A stamp of the cache's keys for what reads compute: never one of a tenant's own.
    fn computed(&self, view: &View) -> i64 {
        let state = &view.state;
        let mixed = [
            state.models,
            i64::from(state.today(self.core.clock()).0),
            self.core.book.fingerprint.cast_signed(),
        ];
        let mixed = mixed
            .iter()
            .fold(state.stamp.cast_unsigned(), |hash, part| {
                (hash ^ part.cast_unsigned())
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .rotate_left(29)
            });
        // Half of all numbers lie beyond any stamp.
        i64::MIN.wrapping_add((mixed >> 1).cast_signed())
    }

    /// The row as it lies in the table; positions first: the row holds them, or later ones.
    async fn fill(
        &self,
        caller: &Caller,
        view: &View,
        arrival: Uuid,
        need: Option<&Vector>,
    ) -> Result<Entry, Fault> {
        let core = &*self.core;
        let at = std::time::Instant::now();
        let tx = core.db.glance(caller).await?;
        let applied = super::applied::read(&tx, at).await?;
        covers(&applied.vector, need)?;
        let row = store::of_arrivals(&tx, caller.tenant, &[arrival])
            .await?
            .pop();
        if row.is_none() {
            let ids = core.db.ids(caller.tenant);
            let gone = erasure::among(&tx, caller.tenant, &ids, &[arrival]).await?;
            if !gone.is_empty() {
                return Err(erasure::gone(arrival));
            }
        }
        drop(tx);
        Ok(match row {
            Some(row) => entry(row.version, applied.vector, row.scores),
            None => entry(0, applied.vector, self.nothing(view, arrival)),
        })
    }

    fn nothing(&self, view: &View, arrival: Uuid) -> Vec<u8> {
        let set = unknown(
            &self.core,
            &view.state,
            view.state.today(self.core.clock()),
            true,
        );
        store::encode(&self.core.book, arrival, &set)
    }

    async fn compute(
        &self,
        caller: &Caller,
        arrival: Uuid,
        need: Option<&Vector>,
    ) -> Result<Entry, Fault> {
        let finding = find(&self.core, caller, &[arrival], None).await?;
        covers(&finding.vector, need)?;
        let found = finding.one(arrival)?;
        let bytes = store::encode(&self.core.book, found.customer, &found.set);
        Ok(entry(found.set.version, finding.vector, bytes))
    }

    /// The scores of several customers, in the order asked; the store is asked once for all that the cache lacks.
    ///
    /// # Errors
    /// As [`Scores::get`].
    pub async fn batch(
        &self,
        caller: &Caller,
        arrivals: &[Uuid],
        ask: &Ask,
    ) -> Result<Vec<Scored>, Fault> {
        let (view, need) = self.views.covering(&self.core, caller, &ask.token).await?;
        if let Some(day) = self.another_day(&view, ask) {
            let finding = find(&self.core, caller, arrivals, Some(day)).await?;
            finding.all_there(arrivals)?;
            return arrivals
                .iter()
                .map(|a| Ok(finding.of(*a).map(|f| (f.customer, f.set.clone()))?))
                .collect();
        }
        let keys: Vec<_> = arrivals
            .iter()
            .map(|a| self.core.key(caller.tenant, view.state.stamp, *a))
            .collect();
        let mut out: Vec<Option<Scored>> = Vec::with_capacity(arrivals.len());
        for entry in self.core.cache.get_many(&keys).await {
            let entry = entry.filter(|e| e.covers(need.as_ref()));
            out.push(entry.and_then(|entry| self.current(&view, &entry)));
        }
        let missing = |out: &[Option<Scored>]| -> Vec<Uuid> {
            let missing = arrivals
                .iter()
                .zip(out)
                .filter(|(_, found)| found.is_none());
            missing.map(|(arrival, _)| *arrival).collect()
        };
        let absent = missing(&out);
        if !absent.is_empty() {
            let entries = self
                .fill_many(caller, &view, &absent, need.as_ref())
                .await?;
            for (arrival, found) in arrivals.iter().zip(&mut out) {
                if found.is_none() {
                    *found = entries
                        .get(arrival)
                        .and_then(|entry| self.current(&view, entry));
                }
            }
        }
        let expired = missing(&out);
        if !expired.is_empty() {
            let finding = find(&self.core, caller, &expired, None).await?;
            covers(&finding.vector, need.as_ref())?;
            // Never a hit: whatever was cached of one that was erased counts no more.
            finding.all_there(arrivals)?;
            for (arrival, scored) in arrivals.iter().zip(&mut out) {
                if scored.is_none() {
                    let found = finding.of(*arrival)?;
                    *scored = Some((found.customer, found.set.clone()));
                }
            }
        }
        Ok(out.into_iter().flatten().collect())
    }

    async fn fill_many(
        &self,
        caller: &Caller,
        view: &View,
        arrivals: &[Uuid],
        need: Option<&Vector>,
    ) -> Result<std::collections::HashMap<Uuid, Entry>, Fault> {
        let core = &*self.core;
        let at = std::time::Instant::now();
        let tx = core.db.glance(caller).await?;
        let applied = super::applied::read(&tx, at).await?;
        covers(&applied.vector, need)?;
        let rows = store::of_arrivals(&tx, caller.tenant, arrivals).await?;
        let mut out = std::collections::HashMap::with_capacity(arrivals.len());
        if rows.len() < arrivals.len() {
            let ids = core.db.ids(caller.tenant);
            for gone in erasure::among(&tx, caller.tenant, &ids, arrivals).await? {
                out.insert(
                    gone,
                    entry(erasure::GONE, applied.vector.clone(), Vec::new()),
                );
            }
        }
        drop(tx);
        for row in rows {
            out.insert(
                row.asked,
                entry(row.version, applied.vector.clone(), row.scores),
            );
        }
        for arrival in arrivals {
            out.entry(*arrival)
                .or_insert_with(|| entry(0, applied.vector.clone(), self.nothing(view, *arrival)));
        }
        let entries: Vec<_> = out
            .iter()
            .map(|(arrival, e)| {
                (
                    core.key(caller.tenant, view.state.stamp, *arrival),
                    e.clone(),
                )
            })
            .collect();
        core.cache.put_many(&entries).await;
        Ok(out)
    }

    /// Explains one score of a customer.
    ///
    /// # Errors
    /// As [`Scores::get`].
    pub async fn explain(
        &self,
        caller: &Caller,
        arrival: Uuid,
        place: usize,
        ask: &Ask,
    ) -> Result<Explained, Fault> {
        let (_, need) = self.views.covering(&self.core, caller, &ask.token).await?;
        let finding = find(&self.core, caller, &[arrival], ask.as_of).await?;
        covers(&finding.vector, need.as_ref())?;
        let found = finding.one(arrival)?;
        let Some(definition) = self.core.book.scores.get(place) else {
            return Err(Fault::bug("a score that is not in the book"));
        };
        let basis = finding.state.basis(found.set.as_of);
        let mut explanation = explain(place, definition, &found.summary, basis, &finding.serving);
        note(&mut explanation, &found, place);
        Ok(Explained {
            explanation,
            set: found.set.clone(),
        })
    }
}

/// What an explanation computes anew lacks what is known of the customer as a whole.
fn note(explanation: &mut Explanation, found: &Found, place: usize) {
    let Some(stored) = found.set.values.iter().find(|v| v.definition == place) else {
        return;
    };
    if !found.known {
        explanation.score = stored.clone();
        explanation.summary = format!("{}.", stored.reasons.join("; "));
        return;
    }
    for reason in &stored.reasons {
        if !explanation.score.reasons.contains(reason) {
            explanation.score.reasons.push(reason.clone());
        }
    }
}

fn entry(version: i64, vector: Vector, bytes: Vec<u8>) -> Entry {
    Entry {
        version: version.unsigned_abs(),
        vector,
        value: bytes.into(),
    }
}

/// Positions never fall within an epoch: a snapshot that lacks what was applied a moment ago is of another one.
fn covers(vector: &Vector, need: Option<&Vector>) -> Result<(), Fault> {
    if need.is_none_or(|need| vector.covers(need)) {
        return Ok(());
    }
    Err(Fault::refused(
        "TOKEN_EPOCH_GONE",
        "the service was restored from a backup while the read ran; read without the token and send the writes again",
    ))
}

//! What may be done with surveys: each operation is one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use regard_database::history::Lock;
use regard_database::{
    Answer, Change, Command, Database, Missed, Place, StoreError, Tx, Write, settle,
};
use regard_types::{Caller, ChangeToken, Fault, IdKey, RecordId, TenantId, new_record_id};

use super::domain::{NewSurvey, State, Survey};
use super::published::Published;
use super::{KIND, store};
use crate::change::measures;

/// About the most bytes of one page: a message must hold it, with one more survey of the largest kind (0.5 MiB).
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Surveys that are read at once.
const PART: usize = 50;

/// A survey and the token of the write; no token where nothing was written.
pub(crate) type Written = (Survey, Option<ChangeToken>);

/// The surveys of all tenants.
#[derive(Clone)]
pub(crate) struct Surveys {
    db: Database,
    published: Arc<Published>,
}

impl Surveys {
    pub fn new(db: Database) -> Self {
        Self {
            db,
            published: Arc::default(),
        }
    }

    /// The id key of the caller's tenant.
    pub fn ids(&self, caller: &Caller) -> IdKey {
        self.db.ids(caller.tenant)
    }

    /// Creates a draft. A key that is stored already with the same content returns what is stored.
    pub async fn create(
        &self,
        caller: &Caller,
        command: Command<'_>,
        new: NewSurvey,
    ) -> Result<Written, Fault> {
        settle(|| async {
            let ids = self.db.ids(caller.tenant);
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                return Ok(self.repeat(&write, caller, answer).await?);
            }
            let id = match &new.key {
                Some(key) => RecordId(ids.id(KIND, key)),
                None => new_record_id(self.db.clock()),
            };
            if let Some(stored) = store::get(&write, caller.tenant, id, Lock::Yes).await? {
                if stored.content != new {
                    return Err(Fault::exists(KIND, id).into());
                }
                write.commit(vec![(KIND, id, stored.version)]).await?;
                return Ok((stored, None));
            }
            let now = write.now();
            let survey = Survey {
                id,
                version: 1,
                created: now,
                updated: now,
                state: State::Draft,
                content: new.clone(),
            };
            let place = self.announce(&mut write, &survey).await?;
            store::insert(&write, caller.tenant, place, &survey).await?;
            write.audit("create", id, None, Some(ids.digest(KIND, &survey.bytes())));
            let token = write.commit(vec![(KIND, id, 1)]).await?;
            Ok((survey, token))
        })
        .await
    }

    /// Publishes a draft; `etag` empty takes whatever version is stored.
    pub async fn publish(
        &self,
        caller: &Caller,
        command: Command<'_>,
        id: RecordId,
        etag: &str,
    ) -> Result<Written, Fault> {
        let written = settle(|| async {
            let ids = self.db.ids(caller.tenant);
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                return Ok(self.repeat(&write, caller, answer).await?);
            }
            let stored = store::get(&write, caller.tenant, id, Lock::Yes).await?;
            let mut survey = stored.ok_or_else(|| Fault::not_found(KIND, id))?;
            regard_server::wire::check_etag(etag, KIND, id.0, survey.version)?;
            let before = ids.digest(KIND, &survey.bytes());
            let at = survey.state;
            survey.state = at.publish().ok_or_else(|| {
                Fault::wrong_state(at.as_str(), "the survey is published already")
                    .meta("resource", KIND)
                    .meta("id", id)
            })?;
            survey.version += 1;
            survey.updated = write.now();
            let place = self.announce(&mut write, &survey).await?;
            store::revise(&write, caller.tenant, place, &survey).await?;
            write.audit(
                "publish",
                id,
                Some(before),
                Some(ids.digest(KIND, &survey.bytes())),
            );
            let token = write.commit(vec![(KIND, id, survey.version)]).await?;
            Ok((survey, token))
        })
        .await?;
        if written.1.is_some() {
            self.published
                .put(caller.tenant, Arc::new(written.0.clone()));
        }
        Ok(written)
    }

    /// One survey.
    pub async fn get(&self, caller: &Caller, id: RecordId) -> Result<Survey, Fault> {
        let read = self.db.glance(caller).await?;
        store::get(&read, caller.tenant, id, Lock::No)
            .await?
            .ok_or_else(|| Fault::not_found(KIND, id))
    }

    /// Surveys by id after an id, at most `limit` and about [`PAGE_BYTES`], and whether there are more.
    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
        mut after: Option<RecordId>,
        limit: usize,
    ) -> Result<(Vec<Survey>, bool), Fault> {
        let read = self.db.read(caller).await?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        loop {
            let part = store::list(&read, caller.tenant, state, after, PART as u64).await?;
            let ended = part.len() < PART;
            for survey in part {
                if all.len() >= limit || bytes > PAGE_BYTES {
                    return Ok((all, true));
                }
                after = Some(survey.id);
                bytes += survey.bytes().len();
                all.push(survey);
            }
            if ended {
                return Ok((all, false));
            }
        }
    }

    /// Those of the named surveys that exist, drafts too; published ones mostly from memory.
    pub async fn known(
        &self,
        caller: &Caller,
        wanted: impl IntoIterator<Item = RecordId>,
    ) -> Result<HashMap<RecordId, Arc<Survey>>, Fault> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for id in wanted {
            match self.published.get(caller.tenant, id) {
                Some(survey) => drop(found.insert(id, survey)),
                None => missing.push(id),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let read = self.db.read(caller).await?;
            for id in missing {
                if let Some(survey) = self.read(&read, caller.tenant, id).await? {
                    found.insert(id, survey);
                }
            }
        }
        Ok(found)
    }

    /// A survey from memory or from a transaction that has written no survey.
    pub async fn read(
        &self,
        tx: &Tx,
        tenant: TenantId,
        id: RecordId,
    ) -> Result<Option<Arc<Survey>>, StoreError> {
        if let Some(survey) = self.published.get(tenant, id) {
            return Ok(Some(survey));
        }
        let Some(survey) = store::get(tx, tenant, id, Lock::No).await? else {
            return Ok(None);
        };
        let survey = Arc::new(survey);
        self.published.put(tenant, survey.clone());
        Ok(Some(survey))
    }

    async fn announce(&self, write: &mut Write, survey: &Survey) -> Result<Place, Missed> {
        let at = write.reserve(1).await?;
        write.change(Change {
            kind: KIND,
            record: survey.id,
            version: survey.version,
            customer: None,
            occurred_at: survey.updated,
            measures: measures::survey(survey),
            position: at.first,
        });
        Ok(at.place(0))
    }

    async fn repeat(&self, tx: &Tx, caller: &Caller, answer: &Answer) -> Result<Written, Fault> {
        let (id, version) = answer.record(KIND)?;
        let survey = store::version(tx, caller.tenant, id, version).await?;
        Ok((
            survey.ok_or_else(|| Fault::not_found(KIND, id))?,
            Some(answer.token.clone()),
        ))
    }
}
